"""The bounded ranking problem of `models/solver.py`, where people compared the same few rows again and again.

A ranking of ten candidates is 45 comparisons, but they span nine directions: the comparisons are the edges of a graph
whose nodes are the rows. With L the graph's Laplacian, its edges weighted by their second derivatives, and R the rows,
the Hessian is Rᵀ L R + ridge (I − Q Qᵀ), and a Newton step costs a system as large as the number of rows instead of
the number of comparisons. Same problem, same method, same optimum; several times as fast from two rankings on.
"""

import numpy as np
from numpy.typing import NDArray

from models.solver import MAX_ITERATIONS, NUDGE, SHORTEST_STEP, SUFFICIENT, Floats, Vector

Indices = NDArray[np.intp]


class RowRanking:
    """One problem, to be solved for several ridges: from the largest down, each from the last one's solution.

    `rows` is float32 `(r, d)`. Comparison p says that row `low[p]` is nearer than row `high[p]`, with `votes_for[p]`,
    float64 `(m,)`, ≥ 0, and the contrary with `votes_against[p]`. `directions` is float64 `(d, k)`, orthonormal.
    `kernel`, where the caller has it, is `rows @ rows.T`.
    """

    def __init__(
        self,
        rows: Floats,
        low: Indices,
        high: Indices,
        votes_for: Vector,
        votes_against: Vector,
        directions: Vector,
        kernel: Floats | None = None,
    ) -> None:
        used, places = np.unique(np.concatenate([low, high]), return_inverse=True)
        self._rows = np.ascontiguousarray(rows[used])
        self._columns = np.ascontiguousarray(self._rows.T)  # a channel's numbers side by side: some are picked often
        self._low, self._high = places[: len(low)], places[len(low) :]
        self._for = votes_for
        self._against = votes_against
        self._q = directions
        self._kernel = self._rows @ self._rows.T if kernel is None else kernel[np.ix_(used, used)]
        self._seen = np.ones(rows.shape[1], bool)  # the channels that `_kernel` is over

    def solve(self, ridge: float, start: Vector, tolerance: float) -> Vector:
        """Weights float64 `(d,)`, ≥ 0, where an iteration lowers the objective by less than `tolerance` of itself."""
        w = np.maximum(start, 0)
        objective, scores = self._objective(ridge, w)
        for _ in range(MAX_ITERATIONS):
            gradient, curvature = self._derivatives(ridge, w, scores)
            mask = (w > 0) | (gradient < 0)
            free = np.flatnonzero(mask)
            if not len(free):
                break
            towards = self._direction(gradient[free], mask, free, curvature, ridge)
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
        distances = (self._rows @ w.astype(np.float32)).astype(np.float64)
        scores = distances[self._high] - distances[self._low]
        misses, excesses = np.maximum(1 - scores, 0), np.maximum(1 + scores, 0)
        hinge = self._for @ misses**2 + self._against @ excesses**2
        rest = w - self._q @ (self._q.T @ w)
        return 0.5 * float(hinge + ridge * (rest @ rest)), scores

    def _derivatives(self, ridge: float, w: Vector, scores: Vector) -> tuple[Vector, Vector]:
        """Gradient in w, `(d,)`, and each comparison's second derivative in its score, `(m,)`."""
        pull = self._against * np.maximum(1 + scores, 0) - self._for * np.maximum(1 - scores, 0)
        nodes = len(self._rows)
        on_rows = np.bincount(self._high, pull, nodes) - np.bincount(self._low, pull, nodes)
        gradient = (on_rows.astype(np.float32) @ self._rows).astype(np.float64)
        gradient += ridge * (w - self._q @ (self._q.T @ w))
        return gradient, self._for * (scores < 1) + self._against * (scores > -1)

    def _direction(
        self, gradient: Vector, mask: NDArray[np.bool_], free: Indices, curvature: Vector, ridge: float
    ) -> Vector:
        """Solves `H d = −g` on the free weights by Woodbury's identity, in a system over the rows."""
        nodes = len(self._rows)
        edges = np.bincount(self._low * nodes + self._high, curvature, nodes * nodes).reshape(nodes, nodes)
        edges += edges.T
        laplacian = np.diag(edges.sum(axis=0)) - edges
        q = self._q[free]
        sides = np.zeros((len(mask), 1 + q.shape[1]), np.float32)
        sides[free] = np.column_stack([gradient, q])
        system = (self._on(mask) @ laplacian.astype(np.float32)).astype(np.float64)
        system[np.diag_indices(nodes)] += ridge
        solved = laplacian @ np.linalg.solve(system, (self._rows @ sides).astype(np.float64))
        inverse = (sides - self._columns @ solved.astype(np.float32))[free] / ridge  # (ridge I + Xᵀ L X)⁻¹ sides
        inner = (1 + NUDGE) * np.eye(q.shape[1]) - ridge * (q.T @ inverse[:, 1:])
        a = np.linalg.solve(inner, -(q.T @ inverse[:, 0]))
        return np.asarray(ridge * (inverse[:, 1:] @ a) - inverse[:, 0])

    def _on(self, mask: NDArray[np.bool_]) -> Floats:
        """`x @ x.T` over the channels in `mask`: few of them change from one iteration to the next."""
        added, dropped = np.flatnonzero(mask & ~self._seen), np.flatnonzero(self._seen & ~mask)
        if len(added) + len(dropped) > np.count_nonzero(mask):
            x = self._columns[mask]
            self._kernel = x.T @ x
        else:
            for sign, channels in ((1, added), (-1, dropped)):
                if len(channels):
                    x = self._columns[channels]
                    self._kernel = self._kernel + np.float32(sign) * (x.T @ x)
        self._seen = mask
        return np.asarray(self._kernel)
