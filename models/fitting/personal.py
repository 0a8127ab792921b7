"""Personal recipe: the convex one for a single person, searched narrowly enough to end while they look at the screen.

`fit` is the whole job of a worker that learns from rankings as they are stored: weights, and how far they agree with
the person.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from clpips.models.agreement.correlation import mean_within
from clpips.models.agreement.icc import intraclass_correlation
from clpips.models.agreement.pooling import pool_ranks
from clpips.models.fitting.convex import Fit, fit_convex
from clpips.models.fitting.job import FitJob, FitResult
from clpips.models.fitting.validation import NoFitError
from clpips.models.metric.distance import weigh
from clpips.models.rankings.pairs import RankedPairs, join_pairs, pairs_of_ranking

PERSONAL_RIDGES: Final = (3.0, 1.0, 0.3)  # in units of the mean squared difference of a pair


def fit_personal(pairs: RankedPairs, parent: NDArray[np.float32], name: str = "lpips") -> Fit:
    """Fit one person's rankings as the service does after each of them: quick, and content with a single target.

    Raises `NoFitError` where the pairs support none.
    """
    return fit_convex(pairs, {name: parent}, ridges=PERSONAL_RIDGES, one_target=True)


def fit(job: FitJob) -> FitResult:
    """Fit weights to the rankings of a job."""
    targets = _numbered(job.targets)
    pairs = join_pairs(
        [
            pairs_of_ranking(distances.astype(np.float32), ranks, target)
            for distances, ranks, target in zip(job.channel_distances, job.ranks, targets, strict=True)
        ]
    )
    try:
        fitted = fit_personal(pairs, job.base, "parent")
    except NoFitError as error:
        return FitResult(None, job.resolution, taken=False, reason=str(error), report={})
    validation = fitted.validation
    held_out = "other targets" if validation.unit == "targets" else "candidates left out"
    reason = (
        f"cross-validated on {held_out}, it agrees with {validation.agreement:.1%} of the choices, and what it started "
        f"from with {validation.parent_agreement:.1%}"
    )
    unseeing = [fitted.blind.get(target) for target in targets]
    report = {
        "recipe": f"personal, ridge {fitted.ridge:g}",
        "rankings": len(job.ranks),
        "targets": len(np.unique(pairs.targets)),
        "pairs": len(pairs),
        "held_out": validation.unit,
        "agreement": {"pair_agreement": validation.agreement, **_orders(job, unseeing)},
        "parent": {"pair_agreement": validation.parent_agreement, **_orders(job, [job.base] * len(targets))},
        "lpips": {"pair_agreement": pairs.agreement(job.lpips), **_orders(job, [job.lpips] * len(targets))},
    }
    taken = validation.agreement >= validation.parent_agreement  # the guard of every version that is learned
    return FitResult(fitted.weights, job.resolution, taken, reason, report)


def _numbered(targets: Sequence[str]) -> list[int]:
    """A number for each target, the same for the same image."""
    numbers = {target: number for number, target in enumerate(dict.fromkeys(targets))}
    return [numbers[target] for target in targets]


def _orders(job: FitJob, weights: Sequence[NDArray[np.float32] | None]) -> dict[str, Any]:
    """Mean ρ within the rankings and ICC(2,k) of all ranks, by the weights of each ranking; nothing without them."""
    distances = []
    for z, own in zip(job.channel_distances, weights, strict=True):
        if own is None:
            return {}
        distances.append(weigh(z.astype(np.float32), own).astype(np.float64))  # (n,)
    ranks = pool_ranks([np.asarray(ranks, np.float64) for ranks in job.ranks], distances)
    spearman = mean_within(ranks.within).mean.value
    icc = intraclass_correlation(np.column_stack([ranks.people, ranks.metric])).average
    interval = {"value": _known(icc.value), "low": _known(icc.low), "high": _known(icc.high)}
    return {"spearman": _known(spearman), "icc2_k": interval}


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None
