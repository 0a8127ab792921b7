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
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Floats = NDArray[np.float32]
Indices = NDArray[np.intp]
Chosen = NDArray[np.bool_]

MAX_ITERATIONS: Final = 100
SUFFICIENT: Final = 1e-4  # of the decrease that the gradient promises (Armijo's rule)
SHORTEST_STEP: Final = 1e-6


class BoundedRanking:
    """m comparisons of n rows, float32 `(n, d)`: row `low[p]` is nearer than row `high[p]`, or the contrary.

    `votes_for` and `votes_against`, float64 `(m,)`, ≥ 0, say how many people hold the one and the other.
    """

    def __init__(self, rows: Floats, low: Indices, high: Indices, votes_for: Vector, votes_against: Vector) -> None:
        self._rows = rows
        self._low, self._high = low, high
        self._for, self._against = votes_for, votes_against

    def solve(self, prior: Vector, variance: Vector, start: Vector, step: "Step", tolerance: float) -> Vector:
        """u, float64 `(d,)`, ≥ 0, where an iteration lowers the objective by no more than `tolerance` of itself."""
        u = np.maximum(start, 0)  # (d,)
        value, scores = self.objective(prior, variance, u)
        for _ in range(MAX_ITERATIONS):
            gradient, curvature = self.derivatives(prior, variance, u, scores)  # (d,), (m,)
            free = (u > 0) | (gradient < 0)  # (d,)
            towards = step(np.where(free, gradient, 0), free, curvature)  # (d,)
            length, before = 1.0, value
            while length > SHORTEST_STEP:  # backtracking line search
                moved = np.maximum(u + length * towards, 0)
                there, its_scores = self.objective(prior, variance, moved)
                if there <= value - SUFFICIENT * float(gradient @ (u - moved)):
                    u, value, scores = moved, there, its_scores
                    break
                length /= 2
            if before - value <= tolerance * before:
                break
        return u

    def objective(self, prior: Vector, variance: Vector, u: Vector) -> tuple[float, Vector]:
        """The objective at u, `(d,)`, and the scores there, `(m,)`."""
        scores = self.gaps(self.distances(u))  # (m,)
        misses, excesses = np.maximum(1 - scores, 0), np.maximum(1 + scores, 0)  # (m,)
        off = u - prior  # (d,)
        return 0.5 * float(self._for @ misses**2 + self._against @ excesses**2 + off @ (off / variance)), scores

    def derivatives(self, prior: Vector, variance: Vector, u: Vector, scores: Vector) -> tuple[Vector, Vector]:
        """Gradient in u, `(d,)`, and each comparison's second derivative in its score, `(m,)`."""
        pull = self._against * np.maximum(1 + scores, 0) - self._for * np.maximum(1 - scores, 0)  # (m,)
        curvature = self._for * (scores < 1) + self._against * (scores > -1)  # (m,)
        return self.gathered(self.at_rows(pull)) + (u - prior) / variance, curvature

    def distances(self, u: Vector) -> Vector:
        """Of each row, `(n,)`, by weights u, `(d,)`."""
        return np.asarray((self._rows @ u.astype(np.float32)).astype(np.float64))

    def gaps(self, distances: Vector) -> Vector:
        """Of each comparison, `(m,)`: by how much its second row is further than its first, of distances `(n,)`."""
        return np.asarray(distances[self._high] - distances[self._low])

    def at_rows(self, pull: Vector) -> Vector:
        """The reverse: what pulls at comparisons, `(m,)`, as what pulls at rows, `(n,)`."""
        n = len(self._rows)
        return np.asarray(np.bincount(self._high, pull, n) - np.bincount(self._low, pull, n))

    def gathered(self, pull: Vector) -> Vector:
        """Rowsᵀ pull, `(n,)` -> `(d,)`."""
        return np.asarray((pull.astype(np.float32) @ self._rows).astype(np.float64))

    def laplacian(self, curvature: Vector) -> Vector:
        """L, `(n, n)`: of the graph whose nodes are rows and whose edges are comparisons, weighted by `(m,)`."""
        n = len(self._rows)
        edges = np.bincount(self._low * n + self._high, curvature, n * n).reshape(n, n)
        edges += edges.T
        return np.asarray(np.diag(edges.sum(axis=0)) - edges)


Step = Callable[[Vector, Chosen, Vector], Vector]  # gradient (d,), free coordinates (d,), curvature (m,) -> (d,)
