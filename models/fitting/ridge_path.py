"""Regularisation path: fits with every ridge, the largest first and each from the last one's solution.

Held-out pairs are judged by their squared hinge loss.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from clpips.models.fitting.solver import Vector
from clpips.models.fitting.voted_pairs import VotedPairs
from clpips.models.metric.families import GROUPS, Z_LENGTH

# Calibration of held-out scores: they are multiplied by whichever of these gives the smallest loss. A ranking says how
# candidates are ordered and nothing of the scale, but the hinge wants scores of 1 or more and sees the scale as well.
SCORE_SCALES: Final = np.linspace(0.2, 1.2, 11)
_SEARCH_TOLERANCE, _FINAL_TOLERANCE = 1e-2, 1e-7  # relative decrease of the objective


class RidgePath:
    """The fits towards one parent: on every split with every ridge, and on all pairs with the ridge that is chosen.

    `splits` are masks of the m pairs that are learned from and of those that are held out, bool `(m,)` each. `losses`
    is the held-out loss after calibration, `agreeing` the held-out votes agreed with: float64 `(folds, ridges)`.
    `weights[fold][ridge]`, `(c,)`, are the standardised weights.
    """

    def __init__(
        self,
        pairs: VotedPairs,
        splits: Sequence[tuple[NDArray[np.bool_], NDArray[np.bool_]]],
        parent: NDArray[np.float32],
        ridges: Sequence[float],
    ) -> None:
        self._pairs = pairs
        self._ridges = ridges
        self._directions, self._start = _layers_of(parent, pairs)
        losses = np.zeros((len(SCORE_SCALES), len(splits), len(ridges)))  # (scales, folds, ridges)
        self.agreeing = np.zeros((len(splits), len(ridges)))
        self.weights: list[list[Vector]] = []
        for place, (learned, held_out) in enumerate(splits):
            problem, unit = pairs.problem(learned, self._directions)
            weights = self._start
            self.weights.append([])
            for column, ridge in enumerate(ridges):
                weights = problem.solve(ridge * unit, weights, _SEARCH_TOLERANCE)
                self.weights[-1].append(weights)
                scores = pairs.scores(weights, held_out)  # (held out,)
                losses[:, place, column] = pairs.loss(np.multiply.outer(SCORE_SCALES, scores), held_out)
                self.agreeing[place, column] = pairs.agreeing(scores, held_out)
        best = losses.sum(axis=1).argmin(axis=0)  # (ridges,): a scale for each
        self.losses = losses[best, :, np.arange(len(ridges))].T

    def refit(self, column: int) -> Vector:
        """Standardised weights, float64 `(c,)`, fitted to all pairs with the ridge of that column."""
        problem, unit = self._pairs.problem(np.ones(len(self._pairs), bool), self._directions)
        return problem.solve(self._ridges[column] * unit, self._start, _FINAL_TOLERANCE)


def _layers_of(parent: NDArray[np.float32], pairs: VotedPairs) -> tuple[Vector, Vector]:
    """The parent's groups as orthonormal directions, `(c, ≤ 15)`, and the parent itself at a likely scale, `(c,)`.

    A group is a layer of a family.
    """
    standardised = pairs.standardise(parent)  # (c,)
    columns = []
    for group in GROUPS:
        column = np.zeros(Z_LENGTH)
        column[group.place] = standardised[group.place]
        if column.any():
            columns.append(column / np.linalg.norm(column))
    typical = float(np.abs(pairs.differences @ standardised.astype(np.float32)).mean()) or 1.0  # score of a pair
    return np.stack(columns, axis=1) if columns else np.zeros((Z_LENGTH, 0)), standardised / typical
