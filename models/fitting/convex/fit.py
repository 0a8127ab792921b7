"""Convex recipe: people's ordered pairs to weights that carry over to images that nobody has seen.

A squared hinge on the comparisons and a ridge towards a start, which lies between the parent and LPIPS: one convex
problem for each strength of the ridge and each choice of families, averaged by what each says of images held out.
Deterministic, no epochs. Where each step stands: `members.py` (what is averaged), `voted_pairs.py`, `space.py` (the
prior), `solver.py`, `folds.py`, `averaging.py`, `guard.py`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import groupby
from threading import Lock
from typing import Final

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from clpips.models.fitting.convex.averaging import Averaging, Branch, average_shares, that_count
from clpips.models.fitting.convex.differences import differences_of
from clpips.models.fitting.convex.folds import Fold, Unit, split_folds
from clpips.models.fitting.convex.guard import Validation, blind_shares, validate
from clpips.models.fitting.convex.members import RANKINGS, VOTES, ConvexRecipe, Start, counted
from clpips.models.fitting.convex.solver import Vector
from clpips.models.fitting.convex.space import make_space, mixed_start
from clpips.models.fitting.convex.voted_pairs import NoFitError, VotedPairs, voted_pairs
from clpips.models.metric.families import LAYOUTS, layout_of_z
from clpips.models.metric.loudness import natural_loudness
from clpips.models.metric.weights_files import load_weights
from clpips.models.rankings.pairs import RankedPairs

MOST: Final = 0.5  # of the shares: where so much is zero weights, there is no fit
# One BLAS thread: beside an engine that keeps all cores busy, several wait for each other (1.5 s become a minute).
# The number is the process's, not the thread's: hence one fit at a time.
_ONE_AT_A_TIME: Final = Lock()
_BLAS: Final = ThreadpoolController()


@dataclass(frozen=True, eq=False, kw_only=True)
class Fit:
    """Weights fitted to pairs.

    `weights` is float32 `(6016,)`, ≥ 0; `members`, `(k, 6016)`, are the fits that they average, and `shares`, `(k,)`,
    what each counts. `validation` compares such fits with the parent and LPIPS on what they had not seen: whether these
    weights are any better is for the caller to judge by. `blind[target]`, `(6016,)`, are weights, up to a factor, that
    have seen nothing of a target, where its comparisons were held out whole.
    """

    weights: NDArray[np.float32]
    members: NDArray[np.float32]
    shares: Vector
    validation: Validation
    blind: Mapping[int, NDArray[np.float32]]


def default_parents() -> dict[str, NDArray[np.float32]]:
    """`balanced`, and LPIPS v0.1 to compare with."""
    return {name: load_weights(name).values for name in ("balanced", "lpips")}


def fit_convex(
    pairs: RankedPairs, parent: NDArray[np.float32] | None = None, recipe: ConvexRecipe | None = None
) -> Fit:
    """Fit weights to people's ordered pairs.

    `parent`, float32 `(6016,)`, is what to start from; without one, `balanced`. Without a recipe, `VOTES` for choices
    between two alone, and `RANKINGS` otherwise. The fitted weights are scaled so that
    the mean distance over the pairs' rows is the parent's: 0.3 stays as far as it was. Deterministic. Raises
    `NoFitError` where the pairs support no fit, and `ValueError` for a parent of another shape.

    >>> from clpips.models.rankings.pairs import join_pairs, pairs_of_ranking
    >>> z = np.random.default_rng(0).gamma(1, 0.001, (8, 5, 6016)).astype(np.float32)
    >>> pairs = join_pairs([pairs_of_ranking(rows, [1, 2, 3, 4, 5], target) for target, rows in enumerate(z)])
    >>> pairs.agreement(fit_convex(pairs).weights) > pairs.agreement(load_weights("lpips").values)
    True
    """
    known = parent is not None and len(parent) in {layout.length for layout in LAYOUTS.values()}
    net = layout_of_z(len(parent) if parent is not None and known else pairs.rows.shape[1]).net.name
    balanced, lpips = _shipped("balanced", net), _shipped("lpips", net)
    start = balanced if parent is None else parent.astype(np.float64)  # (c,)
    if start.shape != balanced.shape:
        raise ValueError(f"the parent has the shape {start.shape}, expected {balanced.shape}")
    with _ONE_AT_A_TIME, _BLAS.limit(limits=1, user_api="blas"):
        return _fit(
            voted_pairs(pairs), start, balanced, lpips, recipe or (VOTES if (pairs.sizes == 2).all() else RANKINGS)
        )


@cache
def _shipped(name: str, net: str) -> Vector:
    return load_weights(name, net).values.astype(np.float64)


def _fit(compared: VotedPairs, parent: Vector, balanced: Vector, lpips: Vector, recipe: ConvexRecipe) -> Fit:
    targets = len(np.unique(compared.targets))
    folds, unit = split_folds(compared, max(step for step in recipe.folds if step[0] <= targets)[1])
    if targets < 2 and (not folds or not recipe.one_target):
        raise NoFitError("all rankings share one target: with a second one it can be told what carries over")
    if not folds:
        raise NoFitError(
            f"no {unit} can be held out: every ranking shows what the others show; rank other pictures, too"
        )
    starts: dict[Start, Vector] = {
        "mixed": mixed_start(compared, parent, lpips, recipe.lpips),
        "even": np.ones(len(parent)),
    }
    known = natural_loudness(layout_of_z(len(parent))).astype(np.float64) if recipe.natural else None
    differences = differences_of(compared)
    branches: list[Branch] = []
    shares_before: list[float] = []
    members = counted(recipe, compared, parent)
    for (families, exponent, which), grouped in groupby(
        members, lambda each: (each.families, each.member.exponent, each.member.start)
    ):
        space = make_space(compared, differences, starts[which], balanced, known, recipe.coarse, families, exponent)
        if space is not None:
            own = list(grouped)
            branches.append((space, [each.member.strength for each in own]))
            shares_before += [each.share for each in own]
    averaging = Averaging(compared, differences, branches)
    usual = np.array(shares_before) / sum(shares_before)  # (k,)

    fits = averaging.fits() if averaging.quick else None  # first: the folds' differ little from these
    answers = [averaging.ask(fold) for fold in folds]
    shares = average_shares(usual, [asked.losses for asked in answers], recipe.temper)  # (k,)
    if fits is None:
        shares = that_count(shares)
        fits = averaging.fits(shares)
    validation = validate(compared, folds, unit, answers, usual, recipe.temper, np.stack([parent, lpips]))
    mean = compared.rows.mean(axis=0, dtype=np.float64)  # (c,)
    wanted = float(mean @ parent) or 1.0
    alike = _alike(fits, mean, wanted)  # (k, c)
    if shares @ alike.any(axis=1) < MOST:
        raise NoFitError("the rankings favour no channel at all: they contradict each other")
    weights = _alike((shares @ alike)[np.newaxis], mean, wanted)[0]  # (c,)
    blind = [blind_shares(answers, place, usual, recipe.temper) @ asked.weights for place, asked in enumerate(answers)]
    return Fit(
        weights=weights.astype(np.float32),
        members=alike.astype(np.float32),
        shares=shares,
        validation=validation,
        blind=_by_target(compared, folds, unit, blind),
    )


def _alike(fits: Vector, mean: Vector, wanted: float) -> Vector:
    """Fits, `(k, c)`, each at the scale at which the mean row, `(c,)`, has the wanted distance; zero stays zero."""
    sizes = fits @ mean  # (k,)
    return np.asarray(fits * np.divide(wanted, sizes, out=np.zeros_like(sizes), where=sizes > 0)[:, np.newaxis])


def _by_target(
    compared: VotedPairs, folds: Sequence[Fold], unit: Unit, blind: Sequence[Vector]
) -> dict[int, NDArray[np.float32]]:
    """Of the targets whose comparisons a fold held out whole, that fold's weights."""
    if unit == "candidates":
        return {}
    found = {}
    for fold, weights in zip(folds, blind, strict=True):
        for target in np.unique(compared.targets[fold.asked]).tolist():
            if fold.asked[compared.targets == target].all():
                found[target] = weights.astype(np.float32)
    return found
