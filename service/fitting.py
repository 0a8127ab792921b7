"""What the fit worker does: rankings as they are stored → weights, and how far they agree with the person.

This runs in a process of its own: nothing here knows the database or HTTP.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.fitting import fit_personal
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


def fit(job: FitJob) -> FitResult:
    """Fit weights to the rankings of a job."""
    pairs = pairs_of(job)
    fitted = fit_personal(pairs, job.base, "parent")
    if fitted.fitted is None:
        return FitResult(None, False, fitted.reason, {})
    taken = fitted.agreement >= fitted.parent_agreement
    held_out = "other targets" if fitted.held_out == "targets" else "candidates left out"
    reason = (
        f"cross-validated on {held_out}, it agrees with {fitted.agreement:.1%} of the choices; what it started from "
        f"with {fitted.parent_agreement:.1%}"
    )
    report = {
        "recipe": f"personal, ridge {fitted.ridge:g}" if fitted.ridge else "personal",
        "rankings": len(job.ranks),
        "targets": fitted.targets,
        "pairs": fitted.pairs,
        "held_out": fitted.held_out,
        "agreement": {"pair_agreement": fitted.agreement},
        "parent": {"pair_agreement": fitted.parent_agreement},
        "lpips": {"pair_agreement": pairs.agreement(job.lpips)},
    }
    return FitResult(fitted.fitted, taken, reason, report)


def pairs_of(job: FitJob) -> RankedPairs:
    """The ordered pairs of a job; rankings of the same target image share a number."""
    numbers = {target: number for number, target in enumerate(dict.fromkeys(job.targets))}
    return join_pairs(
        [
            pairs_of_ranking(distances.astype(np.float32), ranks, numbers[target])
            for distances, ranks, target in zip(job.channel_distances, job.ranks, job.targets, strict=True)
        ]
    )
