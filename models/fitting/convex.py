"""Ordered pairs → weights: the convex recipe. (The paper's own recipe is `paper.py`.)

Every channel is measured by its root mean square over the ranking's images, so that the ridge acts on what a channel
adds to a distance and not on a weight that is large because its channel is quiet. The loss is the squared hinge of
the pairs; the ridge pulls towards the parent, whose five layers may each be scaled freely, because rankings determine
no scale and LPIPS's balance of layers is what people differ from first. Parent and ridge are chosen by
cross-validation over targets. One optimum, deterministic, no epochs.

The margin of the hinge is no parameter here: with the scale free, another gives the same weights times a constant.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from threading import Lock
from time import perf_counter
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from threadpoolctl import ThreadpoolController

from clpips.models.fitting.comparisons import SCALES, Comparisons
from clpips.models.fitting.solver import Floats, Vector
from clpips.models.metric.backbone import LAYERS, TOTAL_CHANNELS
from clpips.models.metric.weights_files import load_weights
from clpips.models.rankings.pairs import RankedPairs

RIDGES: Final = (30.0, 10.0, 3.0, 1.0, 0.5, 0.2)  # in units of the mean squared difference of a pair
PERSONAL_RIDGES: Final = (3.0, 1.0, 0.3)
USUAL_RIDGE: Final = 1.0  # where data sets of 50 to 20,000 comparisons alike came out
_TELLING = 2.0  # standard errors over the folds that make a difference one to act on
# One BLAS thread: beside an engine that keeps all cores busy, several wait for each other (1.5 s become a minute).
# The number is the process's, not the thread's: hence one fit at a time.
_ONE_AT_A_TIME: Final = Lock()
_BLAS: Final = ThreadpoolController()
_SEARCH_TOLERANCE, _FINAL_TOLERANCE = 1e-2, 1e-7  # relative decrease of the objective


@dataclass(frozen=True, eq=False)
class Fit:
    """What a fit gave.

    `weights` is float32 `(1152,)`, ≥ 0: the fitted ones, or the first parent's where `supported` is False, with
    `reason` in plain words; `fitted` are the fitted ones even then, None where there are none. `agreement` and
    `parent_agreement` are the shares of the people's choices, in [0, 1], that the fit and the first parent make on what
    was kept out of the fit (cross-validation; NaN where there was none): whole targets, or candidates (`held_out`).
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
    held_out: Literal["targets", "candidates"] = "targets"
    fitted: NDArray[np.float32] | None = None
    used_ridge: float | None = None  # of `fitted`
    blind: tuple[tuple[NDArray[np.intp], NDArray[np.float32]], ...] = ()  # targets held out, and weights blind to them
    loss: Mapping[str, list[float]] = field(default_factory=dict)  # parent → cross-validated loss of each ridge


def default_parents() -> dict[str, NDArray[np.float32]]:
    """LPIPS v0.1, and equal weights on all channels: on some people's rankings the second is the better start."""
    return {"lpips": load_weights("lpips").values, "equal": np.ones(TOTAL_CHANNELS, np.float32)}


def fit_convex(
    pairs: RankedPairs,
    parents: Mapping[str, NDArray[np.float32]] | None = None,
    *,
    ridges: Sequence[float] = RIDGES,
    one_target: bool = False,
) -> Fit:
    """Fit weights to people's ordered pairs.

    `parents` are named weights, float32 `(1152,)`, to start from; the first is the one to compare with and to return
    where the pairs do not support a fit. Without any: `default_parents()`. The fitted weights are scaled so that the
    mean distance over `pairs.rows` is the first parent's: 0.3 stays as far as it was. Deterministic.

    Cross-validation tries `ridges`, the largest first. With `one_target`, rankings that all share a target support a
    fit too: cross-validation then keeps candidates apart. Raises `ValueError` for no parent or one of another shape.
    """
    with _ONE_AT_A_TIME, _BLAS.limit(limits=1, user_api="blas"):
        return _fit(pairs, parents, ridges, one_target)


def fit_personal(pairs: RankedPairs, parent: NDArray[np.float32], name: str = "lpips") -> Fit:
    """Fit one person's rankings as the service does after each of them: quick, and content with a single target.

    The search is narrower than `fit_convex`'s own, because it has to end while the person still looks at the screen.
    """
    return fit_convex(pairs, {name: parent}, ridges=PERSONAL_RIDGES, one_target=True)


