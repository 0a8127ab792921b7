"""Ordered pairs → weights: the convex recipe. (The paper's own recipe is `models/paper.py`.)

Every channel is measured by its root mean square over the ranking's images, so that the ridge acts on what a channel
adds to a distance and not on a weight that is large because its channel is quiet. The loss is the squared hinge of
the pairs; the ridge pulls towards the parent, whose five layers may each be scaled freely, because rankings determine
no scale and LPIPS's balance of layers is what people differ from first. Parent and ridge are chosen by
cross-validation over targets. One optimum, deterministic, no epochs.

The margin of the hinge is no parameter here: with the scale free, another gives the same weights times a constant.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from threading import Lock
from time import perf_counter
from typing import Final

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from models.backbone import LAYERS, TOTAL_CHANNELS
from models.pairs import RankedPairs
from models.solver import BoundedRanking, Floats, Vector
from models.weights import load_weights

RIDGES: Final = (30.0, 10.0, 3.0, 1.0, 0.5, 0.2)  # in units of the mean squared difference of a pair
USUAL_RIDGE: Final = 1.0  # where data sets of 50 to 20,000 comparisons alike came out
FOLDS: Final = 5
_SCALES: Final = np.linspace(0.2, 1.2, 11)  # of held-out scores: only their order counts, a loss must not see more
_TELLING = 2.0  # standard errors over the folds that make a difference one to act on
_FLOOR = 0.01  # of the mean channel: a channel that is silent in these images counts as this loud
# One BLAS thread: beside an engine that keeps all cores busy, several wait for each other (1.5 s become a minute).
# The number is the process's, not the thread's: hence one fit at a time.
_ONE_AT_A_TIME: Final = Lock()
_BLAS: Final = ThreadpoolController()
_SEARCH_TOLERANCE, _FINAL_TOLERANCE = 1e-2, 1e-7  # relative decrease of the objective


@dataclass(frozen=True, eq=False)
class Fit:
    """What a fit gave.

    `weights` is float32 `(1152,)`, ≥ 0: the fitted ones, or the first parent's where `supported` is False, with
    `reason` in plain words. `agreement` and `parent_agreement` are the shares of the people's choices, in [0, 1], that
    the fit and the first parent make on targets kept out of the fit (cross-validation; NaN where there was none).
    """

    weights: NDArray[np.float32]
    supported: bool
    reason: str
    parent: str
    ridge: float | None
    agreement: float
    parent_agreement: float
    pairs: int
    targets: int
    seconds: float
    folds: int = 0
    loss: Mapping[str, list[float]] = field(default_factory=dict)  # parent → cross-validated loss of each of `RIDGES`


def default_parents() -> dict[str, NDArray[np.float32]]:
    """LPIPS v0.1, and equal weights on all channels: on some people's rankings the second is the better start."""
    return {"lpips": load_weights("lpips").values, "equal": np.ones(TOTAL_CHANNELS, np.float32)}


def fit_convex(pairs: RankedPairs, parents: Mapping[str, NDArray[np.float32]] | None = None) -> Fit:
    """Fit weights to people's ordered pairs.

    `parents` are named weights, float32 `(1152,)`, to start from; the first is the one to compare with and to return
    where the pairs do not support a fit. Without any: `default_parents()`. The fitted weights are scaled so that the
    mean distance over `pairs.rows` is the first parent's: 0.3 stays as far as it was. Deterministic. Raises
    `ValueError` for no parent or one of another shape.
    """
    with _ONE_AT_A_TIME, _BLAS.limit(limits=1, user_api="blas"):
        return _fit(pairs, parents)


