"""Personal recipe: a single person's rankings, fitted and judged while they look at the screen.

`fit` is the whole job of a worker that learns from rankings as they are stored: weights, how far they agree with the
person on what they had not seen, and whether that is enough to take them into use.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from functools import cache
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clpips.models.agreement.correlation import mean_value
from clpips.models.agreement.icc import average_agreement
from clpips.models.agreement.pooling import pool_ranks
from clpips.models.fitting.convex.averaging import InSpace
from clpips.models.fitting.convex.fit import fit_convex, in_other_spaces
from clpips.models.fitting.convex.guard import Rivalry, Validation
from clpips.models.fitting.convex.members import PERSONAL
from clpips.models.fitting.convex.space import MANY_ROWS
from clpips.models.fitting.convex.voted_pairs import NoFitError
from clpips.models.fitting.job import FitJob, FitResult
from clpips.models.metric.distance import weigh
from clpips.models.metric.families import layout_of_z
from clpips.models.metric.packing import unpack_z
from clpips.models.metric.weights_files import load_weights
from clpips.models.rankings.membership import HASHED, hash_images
from clpips.models.rankings.pairs import RankedPairs, join_pairs, pairs_of_ranking

Orders = dict[str, Any]


class Part(NamedTuple):
    """A part of a fit: what is found in all spaces but one, and how the parent and LPIPS order the candidates."""

    spaces: Sequence[InSpace]
    parent: Orders
    lpips: Orders


Begun = Callable[[], Part | None]  # waits for a part that is done elsewhere; None: it is not
Beside = Callable[[FitJob], AbstractContextManager[Begun]]


@contextmanager
def nobody(_: FitJob) -> Iterator[Begun]:
    """No other process does a part."""
    yield lambda: None


def fit(job: FitJob, beside: Beside = nobody) -> FitResult:
    """Fit weights to the rankings of a job.

    Another process may do `part` of the job meanwhile, which `beside` begins where rankings are few.
    """
    with (beside if _is_quick(job) else nobody)(job) as begun:
        given = cache(begun)
        targets, pairs = _pairs(job)
        try:
            fitted = fit_convex(pairs, job.base, PERSONAL, lambda: found.spaces if (found := given()) else None)
        except NoFitError as error:
            reason = f"{error}; after {_count(len(job.ranks))} the profile answers as before"
            return FitResult(None, job.resolution, taken=False, reason=reason, report={})
        parent, lpips = found[1:] if (found := given()) else _rivals(job, pairs.rows)
    validation = fitted.validation
    seen = _seen(job)
    report = {
        "recipe": "personal",
        "rankings": len(job.ranks),
        "targets": len(set(targets)),
        "pairs": len(pairs),
        "held_out": validation.unit,
        "in_sample": seen > 0,
        "agreement": {
            "pair_agreement": validation.agreement,
            **_orders(job, pairs.rows, [fitted.blind.get(target) for target in targets]),
        },
        "parent": {"pair_agreement": validation.parent_agreement, **parent},
        "lpips": {"pair_agreement": validation.lpips_agreement, **lpips},
    }
    return FitResult(
        fitted.weights, job.resolution, validation.taken, _reason(validation, len(job.ranks), seen), report
    )


def part(job: FitJob) -> Part | None:
    """A part of the work of `fit`, about half of it; None where the rankings support no fit."""
    _, pairs = _pairs(job)
    try:
        return Part(in_other_spaces(pairs, job.base, PERSONAL), *_rivals(job, pairs.rows))
    except NoFitError:
        return None


def _rivals(job: FitJob, rows: NDArray[np.float32]) -> tuple[Orders, Orders]:
    """How the parent and LPIPS order the candidates of all rankings."""
    lpips = load_weights("lpips", layout_of_z(len(job.base)).net.name).values
    parent, lpips_orders = (_orders(job, rows, [weights] * len(job.ranks)) for weights in (job.base, lpips))
    return parent, lpips_orders


def _is_quick(job: FitJob) -> bool:
    """Whether a fit takes little memory: so may a second process then."""
    return sum(len(ranks) for ranks in job.ranks) <= MANY_ROWS


def _pairs(job: FitJob) -> tuple[list[int], RankedPairs]:
    """The number of each ranking's target, and all ordered pairs. Images are numbered in the order of their hashes."""
    hashes = sorted({*job.targets, *(image for candidates in job.candidates for image in candidates)})
    numbers = {image: number for number, image in enumerate(hashes)}
    targets = [numbers[target] for target in job.targets]
    rankings = zip(job.channel_distances, job.ranks, targets, job.candidates, strict=True)
    sets = [
        pairs_of_ranking(unpack_z(packed), ranks, target, [numbers[image] for image in candidates])
        for packed, ranks, target, candidates in rankings
    ]
    return targets, join_pairs(sets)


def _seen(job: FitJob) -> float:
    """The share of these images that what the fit starts from was fitted to."""
    own = hash_images({HASHED + image for images in (job.targets, *job.candidates) for image in images})
    return len(own & job.base_trained_on.images) / len(own)


def _reason(validation: Validation, rankings: int, seen: float) -> str:
    """Why a version is taken, or what it waits for."""
    in_sample = f"in sample, because what it started from was fitted to {seen:.0%} of these images: " if seen else ""
    found = (
        f"{in_sample}on {validation.words} it agrees with {validation.agreement:.1%} of the choices, "
        f"what it started from with {validation.parent_agreement:.1%} and LPIPS with {validation.lpips_agreement:.1%}"
    )
    if validation.taken:
        return found
    return (
        f"{found}; after {_count(rankings)} that may be noise, so the profile answers as before: "
        f"it waits for rankings by which new weights agree more often than both, and foresee choices better than both "
        f"by more than {validation.least_errors:g} standard errors (now {_errors(validation.parent)} and "
        f"{_errors(validation.lpips)})"
    )


def _errors(rivalry: Rivalry) -> str:
    """By how many standard errors the likelihood leads."""
    errors = rivalry.likelihood.errors
    return f"{errors:+.1f}" if np.isfinite(errors) else "unknown"


def _count(rankings: int) -> str:
    return "one ranking" if rankings == 1 else f"{rankings} rankings"


def _orders(job: FitJob, rows: NDArray[np.float32], weights: Sequence[NDArray[np.float32] | None]) -> Orders:
    """Mean ρ within the rankings and ICC(2,k) of all ranks, by the weights of each ranking; nothing without them.

    `rows` are the channel distances of all rankings, one after another.

    The ICC has no interval: its own takes images for independent, and those of a target are not. `clpips evaluate`
    draws whole targets, which takes longer than the fit.
    """
    distances = []
    end = 0
    for ranks, own in zip(job.ranks, weights, strict=True):
        if own is None:
            return {}
        start, end = end, end + len(ranks)
        distances.append(weigh(rows[start:end], own).astype(np.float64))  # (n,)
    pooled = pool_ranks([np.asarray(ranks, np.float64) for ranks in job.ranks], distances)
    spearman = mean_value(pooled.within)
    icc = average_agreement(np.column_stack([pooled.people, pooled.metric]))
    return {"spearman": _known(spearman), "icc2_k": {"value": _known(icc), "low": None, "high": None}}


def _known(value: float) -> float | None:
    return value if np.isfinite(value) else None