def _fit(
    pairs: RankedPairs, parents: Mapping[str, NDArray[np.float32]] | None, ridges: Sequence[float], one_target: bool
) -> Fit:
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
    data = Comparisons(pairs)
    if not len(data.differences):
        return kept("all compared candidates look the same to the metric: their channel distances are equal")
    if not np.any(data.votes_for != data.votes_against):
        return kept("the rankings contradict each other exactly: every pair is ordered both ways equally often")
    if targets < 2 and not (one_target and data.folds > 1):
        return kept("all rankings share one target: with a second one it can be told what carries over")

    searches = {name: _Search(data, weights, ridges) for name, weights in parents.items()}
    losses = np.stack([search.losses for search in searches.values()])  # (parents, folds, ridges)
    parent_index, ridge_index = _choose(losses, ridges)
    name = list(searches)[parent_index]
    search = searches[name]
    agreement = float(search.right[:, ridge_index].sum() / data.held_out_votes)
    before, spread = data.parent_agreement(original, search.right[:, ridge_index])
    fitted = data.rescaled(search.fit(ridge_index), original)
    if fitted is None:
        return kept("the rankings favour no channel at all: they contradict each other", agreement, before)
    supported = agreement >= before - _TELLING * spread
    reason = (
        f"on {data.held_out} kept apart the fitted weights agree with {agreement:.1%} of the choices, {first} with "
        f"{before:.1%}: more rankings are needed"
    )
    return Fit(
        weights=fitted if supported else original,
        supported=supported,
        reason="" if supported else reason,
        parent=name if supported else first,
        ridge=ridges[ridge_index] if supported else None,
        used_ridge=ridges[ridge_index],
        agreement=agreement,
        parent_agreement=before,
        pairs=len(pairs),
        targets=targets,
        seconds=perf_counter() - started,
        folds=data.folds,
        held_out=data.held_out,
        fitted=fitted,
        blind=tuple(
            (np.unique(data.targets[held]), (weights[ridge_index] / data.loudness).astype(np.float32))
            for (_, held), weights in zip(data.splits, search.weights, strict=True)
            if data.held_out == "targets"
        ),
        loss={key: search.losses.sum(axis=0).tolist() for key, search in searches.items()},
    )


def _choose(losses: NDArray[np.float64], ridges: Sequence[float]) -> tuple[int, int]:
    """Parent and ridge: of all that the folds cannot tell from the best (two standard errors), the most usual one.

    Few rankings make the plain minimum jump about; this stays with the first parent and the usual ridge until the
    data say otherwise.
    """
    total = losses.sum(axis=1)  # (parents, ridges)
    best = np.unravel_index(total.argmin(), total.shape)
    behind = losses - losses[best[0], :, best[1]][np.newaxis, :, np.newaxis]
    error = _TELLING * behind.std(axis=1, ddof=1) * np.sqrt(losses.shape[1])
    close = behind.sum(axis=1) <= error
    distance = np.abs(np.log(np.asarray(ridges) / USUAL_RIDGE))
    options = [(distance[ridge], parent, total[parent, ridge], ridge) for parent, ridge in np.argwhere(close)]
    _, parent, _, ridge = min(options)
    return int(parent), int(ridge)


class _Search:
    """Cross-validation of one parent over all ridges.

    `losses` is the held-out loss at the scale that suits each ridge, `right` the held-out choices made too, each
    float64 `(folds, ridges)`.
    """

    def __init__(self, data: Comparisons, parent: NDArray[np.float32], ridges: Sequence[float]) -> None:
        self._data = data
        self._ridges = ridges
        self._directions, self._start = _layers_of(parent, data.loudness, data.differences)
        losses = np.zeros((len(SCALES), data.folds, len(ridges)))
        self.right = np.zeros((data.folds, len(ridges)))
        self.weights: list[list[Vector]] = []  # of each fold and ridge
        for fold, (kept, held) in enumerate(data.splits):
            problem, unit = data.problem(kept, self._directions)
            weights = self._start
            self.weights.append([])
            for column, ridge in enumerate(ridges):
                weights = problem.solve(ridge * unit, weights, _SEARCH_TOLERANCE)
                self.weights[-1].append(weights)
                scores = (data.differences[held] @ weights.astype(np.float32)).astype(np.float64)
                losses[:, fold, column] = data.losses(scores, held)
                self.right[fold, column] = data.right(scores, held)
        best = losses.sum(axis=1).argmin(axis=0)  # a scale for each ridge
        self.losses = losses[best, :, np.arange(len(ridges))].T

    def fit(self, column: int) -> Vector:
        """Standardised weights, float64 `(1152,)`, fitted to all comparisons with the ridge of that column."""
        problem, unit = self._data.problem(np.ones(len(self._data.differences), bool), self._directions)
        return problem.solve(self._ridges[column] * unit, self._start, _FINAL_TOLERANCE)


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
