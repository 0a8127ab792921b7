"""Design matrices of the ranking problem in three forms, so that a Newton step solves the smallest of three systems.

Few pairs cost a system of their own number (Woodbury's identity), many one of the number of weights (the Gram matrix).
And where people compared the same few rows again and again, the rows are fewer still: a ranking of ten candidates is 45
pairs, but they span nine directions, since the pairs are the edges of a graph whose nodes are the rows. With L the
graph's Laplacian, its edges weighted by their second derivatives, and R the rows, the Hessian is Rᵀ L R + ridge
(I − Q Qᵀ). Same problem, same method, same optimum; several times as fast from two rankings on.

Shapes, as in `solver.py`: m pairs, c channels, f of them free, k directions; and r rows, a of the m pairs active (those
whose second derivative is not 0).
"""

import numpy as np
from scipy.linalg import cho_factor, cho_solve

from clpips.models.fitting.solver import Design, Floats, Indices, Vector

NUDGE = 1e-8  # of the ridge: keeps directions that no comparison touches from making a system singular


class _Differences:
    """x itself, float32 `(m, c)`: the difference of the two rows of each pair."""

    def __init__(self, x: Floats) -> None:
        self._x = x

    def scores(self, w: Vector) -> Vector:
        return (self._x @ w.astype(np.float32)).astype(np.float64)

    def gathered(self, pull: Vector) -> Vector:
        return (pull.astype(np.float32) @ self._x).astype(np.float64)


def by_pairs(x: Floats, kernel: Floats | None = None) -> Design:
    """The form of x, float32 `(m, c)`, that suits the number of pairs; `kernel`, where the caller has it, is `x @ x.T`.

    >>> by_pairs(np.eye(2, 3, dtype=np.float32)).scores(np.array([3.0, 4.0, 5.0]))
    array([3., 4.])
    """
    return FewPairs(x, kernel) if len(x) <= x.shape[1] else ManyPairs(x)


class FewPairs(_Differences):
    """Woodbury's identity: a system as large as the number of pairs. `kernel`, `(m, m)`, is `x @ x.T`."""

    def __init__(self, x: Floats, kernel: Floats | None = None) -> None:
        super().__init__(x)
        self._kernel = x @ x.T if kernel is None else kernel

    def direction(self, gradient: Vector, free: Indices, curvature: Vector, q: Vector, ridge: float) -> Vector:
        active = np.flatnonzero(curvature)  # (a,)
        root = np.sqrt(curvature[active])  # (a,)
        rows = self._x if len(active) == len(self._x) else self._x[active]  # (a, c)
        x = rows[:, free]  # (a, f)
        projected = root[:, np.newaxis] * (x @ np.column_stack([gradient, q]).astype(np.float32))  # (a, 1 + k)
        small = self._on_free(active, free, rows, x)  # (a, a)
        small *= root.astype(np.float32)[:, np.newaxis]
        small *= (root / ridge).astype(np.float32)
        small[np.diag_indices_from(small)] += 1
        factor = cho_factor(small, lower=True, overwrite_a=True, check_finite=False)
        solved = cho_solve(factor, projected.astype(np.float32), check_finite=False).astype(np.float64)  # (a, 1 + k)
        # With a = qᵀd and β = √curvature · x d:  d = q a − (g + xᵀ√curvature β) / ridge.
        inner = projected[:, 1:].T @ solved[:, 1:] + ridge * ((1 + NUDGE) * np.eye(q.shape[1]) - q.T @ q)  # (k, k)
        a = np.linalg.solve(inner, projected[:, 1:].T @ solved[:, 0] / ridge - q.T @ gradient)  # (k,)
        beta = solved[:, 1:] @ a - solved[:, 0] / ridge  # (a,)
        return q @ a - (gradient + ((root * beta).astype(np.float32) @ x)) / ridge

    def _on_free(self, active: Indices, free: Indices, rows: Floats, x: Floats) -> Floats:
        """`x @ x.T`, `(a, a)`, from the whole kernel less the bound weights' part where that is the shorter way."""
        bound = np.ones(self._x.shape[1], bool)  # (c,)
        bound[free] = False
        if 2 * len(free) < len(bound):
            return x @ x.T
        kernel = self._kernel if len(active) == len(self._kernel) else self._kernel[np.ix_(active, active)]
        outside = rows[:, bound]  # (a, c − f)
        return kernel - outside @ outside.T


