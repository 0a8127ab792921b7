"""Projected Newton method for the squared hinge with a ridge, over weights that may not be negative.

    minimise over w ≥ 0    ½ Σ_p [ for_p · max(0, 1 − x_p·w)² + against_p · max(0, 1 + x_p·w)² ]
                         + ½ ridge · min over a of ‖w − Q a‖²

`x_p` is the difference of two candidates' channel distances; Q's orthonormal columns are the directions that cost
nothing. The problem is convex and piecewise quadratic, so Newton steps on the free weights, projected on the bound
(Bertsekas, "Projected Newton methods for optimization problems with simple constraints", SIAM J. Control Optim. 1982),
end after a handful of iterations where L-BFGS-B takes hundreds. What a step costs is up to the form in which the design
matrix x comes: `designs.py`.

Shapes: m pairs, c channels, f of them free (not held at the bound by the gradient), k directions.
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Vector = NDArray[np.float64]
Floats = NDArray[np.float32]
Indices = NDArray[np.intp]

MAX_ITERATIONS = 200
SUFFICIENT = 1e-4  # share of the decrease that the gradient promises, for a step to be taken (Armijo)
SHORTEST_STEP = 1e-6


class Design(Protocol):
    """Design matrix x, `(m, c)`, of one problem, in a form that suits its shape; it may learn from its calls."""

    def scores(self, w: Vector) -> Vector:
        """`x w`, float64 `(m,)`."""

    def gathered(self, pull: Vector) -> Vector:
        """`xᵀ pull`, float64 `(c,)`."""

    def direction(self, gradient: Vector, free: Indices, curvature: Vector, q: Vector, ridge: float) -> Vector:
        """Newton direction: solves `H d = −gradient` on the free weights, H = xᵀ diag(curvature) x + ridge (I − q qᵀ).

        `gradient` is `(f,)`, `curvature` `(m,)`, and `q` `(f, k)`, the free weights' part of Q.
        """


class BoundedRanking:
    """One problem, to be solved for several ridges: from the largest down, each from the last one's solution.

    `votes_for` and `votes_against` are float64 `(m,)`, ≥ 0; `directions`, Q, is float64 `(c, k)` with orthonormal
    columns.
    """

    def __init__(self, design: Design, votes_for: Vector, votes_against: Vector, directions: Vector) -> None:
        self._design = design
        self._for = votes_for
        self._against = votes_against
        self._q = directions

    def solve(self, ridge: float, start: Vector, tolerance: float) -> Vector:
        """Weights float64 `(c,)`, ≥ 0, where an iteration lowers the objective by less than `tolerance` of itself."""
        w = np.maximum(start, 0)  # (c,)
        objective, scores = self.objective(ridge, w)
        for _ in range(MAX_ITERATIONS):
            gradient, curvature = self._derivatives(ridge, w, scores)  # (c,), (m,)
            free = np.flatnonzero((w > 0) | (gradient < 0))  # (f,)
            if not len(free):
                break
            towards = self._design.direction(gradient[free], free, curvature, self._q[free], ridge)  # (f,)
            step, before = 1.0, objective
            while step > SHORTEST_STEP:  # backtracking line search
                moved = w.copy()
                moved[free] = np.maximum(w[free] + step * towards, 0)
                there, its_scores = self.objective(ridge, moved)
                if there <= objective - SUFFICIENT * float(gradient[free] @ (w[free] - moved[free])):
                    w, objective, scores = moved, there, its_scores
                    break
                step /= 2
            if before - objective <= tolerance * before:
                break
        return w

    def objective(self, ridge: float, w: Vector) -> tuple[float, Vector]:
        """The objective at w, `(c,)`, and the scores there, `(m,)`."""
        scores = self._design.scores(w)  # (m,)
        misses, excesses = np.maximum(1 - scores, 0), np.maximum(1 + scores, 0)  # (m,)
        hinge = self._for @ misses**2 + self._against @ excesses**2
        rest = w - self._q @ (self._q.T @ w)  # (c,)
        return 0.5 * float(hinge + ridge * (rest @ rest)), scores

    def _derivatives(self, ridge: float, w: Vector, scores: Vector) -> tuple[Vector, Vector]:
        """Gradient in w, `(c,)`, and each pair's second derivative in its score, `(m,)`."""
        pull = self._against * np.maximum(1 + scores, 0) - self._for * np.maximum(1 - scores, 0)  # (m,)
        gradient = self._design.gathered(pull) + ridge * (w - self._q @ (self._q.T @ w))  # (c,)
        return gradient, self._for * (scores < 1) + self._against * (scores > -1)
