"""Convex recipe: people's ordered pairs to weights that carry over to images that nobody has seen.

A squared hinge on the comparisons and a ridge towards a start, which lies between the parent and LPIPS: one convex
problem for each strength of the ridge and each choice of families, averaged by what each says of images held out.
Deterministic, no epochs. Where each step stands: `members.py` (what is averaged), `voted_pairs.py`, `space.py` (the
prior), `solver.py`, `folds.py`, `averaging.py`, `guard.py`.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache, partial
from itertools import groupby
from threading import Lock
from typing import Final

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from clpips.models.fitting.convex.arrays import Vector
from clpips.models.fitting.convex.averaging import Averaging, Branch, InSpace, average_shares, that_count
from clpips.models.fitting.convex.differences import differences_of
from clpips.models.fitting.convex.folds import Fold, Unit, split_folds
from clpips.models.fitting.convex.guard import Validation, blind_shares, validate
from clpips.models.fitting.convex.members import RANKINGS, VOTES, ConvexRecipe, Start, counted
from clpips.models.fitting.convex.space import channels_of, make_space, mixed_start
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
    pairs: RankedPairs,
    parent: NDArray[np.float32] | None = None,
    recipe: ConvexRecipe | None = None,
    others: Callable[[], Sequence[InSpace] | None] = lambda: None,
) -> Fit:
    """Fit weights to people's ordered pairs.

    `parent`, float32 `(6016,)`, is what to start from; without one, `balanced`. Without a recipe, `VOTES` for choices
    between two alone, and `RANKINGS` otherwise. The fitted weights are scaled so that the mean distance over the pairs'
    rows is the parent's: 0.3 stays as far as it was. Deterministic; `others` may give what `in_other_spaces` gives for
    the same arguments elsewhere, or None. Raises `NoFitError` where the pairs support no fit, and `ValueError` for a
    parent of another shape.

    >>> from clpips.models.rankings.pairs import join_pairs, pairs_of_ranking
    >>> z = np.random.default_rng(0).gamma(1, 0.001, (8, 5, 6016)).astype(np.float32)
    >>> pairs = join_pairs([pairs_of_ranking(rows, [1, 2, 3, 4, 5], target) for target, rows in enumerate(z)])
    >>> pairs.agreement(fit_convex(pairs).weights) > pairs.agreement(load_weights("lpips").values)
    True
    """
    with _one_at_a_time():
        return _fit(_posed(pairs, parent, recipe), others)


def in_other_spaces(
    pairs: RankedPairs, parent: NDArray[np.float32] | None = None, recipe: ConvexRecipe | None = None
) -> list[InSpace]:
    """A part of the fit, about half of its work, that another process may do. Raises as `fit_convex` does."""
    with _one_at_a_time():
        posed = _posed(pairs, parent, recipe)
        return posed.averaging.ask_others(posed.folds)


@contextmanager
def _one_at_a_time() -> Iterator[None]:
    with _ONE_AT_A_TIME, _BLAS.limit(limits=1, user_api="blas"):
        yield


@cache
def _shipped(name: str, net: str) -> Vector:
    return load_weights(name, net).values.astype(np.float64)


@dataclass(frozen=True, eq=False, kw_only=True)
class _Posed:
    """A problem before anything of it is solved; `rivals`, `(2, c)`, are the parent and LPIPS."""

    compared: VotedPairs
    folds: Sequence[Fold]
    unit: Unit
    averaging: Averaging
    usual: Vector  # (k,)
    temper: float
    rivals: Vector


def _posed(pairs: RankedPairs, own: NDArray[np.float32] | None, chosen: ConvexRecipe | None) -> _Posed:
    known_length = own is not None and len(own) in {layout.length for layout in LAYOUTS.values()}
    net = layout_of_z(len(own) if own is not None and known_length else pairs.rows.shape[1]).net.name
    balanced, lpips = _shipped("balanced", net), _shipped("lpips", net)
    parent = balanced if own is None else own.astype(np.float64)  # (c,)
    if parent.shape != balanced.shape:
        raise ValueError(f"the parent has the shape {parent.shape}, expected {balanced.shape}")
    compared, recipe = voted_pairs(pairs), chosen or (VOTES if (pairs.sizes == 2).all() else RANKINGS)

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
        if differences.squares[channels_of(families, len(parent))].any():
            start = starts[which]
            make = partial(make_space, compared, differences, start, balanced, known, recipe.coarse, families, exponent)
            alike = list(grouped)
            branches.append(Branch(make, [each.member.strength for each in alike]))
            shares_before += [each.share for each in alike]
    return _Posed(
        compared=compared,
        folds=folds,
        unit=unit,
        averaging=Averaging(compared, differences, branches),
        usual=np.array(shares_before) / sum(shares_before),
        temper=recipe.temper,
        rivals=np.stack([parent, lpips]),
    )


def _fit(posed: _Posed, others: Callable[[], Sequence[InSpace] | None]) -> Fit:
    compared, folds, usual, temper = posed.compared, posed.folds, posed.usual, posed.temper
    fits, answers = posed.averaging.ask(folds, others)
    shares = average_shares(usual, [asked.losses for asked in answers], temper)  # (k,)
    if fits is None:
        shares = that_count(shares)
        fits = posed.averaging.fits(shares)
    validation = validate(compared, folds, posed.unit, answers, usual, temper, posed.rivals)
    mean = compared.rows.mean(axis=0, dtype=np.float64)  # (c,)
    wanted = float(mean @ posed.rivals[0]) or 1.0
    alike = _alike(fits, mean, wanted)  # (k, c)
    if shares @ alike.any(axis=1) < MOST:
        raise NoFitError("the rankings favour no channel at all: they contradict each other")
    weights = _alike((shares @ alike)[np.newaxis], mean, wanted)[0]  # (c,)
    blind = [blind_shares(answers, place, usual, temper) @ asked.weights for place, asked in enumerate(answers)]
    return Fit(
        weights=weights.astype(np.float32),
        members=alike.astype(np.float32),
        shares=shares,
        validation=validation,
        blind=_by_target(compared, folds, posed.unit, blind),
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
