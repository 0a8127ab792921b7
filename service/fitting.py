"""What the fit worker does: rankings as they are stored → weights, and how far they agree with the person.

This runs in a process of its own: nothing here knows the database or HTTP.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.fitting import fit_convex
from models.pairs import RankedPairs, join_pairs, pairs_of_ranking


@dataclass(frozen=True)
class FitJob:
    """k rankings of one profile, and the weights that the fit starts from."""

    channel_distances: Sequence[NDArray[np.float16]]  # k of (n, 1152)
    ranks: Sequence[Sequence[int]]  # k of (n,)
    targets: Sequence[str]  # (k,) sha256
    base: NDArray[np.float32]  # (1152,)
    lpips: NDArray[np.float32]  # (1152,)


@dataclass(frozen=True)
class FitResult:
    """Weights, unless the rankings support none; and whether they may be taken into use, with the reason."""

    weights: NDArray[np.float32] | None  # (1152,)
    taken: bool
    reason: str
    report: dict[str, Any]