class ManyPairs(_Differences):
    """Gram matrix of all weights, kept from call to call: pairs whose curvature stayed are not added up again."""

    def __init__(self, x: Floats) -> None:
        super().__init__(x)
        self._curvature = np.zeros(len(x))  # (m,)
        self._gram = np.zeros((x.shape[1], x.shape[1]))  # (c, c)

    def direction(self, gradient: Vector, free: Indices, curvature: Vector, q: Vector, ridge: float) -> Vector:
        self._update(curvature)
        hessian = self._gram[np.ix_(free, free)] - ridge * (q @ q.T)  # (f, f)
        hessian[np.diag_indices_from(hessian)] += ridge * (1 + NUDGE) + NUDGE * self._gram.diagonal().max()
        factor = cho_factor(hessian, lower=True, overwrite_a=True, check_finite=False)
        return np.asarray(-cho_solve(factor, gradient, check_finite=False))

    def _update(self, curvature: Vector) -> None:
        """The Gram matrix xᵀ diag(curvature) x: anew, or by the pairs whose curvature, `(m,)`, has changed."""
        change = curvature - self._curvature  # (m,)
        changed = np.flatnonzero(change)
        if 2 * len(changed) > len(change):
            scaled = self._x * np.sqrt(curvature)[:, np.newaxis].astype(np.float32)  # (m, c)
            self._gram = (scaled.T @ scaled).astype(np.float64)
        else:
            for sign in (1, -1):
                rows = changed[sign * change[changed] > 0]
                scaled = self._x[rows] * np.sqrt(np.abs(change[rows]))[:, np.newaxis].astype(np.float32)
                self._gram += sign * (scaled.T @ scaled)
        self._curvature = curvature


class Rows:
    """Woodbury's identity on the graph of the rows, float32 `(r, c)`: a system as large as their number.

    Pair p says that row `low[p]` is nearer than row `high[p]`, or the contrary. `kernel`, `(r, r)`, is `rows @ rows.T`.
    """

    def __init__(self, rows: Floats, low: Indices, high: Indices, kernel: Floats | None = None) -> None:
        used, places = np.unique(np.concatenate([low, high]), return_inverse=True)  # (r,), (2 m,)
        self._rows = np.ascontiguousarray(rows[used])  # (r, c)
        self._columns = np.ascontiguousarray(self._rows.T)  # a channel's numbers side by side: some are picked often
        self._low, self._high = places[: len(low)], places[len(low) :]
        self._kernel = self._rows @ self._rows.T if kernel is None else kernel[np.ix_(used, used)]
        self._seen = np.ones(rows.shape[1], bool)  # the channels that `_kernel` is over

    def scores(self, w: Vector) -> Vector:
        distances = (self._rows @ w.astype(np.float32)).astype(np.float64)  # (r,)
        return np.asarray(distances[self._high] - distances[self._low])

    def gathered(self, pull: Vector) -> Vector:
        nodes = len(self._rows)
        on_rows = np.bincount(self._high, pull, nodes) - np.bincount(self._low, pull, nodes)  # (r,)
        gathered: Vector = (on_rows.astype(np.float32) @ self._rows).astype(np.float64)
        return gathered

    def direction(self, gradient: Vector, free: Indices, curvature: Vector, q: Vector, ridge: float) -> Vector:
        nodes, channels = self._rows.shape
        edges = np.bincount(self._low * nodes + self._high, curvature, nodes * nodes).reshape(nodes, nodes)
        edges += edges.T
        laplacian = np.diag(edges.sum(axis=0)) - edges  # (r, r)
        sides = np.zeros((channels, 1 + q.shape[1]), np.float32)  # (c, 1 + k)
        sides[free] = np.column_stack([gradient, q])
        system = (self._on(free) @ laplacian.astype(np.float32)).astype(np.float64)  # (r, r)
        system[np.diag_indices(nodes)] += ridge
        solved = laplacian @ np.linalg.solve(system, (self._rows @ sides).astype(np.float64))  # (r, 1 + k)
        # (ridge I + Rᵀ L R)⁻¹ sides, (f, 1 + k)
        inverse = (sides - self._columns @ solved.astype(np.float32))[free] / ridge
        inner = (1 + NUDGE) * np.eye(q.shape[1]) - ridge * (q.T @ inverse[:, 1:])  # (k, k)
        a = np.linalg.solve(inner, -(q.T @ inverse[:, 0]))  # (k,)
        return np.asarray(ridge * (inverse[:, 1:] @ a) - inverse[:, 0])

    def _on(self, free: Indices) -> Floats:
        """`rows @ rows.T`, `(r, r)`, over the free channels: few of them change from one iteration to the next."""
        mask = np.zeros(len(self._seen), bool)  # (c,)
        mask[free] = True
        added, dropped = np.flatnonzero(mask & ~self._seen), np.flatnonzero(self._seen & ~mask)
        if len(added) + len(dropped) > len(free):
            x = self._columns[free]  # (f, r)
            self._kernel = x.T @ x
        else:
            for sign, channels in ((1, added), (-1, dropped)):
                if len(channels):
                    x = self._columns[channels]
                    self._kernel = self._kernel + np.float32(sign) * (x.T @ x)
        self._seen = mask
        return np.asarray(self._kernel)