def _fit(pairs: RankedPairs, parents: Mapping[str, NDArray[np.float32]] | None) -> Fit:
    started = perf_counter()
    parents = dict(default_parents() if parents is None else parents)
    if not parents:
        raise ValueError("a fit needs at least one parent to start from")
    for name, weights in parents.items():
        if weights.shape != (TOTAL_CHANNELS,):
            raise ValueError(f"the parent {name!r} has the shape {weights.shape}, expected ({TOTAL_CHANNELS},)")
    first, original = next(iter(parents.items()))
    targets = len(np.unique(pairs.targets))

    def kept(reason: str, agreement: float = float("nan"), before: float = float("nan")) -> Fit:
        seconds = perf_counter() - started
        return Fit(original, False, reason, first, None, agreement, before, len(pairs), targets, seconds)

    if not len(pairs):
        return kept("there are no ordered pairs: every candidate is tied, or no ranking came")
    data = _Comparisons(pairs)
    if not len(data.differences):
        return kept("all compared candidates look the same to the metric: their channel distances are equal")
    if not np.any(data.votes_for != data.votes_against):
        return kept("the rankings contradict each other exactly: every pair is ordered both ways equally often")
    if targets < 2:
        return kept("all rankings share one target: with a second one it can be told what carries over")

    searches = {name: _Search(data, weights) for name, weights in parents.items()}
    losses = np.stack([search.losses for search in searches.values()])  # (parents, folds, ridges)
    parent_index, ridge_index = _choose(losses)
    name = list(searches)[parent_index]
    search = searches[name]
    agreement = float(search.right[:, ridge_index].sum() / data.votes)
    before, spread = data.parent_agreement(original, search.right[:, ridge_index])
    if agreement < before - _TELLING * spread:
        return kept(
            f"on targets kept apart the fitted weights agree with {agreement:.1%} of the choices, {first} with "
            f"{before:.1%}: more rankings are needed",
            agreement,
            before,
        )
    fitted = data.rescaled(search.fit(ridge_index), original)
    if fitted is None:
        return kept("the rankings favour no channel at all: they contradict each other", agreement, before)
    return Fit(
        fitted,
        True,
        "",
        name,
        RIDGES[ridge_index],
        agreement,
        before,
        len(pairs),
        targets,
        perf_counter() - started,
        data.folds,
        {key: search.losses.sum(axis=0).tolist() for key, search in searches.items()},
    )


def _choose(losses: NDArray[np.float64]) -> tuple[int, int]:
    """Parent and ridge: of all that the folds cannot tell from the best (two standard errors), the most usual one.

    Few rankings make the plain minimum jump about; this stays with the first parent and the usual ridge until the
    data say otherwise.
    """
    total = losses.sum(axis=1)  # (parents, ridges)
    best = np.unravel_index(total.argmin(), total.shape)
    behind = losses - losses[best[0], :, best[1]][np.newaxis, :, np.newaxis]
    error = _TELLING * behind.std(axis=1, ddof=1) * np.sqrt(losses.shape[1])
    close = behind.sum(axis=1) <= error
    distance = np.abs(np.log(np.asarray(RIDGES) / USUAL_RIDGE))
    options = [(distance[ridge], parent, total[parent, ridge], ridge) for parent, ridge in np.argwhere(close)]
    _, parent, _, ridge = min(options)
    return int(parent), int(ridge)


