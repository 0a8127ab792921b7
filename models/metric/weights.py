"""Layer-combination weights: the numbers that are learned, one a channel of each family, and where they came from."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from clpips.models.metric.backbone import CHANNELS, DEFAULT_RESOLUTION, SHIPPED_FINGERPRINT
from clpips.models.metric.families import (
    CONTENT,
    FAMILIES,
    GROUPS,
    NETWORK_PLACES,
    PLACES,
    Z_LENGTH,
    Families,
    Group,
    Networks,
    layer_groups,
    networks_of,
)
from clpips.models.metric.trained_on import TrainedOn
from clpips.models.metric.typical import TYPICAL

MAX_WEIGHT: Final = 1e12
"""The largest weight: the sum of 3456 such products, and its square, fit into float32. LPIPS's stay below 10."""


class WeightsError(ValueError):
    """Weights that cannot be used: the message says what was expected and what came."""


@dataclass(frozen=True, eq=False)
class LayerWeights:
    """Layer-combination weights, float32 `(6016,)`, finite and ≥ 0, with their provenance.

    `backbone` is the fingerprint of the AlexNet that they were learned on (the content network is always the shipped
    one), `resolution` the scoring resolution in pixels (None: native size), `agreement` what they reached on what was
    held out of the fit, `trained_on` what they, and the weights that they began as, were fitted to. Raises
    `WeightsError` for values of another shape, of integers, or that are negative, not finite or too large for float32.

    >>> LayerWeights(np.ones(6016), "equal").values.dtype
    dtype('float32')
    """

    values: NDArray[np.float32]  # (z,), read-only
    name: str
    parent: str | None = None
    backbone: str = SHIPPED_FINGERPRINT
    resolution: int | None = DEFAULT_RESOLUTION
    recipe: str = ""
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    agreement: dict[str, Any] = field(default_factory=dict)
    trained_on: TrainedOn = field(default_factory=TrainedOn)

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", _checked(self.values))

    def layer_shares(self) -> list[float]:
        """The share of each of AlexNet's layers of a typical distance: five numbers (all 0 for all-zero weights).

        With the shares of the content network's families they add up to 1.
        """
        whole = self._typical(GROUPS)
        parts = [self._typical(layer_groups(layer)) for layer in range(len(CHANNELS))]
        return [part / whole if whole else 0.0 for part in parts]

    def family_shares(self) -> dict[str, float]:
        """Each family's share of a typical distance, by its name (all 0 for all-zero weights)."""
        parts = [[group for group in GROUPS if group.family == family.name] for family in FAMILIES]
        sums = [self._typical(groups) for groups in parts]
        whole = math.fsum(sums)
        return {family.name: part / whole if whole else 0.0 for family, part in zip(FAMILIES, sums, strict=True)}

    @cached_property
    def families(self) -> Families:
        """The families that count: those with a weight above 0."""
        return frozenset(name for name, place in PLACES.items() if self.values[place].any())

    @cached_property
    def networks(self) -> Networks:
        """The networks that must run: those of the families that count."""
        return networks_of(self.families)

    def without(self, networks: Networks) -> NDArray[np.float32]:
        """The weights, float32 `(6016,)`, of the other networks' families alone: a typical distance stays as it is."""
        kept = self.values.copy()  # (z,)
        for name in networks:
            kept[NETWORK_PLACES[name]] = 0
        share = 1 - sum(part for name, part in self.family_shares().items() if networks_of({name}) <= networks)
        return kept / np.float32(share) if kept.any() else kept

    def _typical(self, groups: Iterable[Group]) -> float:
        """What these groups add to the distance of two natural images."""
        return math.fsum(
            TYPICAL[group.family][group.layer] * float(self.values[group.place].sum(dtype=np.float64))
            for group in groups
        )

    def require_backbone(self, fingerprint: str) -> None:
        """Raise `WeightsError` unless the weights were learned on the AlexNet with this fingerprint, or use none."""
        if self.backbone != fingerprint and self.networks != {CONTENT}:
            raise WeightsError(
                f"the weights {self.name!r} belong to the backbone {self.backbone[:12]}…, this one is "
                f"{fingerprint[:12]}…, and distances would mean nothing: load their backbone, or fit again"
            )


def combine_families(families: Mapping[str, NDArray[np.floating[Any]]]) -> NDArray[np.float32]:
    """Weights, float32 `(6016,)`, from those of each family, `(c,)`; a family that is not named counts for nothing.

    Raises `WeightsError` for a family that there is not, or of another length.

    >>> combine_families({"aligned": np.ones(1152)}).sum()
    np.float32(1152.0)
    """
    if unknown := sorted(families.keys() - PLACES.keys()):
        raise WeightsError(f"there is no family {', '.join(unknown)}; the families are {', '.join(PLACES)}")
    values = np.zeros(Z_LENGTH, np.float32)  # (z,)
    for name, part in families.items():
        place = PLACES[name]
        if part.shape != (place.stop - place.start,):
            raise WeightsError(f"{name!r} must have the shape ({place.stop - place.start},), it has {part.shape}")
        with np.errstate(over="ignore"):  # what is too large for float32 becomes infinite, which weights may not be
            values[place] = part
    return values


def _checked(values: NDArray[Any]) -> NDArray[np.float32]:
    """`values` as a read-only float32 `(6016,)`. Raises `WeightsError` for a wrong shape, dtype or value."""
    if values.shape != (Z_LENGTH,):
        raise WeightsError(f"weights must have the shape ({Z_LENGTH},), these have {values.shape}")
    if not np.issubdtype(values.dtype, np.floating):
        raise WeightsError(f"weights must be floating-point numbers, these are {values.dtype}")
    if not np.isfinite(values).all():
        raise WeightsError("weights must be finite, these have NaN or infinity")
    if (values < 0).any():
        raise WeightsError(f"weights must be ≥ 0, the smallest of these is {values.min():g}")
    if values.max(initial=0) > MAX_WEIGHT:
        raise WeightsError(
            f"weights must be at most {MAX_WEIGHT:g}, so that distances fit into float32; these reach {values.max():g}"
        )
    checked = np.array(values, dtype=np.float32)
    checked.flags.writeable = False
    return checked
