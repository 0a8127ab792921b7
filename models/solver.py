"""The bounded ranking problem behind the convex recipe, solved by a projected Newton method.

    minimise over w ≥ 0    ½ Σ_p [ for_p · max(0, 1 − x_p·w)² + against_p · max(0, 1 + x_p·w)² ]
                         + ½ ridge · min over a of ‖w − Q a‖²

`x_p` is the difference of two candidates' channel distances; Q's orthonormal columns are the directions that cost
nothing. The problem is convex and piecewise quadratic, so Newton steps on the free weights, projected on the bound
(Bertsekas, "Projected Newton methods for optimization problems with simple constraints", SIAM J. Control Optim. 1982),
end after a handful of iterations where L-BFGS-B takes hundreds.
"""

from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import cho_factor, cho_solve

Vector = NDArray[np.float64]
Floats = NDArray[np.float32]

MAX_ITERATIONS = 200
SUFFICIENT = 1e-4  # share of the decrease that the gradient promises, for a step to be taken (Armijo)
SHORTEST_STEP = 1e-6
NUDGE = 1e-8  # of the ridge: keeps directions that no comparison touches from making a system singular


class BoundedRanking:
    """One problem, to be solved for several ridges: from the largest down, each from the last one's solution.

    `differences` is float32 `(m, d)`; `votes_for` and `votes_against` are float64 `(m,)`, ≥ 0; `directions` is float64
    `(d, k)` with orthonormal columns; `kernel`, where the caller has it, is `differences @ differences.T`.
    """

    def __init__(
        self, differences: Floats, votes_for: Vector, votes_against: Vector, directions: Vector, kernel: Floats | None
    ) -> None:
        self._x = differences
        self._for = votes_for
        self._against = votes_against
        self._q = directions
        few = len(differences) <= differences.shape[1]
        self._newton: _Newton = _FewComparisons(differences, kernel) if few else _ManyComparisons(differences)

    def solve(self, ridge: float, start: Vector, tolerance: float) -> Vector:
        """Weights float64 `(d,)`, ≥ 0, where an iteration lowers the objective by less than `tolerance` of itself."""
        w = np.maximum(start, 0)
        objective, scores = self._objective(ridge, w)
        for _ in range(MAX_ITERATIONS):
            gradient, curvature = self._derivatives(ridge, w, scores)
            free = np.flatnonzero((w > 0) | (gradient < 0))
            if not len(free):
                break
            towards = self._newton.direction(gradient[free], free, curvature, self._q[free], ridge)
            step, before = 1.0, objective
            while step > SHORTEST_STEP:
                moved = w.copy()
                moved[free] = np.maximum(w[free] + step * towards, 0)
                there, its_scores = self._objective(ridge, moved)
                if there <= objective - SUFFICIENT * float(gradient[free] @ (w[free] - moved[free])):
                    w, objective, scores = moved, there, its_scores
                    break
                step /= 2
            if before - objective <= tolerance * before:
                break
        return w

    def _objective(self, ridge: float, w: Vector) -> tuple[float, Vector]:
        scores = (self._x @ w.astype(np.float32)).astype(np.float64)
        misses, excesses = np.maximum(1 - scores, 0), np.maximum(1 + scores, 0)
        hinge = self._for @ misses**2 + self._against @ excesses**2
        rest = w - self._q @ (self._q.T @ w)
        return 0.5 * float(hinge + ridge * (rest @ rest)), scores

    def _derivatives(self, ridge: float, w: Vector, scores: Vector) -> tuple[Vector, Vector]:
        """Gradient in w, `(d,)`, and each comparison's second derivative in its score, `(m,)`."""
        pull = self._against * np.maximum(1 + scores, 0) - self._for * np.maximum(1 - scores, 0)
        gradient = (pull.astype(np.float32) @ self._x).astype(np.float64) + ridge * (w - self._q @ (self._q.T @ w))
        return gradient, self._for * (scores < 1) + self._against * (scores > -1)


