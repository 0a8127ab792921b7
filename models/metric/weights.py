"""Layer-combination weights: the numbers that are learned, one a channel of each family, and where they came from."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from clpips.models.metric.backbone import DEFAULT_RESOLUTION, SHIPPED_FINGERPRINT
from clpips.models.metric.families import (
    ALEX_LAYOUT,
    CONTENT,
    FAMILIES,
    LAYOUTS,
    Families,
    Group,
    Networks,
    ZLayout,
    layout_of_z,
    networks_of,
)
from clpips.models.metric.nets import NETS
from clpips.models.metric.trained_on import TrainedOn
from clpips.models.metric.typical import typical_distance

MAX_WEIGHT: Final = 1e12
"""The largest weight: the sum of 3456 such products, and its square, fit into float32. LPIPS's stay below 10."""


_SHAPES: Final = {(layout.length,): layout.net.title for layout in LAYOUTS.values()}  # the backbone's, by the weights'


class WeightsError(ValueError):
    """Weights that cannot be used: the message says what was expected and what came."""


@dataclass(frozen=True, eq=False)
class LayerWeights:
    """Layer-combination weights, float32 `(z,)`, `(6016,)` with AlexNet, finite and ≥ 0, with their provenance.

    `backbone` is the fingerprint of the backbone that they were learned on, empty where they go with any weights of it
    (the content network is always the shipped one), `resolution` the scoring resolution in pixels (None: native size),
    `agreement` what they reached on what was held out of the fit, `trained_on` what they, and the weights that they
    began as, were fitted to. Raises `WeightsError` for values of another shape, of integers, or that are negative, not
    finite or too large for float32.

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

    @cached_property
    def layout(self) -> ZLayout:
        """What stands where in `values`, and with which backbone."""
        return layout_of_z(len(self.values))

    @property
    def aligned(self) -> NDArray[np.float32]:
        """The weights of the family `aligned`, LPIPS's own: `(c,)`."""
        return self.values[self.layout.places["aligned"]]

    def layer_shares(self) -> list[float]:
        """The share of each of the backbone's taps of a typical distance (all 0 for all-zero weights).

        With the shares of the content network's families they add up to 1.
        """
        whole = self._typical(self.layout.groups)
        layers = range(len(self.layout.net.channels))
        parts = [self._typical(self.layout.layer_groups(layer)) for layer in layers]
        return [part / whole if whole else 0.0 for part in parts]

    def family_shares(self) -> dict[str, float]:
        """Each family's share of a typical distance, by its name (all 0 for all-zero weights)."""
        parts = [[group for group in self.layout.groups if group.family == family.name] for family in FAMILIES]
        sums = [self._typical(groups) for groups in parts]
        whole = math.fsum(sums)
        return {family.name: part / whole if whole else 0.0 for family, part in zip(FAMILIES, sums, strict=True)}

    @cached_property
    def families(self) -> Families:
        """The families that count: those with a weight above 0."""
        return frozenset(name for name, place in self.layout.places.items() if self.values[place].any())

    @cached_property
    def networks(self) -> Networks:
        """The networks that must run: those of the families that count."""
        return networks_of(self.families)

    def without(self, networks: Networks) -> NDArray[np.float32]:
        """The weights, float32 `(z,)`, of the other networks' families alone: a typical distance stays as it is.

        Raises `WeightsError` where the others count for nothing, or for too little to make up for what is left out.
        """
        kept = self.values.astype(np.float64)  # (z,)
        for name in networks:
            kept[self.layout.network_places[name]] = 0
        if not kept.any():
            raise WeightsError(f"without {', '.join(sorted(networks))} nothing is left of the weights {self.name!r}")
        # Summed and not told by what is missing from 1, of which a small share has no digits left.
        rest = self._typical([group for group in self.layout.groups if not networks_of({group.family}) <= networks])
        return _checked(kept * (self._typical(self.layout.groups) / rest))

    def _typical(self, groups: Iterable[Group]) -> float:
        """What these groups add to the distance of two natural images."""
        return math.fsum(
            typical_distance(self.layout.net, group) * float(self.values[group.place].sum(dtype=np.float64))
            for group in groups
        )

    def require_backbone(self, fingerprint: str, net: str = "alex") -> None:
        """Raise `WeightsError` unless the weights belong to this backbone with this fingerprint, or use none of it."""
        own = self.layout.net
        if own.name != net:
            raise WeightsError(
                f"the weights {self.name!r} belong to {own.title}, and this backbone is {NETS[net].title}: load the "
                f"backbone {own.name}, or weights for {net}"
            )
        if self.backbone and self.backbone != fingerprint and self.networks != {CONTENT}:
            raise WeightsError(
                f"the weights {self.name!r} belong to the backbone {self.backbone[:12]}…, this one is "
                f"{fingerprint[:12]}…, and distances would mean nothing: load their backbone, or fit again"
            )


def combine_families(
    families: Mapping[str, NDArray[np.floating[Any]]], layout: ZLayout = ALEX_LAYOUT
) -> NDArray[np.float32]:
    """Weights, float32 `(z,)`, from those of each family, `(c,)`; a family that is not named counts for nothing.

    Raises `WeightsError` for a family that there is not, or of another length.

    >>> combine_families({"aligned": np.ones(1152)}).sum()
    np.float32(1152.0)
    """
    if unknown := sorted(families.keys() - layout.places.keys()):
        raise WeightsError(f"there is no family {', '.join(unknown)}; the families are {', '.join(layout.places)}")
    values = np.zeros(layout.length, np.float32)  # (z,)
    for name, part in families.items():
        place = layout.places[name]
        if part.shape != (place.stop - place.start,):
            expected = f"({place.stop - place.start},), it has {part.shape}"
            raise WeightsError(f"{name!r} must have the shape {expected}: the backbone is {layout.net.title}")
        with np.errstate(over="ignore"):  # what is too large for float32 becomes infinite, which weights may not be
            values[place] = part
    return values


def _checked(values: NDArray[Any]) -> NDArray[np.float32]:
    """`values` as a read-only float32 `(z,)`. Raises `WeightsError` for a wrong shape, dtype or value."""
    if values.shape not in _SHAPES:
        first, *others = _SHAPES
        known = ", ".join(f"{shape} for {_SHAPES[shape]}" for shape in others)
        raise WeightsError(f"weights must have the shape {first}, these have {values.shape}; or {known}")
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
