"""Ordered pairs as a fit wants them: merged into comparisons, every channel equally loud, divided into folds."""

from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from clpips.models.fitting.designs import Rows, by_comparisons
from clpips.models.fitting.solver import BoundedRanking, Design, Indices, Vector
from clpips.models.metric.backbone import TOTAL_CHANNELS
from clpips.models.rankings.pairs import RankedPairs

FOLDS: Final = 5
CANDIDATE_FOLDS: Final = 10
SCALES: Final = np.linspace(0.2, 1.2, 11)  # of held-out scores: only their order counts, a loss must not see more
_FLOOR: Final = 0.01  # of the mean channel: a channel that is silent in these images counts as this loud


class Comparisons:
    """The pairs as a fit wants them: merged, standardised, divided into folds.

    m comparisons of two rows each: `votes_for` and `votes_against` float64 `(m,)`; `differences` float32 `(m, 1152)` of
    standardised channel distances. `splits` are the folds: bool `(m,)` each, what is learned from and what is held out.
    """

    def __init__(self, pairs: RankedPairs) -> None:
        used = np.unique(np.concatenate([pairs.better, pairs.worse]))
        self.rows = pairs.rows[used]
        loudness = np.sqrt(np.square(self.rows, dtype=np.float64).mean(axis=0))
        self.loudness = np.maximum(loudness, _FLOOR * loudness.mean() or 1.0)
        better, worse = np.searchsorted(used, pairs.better), np.searchsorted(used, pairs.worse)
        low, high = np.minimum(better, worse), np.maximum(better, worse)
        keys, which = np.unique(np.stack([pairs.targets, low, high]), axis=1, return_inverse=True)
        targets, low, high = keys
        forward = np.bincount(which.ravel(), pairs.counts * (better < worse), len(targets))
        backward = np.bincount(which.ravel(), pairs.counts * (better > worse), len(targets))
        self._standardised = (self.rows / self.loudness).astype(np.float32)
        differences = self._standardised[high] - self._standardised[low]
        told_apart = differences.any(axis=1)
        self.differences = differences[told_apart]
        self._low, self._high = low[told_apart], high[told_apart]
        self.votes_for, self.votes_against = forward[told_apart], backward[told_apart]
        votes = self.votes_for + self.votes_against
        self.targets = targets[told_apart]
        self.splits, self.held_out = _splits(self.targets, self._low, self._high, votes)
        self.folds = len(self.splits)
        self.held_out_votes = float(sum(votes[held].sum() for _, held in self.splits))
        if len(self.differences):
            power = np.einsum("ij,ij->i", self.differences, self.differences, dtype=np.float64)
            size = np.float32(np.sqrt(votes @ power / votes.sum()))
            self.differences /= size
            self._standardised /= size
        few = len(self.differences) <= TOTAL_CHANNELS
        # A ranking of ten is 45 comparisons of ten rows: then the rows are the smaller problem.
        self._by_rows = len(self.rows) < min(len(self.differences), TOTAL_CHANNELS)
        self._kernel = None
        if self._by_rows:
            self._kernel = self._standardised @ self._standardised.T
        elif few:
            self._kernel = self.differences @ self.differences.T

    def problem(self, chosen: NDArray[np.bool_], directions: Vector) -> tuple[BoundedRanking, float]:
        """The chosen comparisons as a problem, and what a ridge of 1 is there."""
        votes_for, votes_against = self.votes_for[chosen], self.votes_against[chosen]
        unit = float(votes_for.sum() + votes_against.sum()) / len(votes_for)
        return BoundedRanking(self._design(chosen), votes_for, votes_against, directions), unit

    def _design(self, chosen: NDArray[np.bool_]) -> Design:
        if self._by_rows:
            return Rows(self._standardised, self._low[chosen], self._high[chosen], self._kernel)
        return by_comparisons(
            self.differences[chosen], None if self._kernel is None else self._kernel[np.ix_(chosen, chosen)]
        )

    def right(self, scores: Vector, chosen: NDArray[np.bool_]) -> float:
        """Choices that these scores, `(chosen,)`, make too; equal ones count half."""
        sides = np.sign(scores)
        return 0.5 * float(self.votes_for[chosen] @ (1 + sides) + self.votes_against[chosen] @ (1 - sides))

    def losses(self, scores: Vector, chosen: NDArray[np.bool_]) -> Vector:
        """The loss of the chosen comparisons at each of `SCALES` times their scores."""
        scaled = np.multiply.outer(SCALES, scores)
        misses, excesses = np.maximum(1 - scaled, 0), np.maximum(1 + scaled, 0)
        return np.asarray(misses**2 @ self.votes_for[chosen] + excesses**2 @ self.votes_against[chosen])

    def parent_agreement(self, parent: NDArray[np.float32], fitted: Vector) -> tuple[float, float]:
        """The parent's agreement, and the standard error of the lead of `fitted`, the right choices in each fold."""
        scores = self.differences @ (parent * self.loudness).astype(np.float32)
        right = np.array([self.right(scores[held], held) for _, held in self.splits])
        spread = (fitted - right).std(ddof=1) * np.sqrt(self.folds) / self.held_out_votes
        return float(right.sum() / self.held_out_votes), float(spread)

    def rescaled(self, standardised: Vector, reference: NDArray[np.float32]) -> NDArray[np.float32] | None:
        """Weights of the channels themselves, with the reference's mean distance; None where all are zero."""
        weights = standardised / self.loudness
        mean = self.rows.mean(axis=0, dtype=np.float64)
        if not (mean @ weights > 0):
            return None
        wanted = float(mean @ reference) or 1.0
        fitted: NDArray[np.float32] = (weights * (wanted / (mean @ weights))).astype(np.float32)
        return fitted


def _splits(
    targets: Indices, low: Indices, high: Indices, votes: Vector
) -> tuple[list[tuple[NDArray[np.bool_], NDArray[np.bool_]]], Literal["targets", "candidates"]]:
    """Folds of whole targets; of candidates where there is one target alone.

    To hold candidates out is to learn from the comparisons without them and to ask about those with one of them: a
    comparison between candidates of two folds is asked twice.
    """
    if len(np.unique(targets)) != 1:
        fold, folds = _fold_targets(targets, votes)
        return [(fold != one, fold == one) for one in range(folds)], "targets"
    rows = np.unique(np.concatenate([low, high]))
    fold_of = np.arange(len(rows)) % CANDIDATE_FOLDS  # one at a time, of a ranking of ten
    first, second = fold_of[np.searchsorted(rows, low)], fold_of[np.searchsorted(rows, high)]
    splits = [((first != one) & (second != one), (first == one) | (second == one)) for one in range(fold_of.max() + 1)]
    return [(learned, held) for learned, held in splits if learned.any() and held.any()], "candidates"


def _fold_targets(targets: Indices, votes: Vector) -> tuple[Indices, int]:
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
