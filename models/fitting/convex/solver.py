"""Projected Newton method for the bounded ranking problem behind every fit:

    minimise over u ≥ 0   ½ Σ_p [for_p max(0, 1 − x_p·u)² + against_p max(0, 1 + x_p·u)²]  +  ½ Σ_c (u_c − ū_c)² / s_c

`x_p` is the difference of two rows, ū the prior, s_c the variance of a coordinate: 1 for the coarse ones, which come
first, and strength² for the channels. Convex and piecewise quadratic: Newton steps on the free coordinates, projected
onto the bound (Bertsekas, "Projected Newton Methods for Optimization Problems with Simple Constraints", SIAM J. Control
and Optimization 20, 1982), end after a handful of iterations. How a step is found stands in `newton_steps.py`.

Shapes: n rows, m comparisons, d coordinates.
"""

from collections.abc import Callable
from typing import Final

import numpy as np

from clpips.models.fitting.convex.arrays import Chosen, Floats, Vector
from clpips.models.fitting.convex.graph import Graph

MAX_ITERATIONS: Final = 100
SUFFICIENT: Final = 1e-4  # of the decrease that the gradient promises (Armijo's rule)
SHORTEST_STEP: Final = 1e-6


class BoundedRanking:
    """m comparisons of n rows: row `low[p]` is nearer than row `high[p]`, or the contrary. Row n is zero (a *ground*).

    The rows are float32 `(n, d)`, the comparisons the edges of a graph; `votes_for` and `votes_against`, float64
    `(m,)`, ≥ 0, say how many people hold the one and the other.
    """

    def __init__(self, rows: Floats, graph: Graph, votes_for: Vector, votes_against: Vector) -> None:
        self._rows = rows
        self.graph = graph
        self._for, self._against = votes_for, votes_against

    def solve(self, prior: Vector, variance: Vector, start: Vector, step: "Step", tolerance: float) -> Vector:
        """u, float64 `(d,)`, ≥ 0, where an iteration lowers the objective by no more than `tolerance` of itself."""
        u = np.maximum(start, 0)  # (d,)
        precision = 1 / variance  # (d,)
        value, scores, strain = self._at(prior, precision, u)
        for _ in range(MAX_ITERATIONS):
            gradient, curvature = self._derivatives(strain, scores)  # (d,), (m,)
            free = (u > 0) | (gradient < 0)  # (d,)
            towards = step(np.where(free, gradient, 0), free, curvature)  # (d,)
            length, before = 1.0, value
            while length > SHORTEST_STEP:  # backtracking line search
                moved = np.maximum(u + length * towards, 0)
                there, its_scores, its_strain = self._at(prior, precision, moved)
                if there <= value - SUFFICIENT * float(gradient @ (u - moved)):
                    u, value, scores, strain = moved, there, its_scores, its_strain
                    break
                length /= 2
            if before - value <= tolerance * before:
                break
        return u

    def objective(self, prior: Vector, variance: Vector, u: Vector) -> float:
        """The objective at u, `(d,)`."""
        return self._at(prior, 1 / variance, u)[0]

    def _at(self, prior: Vector, precision: Vector, u: Vector) -> tuple[float, Vector, Vector]:
        """The objective at u, `(d,)`, the scores there, `(m,)`, and how the ridge pulls, `(d,)`."""
        scores = self.graph.gaps(self.distances(u))  # (m,)
        misses, excesses = np.maximum(1 - scores, 0), np.maximum(1 + scores, 0)  # (m,)
        off = u - prior  # (d,)
        strain = off * precision  # (d,)
        return 0.5 * float(self._for @ misses**2 + self._against @ excesses**2 + off @ strain), scores, strain

    def _derivatives(self, strain: Vector, scores: Vector) -> tuple[Vector, Vector]:
        """Gradient in u, `(d,)`, and each comparison's second derivative in its score, `(m,)`."""
        pull = self._against * np.maximum(1 + scores, 0) - self._for * np.maximum(1 - scores, 0)  # (m,)
        curvature = self._for * (scores < 1) + self._against * (scores > -1)  # (m,)
        return self.gathered(self.graph.at_rows(pull)) + strain, curvature

    def distances(self, u: Vector) -> Vector:
        """Of each row, `(n,)`, by weights u, `(d,)`."""
        return np.asarray((self._rows @ u.astype(np.float32)).astype(np.float64))

    def gathered(self, pull: Vector) -> Vector:
        """Rowsᵀ pull, `(n,)` -> `(d,)`."""
        return np.asarray((pull.astype(np.float32) @ self._rows).astype(np.float64))


Step = Callable[[Vector, Chosen, Vector], Vector]  # gradient (d,), free coordinates (d,), curvature (m,) -> (d,)