class _Newton(Protocol):
    """Solves `H d = −g` on the free weights, H = xᵀ diag(curvature) x + ridge (I − q qᵀ)."""

    def direction(
        self, gradient: Vector, free: NDArray[np.intp], curvature: Vector, q: Vector, ridge: float
    ) -> Vector: ...


class _FewComparisons:
    """By Woodbury's identity: a system as large as the number of comparisons."""

    def __init__(self, x: Floats, kernel: Floats | None) -> None:
        self._x = x
        self._kernel = x @ x.T if kernel is None else kernel

    def direction(self, gradient: Vector, free: NDArray[np.intp], curvature: Vector, q: Vector, ridge: float) -> Vector:
        active = np.flatnonzero(curvature)
        root = np.sqrt(curvature[active])
        rows = self._x if len(active) == len(self._x) else self._x[active]
        x = rows[:, free]
        projected = root[:, np.newaxis] * (x @ np.column_stack([gradient, q]).astype(np.float32))
        small = self._on_free(active, free, rows, x)
        small *= root.astype(np.float32)[:, np.newaxis]
        small *= (root / ridge).astype(np.float32)
        small[np.diag_indices_from(small)] += 1
        factor = cho_factor(small, lower=True, overwrite_a=True, check_finite=False)
        solved = cho_solve(factor, projected.astype(np.float32), check_finite=False).astype(np.float64)
        # With a = qᵀd and β = √curvature · x d:  d = q a − (g + xᵀ√curvature β) / ridge.
        inner = projected[:, 1:].T @ solved[:, 1:] + ridge * ((1 + NUDGE) * np.eye(q.shape[1]) - q.T @ q)
        a = np.linalg.solve(inner, projected[:, 1:].T @ solved[:, 0] / ridge - q.T @ gradient)
        beta = solved[:, 1:] @ a - solved[:, 0] / ridge
        return q @ a - (gradient + ((root * beta).astype(np.float32) @ x)) / ridge

    def _on_free(self, active: NDArray[np.intp], free: NDArray[np.intp], rows: Floats, x: Floats) -> Floats:
        """`x @ x.T`, from the whole kernel less the bound weights' part where that is the shorter way."""
        bound = np.ones(self._x.shape[1], bool)
        bound[free] = False
        if 2 * len(free) < len(bound):
            return x @ x.T
        kernel = self._kernel if len(active) == len(self._kernel) else self._kernel[np.ix_(active, active)]
        outside = rows[:, bound]
        return kernel - outside @ outside.T


class _ManyComparisons:
    """By the Gram matrix of all weights, kept from call to call: comparisons whose curvature stayed are not redone."""

    def __init__(self, x: Floats) -> None:
        self._x = x
        self._curvature = np.zeros(len(x))
        self._gram = np.zeros((x.shape[1], x.shape[1]))

    def direction(self, gradient: Vector, free: NDArray[np.intp], curvature: Vector, q: Vector, ridge: float) -> Vector:
        self._update(curvature)
        hessian = self._gram[np.ix_(free, free)] - ridge * (q @ q.T)
        hessian[np.diag_indices_from(hessian)] += ridge * (1 + NUDGE) + NUDGE * self._gram.diagonal().max()
        factor = cho_factor(hessian, lower=True, overwrite_a=True, check_finite=False)
        return np.asarray(-cho_solve(factor, gradient, check_finite=False))

    def _update(self, curvature: Vector) -> None:
        change = curvature - self._curvature
        changed = np.flatnonzero(change)
        if 2 * len(changed) > len(change):
            scaled = self._x * np.sqrt(curvature)[:, np.newaxis].astype(np.float32)
            self._gram = (scaled.T @ scaled).astype(np.float64)
        else:
            for sign in (1, -1):
                rows = changed[sign * change[changed] > 0]
                scaled = self._x[rows] * np.sqrt(np.abs(change[rows]))[:, np.newaxis].astype(np.float32)
                self._gram += sign * (scaled.T @ scaled)
        self._curvature = curvature
