"""Job of a fit worker and its result: plain arrays, which whoever asks for a fit need not load a solver for."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clpips.models.metric.trained_on import TrainedOn


@dataclass(frozen=True, kw_only=True)
class FitJob:
    """k rankings of one person, and the weights that the fit starts from, with what these were fitted to."""

    channel_distances: Sequence[NDArray[np.float16]]  # k of (n, known), packed
    ranks: Sequence[Sequence[int]]  # k of (n,)
    targets: Sequence[str]  # (k,) sha256
    candidates: Sequence[Sequence[str]]  # k of (n,) sha256
    base: NDArray[np.float32]  # (6016,)
    resolution: int | None  # of all rankings, or where they are of several that of `base`
    base_trained_on: TrainedOn = field(default_factory=TrainedOn)


@dataclass(frozen=True)
class FitResult:
    """Weights, unless the rankings support none; and whether they may be taken into use, with the reason."""

    weights: NDArray[np.float32] | None  # (6016,)
    resolution: int | None
    taken: bool
    reason: str
    report: dict[str, Any]
