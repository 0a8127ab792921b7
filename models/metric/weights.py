"""Layer-combination weights: the 1152 numbers that are learned, and where they came from."""

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from clpips.models.metric.backbone import LAYERS, SHIPPED_FINGERPRINT, TOTAL_CHANNELS

DEFAULT_RESOLUTION: Final = 256  # pixels a side


class WeightsError(ValueError):
    """Weights that cannot be used: the message says what was expected and what came."""


@dataclass(frozen=True, eq=False)
class LayerWeights:
    """Layer-combination weights, float32 `(1152,)`, finite and ≥ 0, with their provenance.

    `backbone` is the fingerprint of the backbone that they were learned on, `resolution` the scoring resolution in
    pixels (None: native size), `agreement` what they reached on targets held out of the fit. Raises `WeightsError` for
    values of another shape, of integers, or that are negative, not finite or too large for float32.

    >>> LayerWeights(np.ones(1152), "equal").values.dtype
    dtype('float32')
    """

    values: NDArray[np.float32]  # (1152,), read-only
    name: str
    parent: str | None = None
    backbone: str = SHIPPED_FINGERPRINT
    resolution: int | None = DEFAULT_RESOLUTION
    recipe: str = ""
    created: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    agreement: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "values", _checked(self.values))

    def layer_shares(self) -> list[float]:
        """Each layer's share of the sum of all weights: five numbers that add up to 1 (all 0 for all-zero weights)."""
        sums = [float(self.values[layer].sum(dtype=np.float64)) for layer in LAYERS]  # (5,)
        total = math.fsum(sums)
        return [share / total if total else 0.0 for share in sums]

    def require_backbone(self, fingerprint: str) -> None:
        """Raise `WeightsError` unless the weights were learned on the backbone with this fingerprint."""
        if self.backbone != fingerprint:
            raise WeightsError(
                f"the weights {self.name!r} belong to the backbone {self.backbone[:12]}…, this one is "
                f"{fingerprint[:12]}…, and distances would mean nothing: load their backbone, or fit again"
            )


def _checked(values: NDArray[Any]) -> NDArray[np.float32]:
    """`values` as a read-only float32 `(1152,)`. Raises `WeightsError` for a wrong shape, dtype or value."""
    if values.shape != (TOTAL_CHANNELS,):
        raise WeightsError(f"weights must have the shape ({TOTAL_CHANNELS},), these have {values.shape}")
    if not np.issubdtype(values.dtype, np.floating):
        raise WeightsError(f"weights must be floating-point numbers, these are {values.dtype}")
    if not np.isfinite(values).all():
        raise WeightsError("weights must be finite, these have NaN or infinity")
    if (values < 0).any():
        raise WeightsError(f"weights must be ≥ 0, the smallest of these is {values.min():g}")
    checked = np.array(values, dtype=np.float32)
    if not np.isfinite(checked).all():
        raise WeightsError("weights must fit into float32, these overflow")
    checked.flags.writeable = False
    return checked