class _Comparisons:
    """The pairs as a fit wants them: merged, standardised, divided into folds.

    m comparisons of two rows each: `differences` float32 `(m, 1152)` of standardised channel distances, `votes_for`
    and `votes_against` float64 `(m,)`, `fold` intp `(m,)`.
    """

    def __init__(self, pairs: RankedPairs) -> None:
        used = np.unique(np.concatenate([pairs.better, pairs.worse]))
        self.rows = pairs.rows[used]
        loudness = np.sqrt(np.square(self.rows, dtype=np.float64).mean(axis=0))
        self.loudness = np.maximum(loudness, _FLOOR * loudness.mean() or 1.0)
        low, high = np.minimum(pairs.better, pairs.worse), np.maximum(pairs.better, pairs.worse)
        keys, which = np.unique(np.stack([pairs.targets, low, high]), axis=1, return_inverse=True)
        targets, low, high = keys
        forward = np.bincount(which.ravel(), pairs.counts * (pairs.better < pairs.worse), len(targets))
        backward = np.bincount(which.ravel(), pairs.counts * (pairs.better > pairs.worse), len(targets))
        differences = ((pairs.rows[high] - pairs.rows[low]) / self.loudness).astype(np.float32)
        told_apart = differences.any(axis=1)
        self.differences = differences[told_apart]
        self.votes_for, self.votes_against = forward[told_apart], backward[told_apart]
        self.votes = float(self.votes_for.sum() + self.votes_against.sum())
        self.fold, self.folds = _fold_targets(targets[told_apart], self.votes_for + self.votes_against)
        if len(self.differences):
            power = np.einsum("ij,ij->i", self.differences, self.differences, dtype=np.float64)
            size = np.sqrt((self.votes_for + self.votes_against) @ power / self.votes)
            self.differences /= np.float32(size)
        few = len(self.differences) <= TOTAL_CHANNELS
        self.kernel = self.differences @ self.differences.T if few else None

    def problem(self, chosen: NDArray[np.bool_], directions: Vector) -> tuple[BoundedRanking, float]:
        """The chosen comparisons as a problem, and what a ridge of 1 is there."""
        kernel = None if self.kernel is None else self.kernel[np.ix_(chosen, chosen)]
        votes_for, votes_against = self.votes_for[chosen], self.votes_against[chosen]
        unit = float(votes_for.sum() + votes_against.sum()) / len(votes_for)
        return BoundedRanking(self.differences[chosen], votes_for, votes_against, directions, kernel), unit

    def right(self, scores: Vector, chosen: NDArray[np.bool_]) -> float:
        """Choices that these scores, `(chosen,)`, make too; equal ones count half."""
        sides = np.sign(scores)
        return 0.5 * float(self.votes_for[chosen] @ (1 + sides) + self.votes_against[chosen] @ (1 - sides))

    def losses(self, scores: Vector, chosen: NDArray[np.bool_]) -> Vector:
        """The loss of the chosen comparisons at each of `_SCALES` times their scores."""
        scaled = np.multiply.outer(_SCALES, scores)
        misses, excesses = np.maximum(1 - scaled, 0), np.maximum(1 + scaled, 0)
        return np.asarray(misses**2 @ self.votes_for[chosen] + excesses**2 @ self.votes_against[chosen])

    def parent_agreement(self, parent: NDArray[np.float32], fitted: Vector) -> tuple[float, float]:
        """The parent's agreement, and the standard error of the lead of `fitted`, the right choices in each fold."""
        scores = self.differences @ (parent * self.loudness).astype(np.float32)
        chosen = [self.fold == fold for fold in range(self.folds)]
        right = np.array([self.right(scores[fold], fold) for fold in chosen])
        spread = (fitted - right).std(ddof=1) * np.sqrt(self.folds) / self.votes
        return float(right.sum() / self.votes), float(spread)

    def rescaled(self, standardised: Vector, reference: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """Weights of the channels themselves, with the reference's mean distance; None where all are zero."""
        weights = standardised / self.loudness
        mean = self.rows.mean(axis=0, dtype=np.float64)
        if not (mean @ weights > 0):
            return None
        wanted = float(mean @ reference) or 1.0
        fitted: NDArray[np.float32] = (weights * (wanted / (mean @ weights))).astype(np.float32)
        return fitted


def _fold_targets(targets: NDArray[np.intp], votes: Vector) -> tuple[NDArray[np.intp], int]:
    """A fold for every comparison; a target's stay together, and folds are about equally heavy."""
    names, which = np.unique(targets, return_inverse=True)
    folds = min(FOLDS, len(names))
    weight = np.bincount(which, votes, len(names))
    loads = [0.0] * folds
    fold_of = np.zeros(len(names), np.intp)
    for name in np.argsort(-weight, kind="stable"):
        lightest = loads.index(min(loads))
        fold_of[name] = lightest
        loads[lightest] += float(weight[name])
    return fold_of[which], folds


class _Search:
    """Cross-validation of one parent over all ridges.

    `losses` is the held-out loss at the scale that suits each ridge, `right` the held-out choices made too, each
    float64 `(folds, ridges)`.
    """

    def __init__(self, data: _Comparisons, parent: NDArray[np.float32]) -> None:
        self._data = data
        self._directions, self._start = _layers_of(parent, data.loudness, data.differences)
        losses = np.zeros((len(_SCALES), data.folds, len(RIDGES)))
        self.right = np.zeros((data.folds, len(RIDGES)))
        for fold in range(data.folds):
            kept = data.fold != fold
            problem, unit = data.problem(kept, self._directions)
            weights = self._start
            for column, ridge in enumerate(RIDGES):
                weights = problem.solve(ridge * unit, weights, _SEARCH_TOLERANCE)
                scores = (data.differences[~kept] @ weights.astype(np.float32)).astype(np.float64)
                losses[:, fold, column] = data.losses(scores, ~kept)
                self.right[fold, column] = data.right(scores, ~kept)
        best = losses.sum(axis=1).argmin(axis=0)  # a scale for each ridge
        self.losses = losses[best, :, np.arange(len(RIDGES))].T

    def fit(self, column: int) -> Vector:
        """Standardised weights, float64 `(1152,)`, fitted to all comparisons with the ridge of that column."""
        problem, unit = self._data.problem(np.ones(len(self._data.differences), bool), self._directions)
        return problem.solve(RIDGES[column] * unit, self._start, _FINAL_TOLERANCE)


def _layers_of(parent: NDArray[np.float32], loudness: Vector, differences: Floats) -> tuple[Vector, Vector]:
    """The parent's layers as orthonormal directions, `(1152, ≤ 5)`, and the parent itself at a likely scale."""
    standardised = parent * loudness
    columns = []
    for layer in LAYERS:
        column = np.zeros(TOTAL_CHANNELS)
        column[layer] = standardised[layer]
        if column.any():
            columns.append(column / np.linalg.norm(column))
    typical = float(np.abs(differences @ standardised.astype(np.float32)).mean()) or 1.0
    return np.stack(columns, axis=1) if columns else np.zeros((TOTAL_CHANNELS, 0)), standardised / typical
