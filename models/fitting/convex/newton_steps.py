"""Newton steps on the free coordinates, in the form that the number of rows makes cheapest.

A ranking of ten candidates is 45 comparisons of ten rows: comparisons are the edges of a graph whose nodes are the
rows. With L its Laplacian, A the rows and S the variances, the Hessian is S⁻¹ + Aᵀ L A. By Woodbury's identity a step
costs one system as large as the number of rows (`by_rows`); where rows are many, conjugate gradients (`by_products`).

Shapes: n rows, m comparisons, d coordinates, the first q of them coarse.
"""

from typing import Final, Self

import numpy as np

from clpips.models.fitting.convex.solver import BoundedRanking, Chosen, Floats, Indices, Step, Vector

CG_ITERATIONS: Final = 60
CG_TOLERANCE: Final = 0.05  # of the gradient: the next Newton step mends the rest


class Kernel:
    """A Aᵀ of n rows, kept apart for coarse coordinates and channels, over those of them that are free.

    Between folds and strengths few coordinates come and go, and only these are added or taken off. A cache and no more:
    beyond rounding no result depends on what it was asked for before.
    """

    def __init__(self, columns: Floats, coarse: int, free: Chosen, parts: list[Floats]) -> None:
        self._columns = columns  # (d, n): a coordinate's numbers side by side
        self._coarse = coarse
        self._free = free  # (d,): what `parts` are over
        self._parts = parts  # of (n, n): coarse, channels

    @classmethod
    def of(cls, rows: Floats, coarse: int) -> Self:
        """Of rows `(n, d)`, over all coordinates."""
        columns = np.ascontiguousarray(rows.T)
        parts = [part.T @ part for part in (columns[:coarse], columns[coarse:])]
        return cls(columns, coarse, np.ones(len(columns), bool), parts)

    def at(self, chosen: Indices) -> Self:
        """The same of some of the rows."""
        columns = np.ascontiguousarray(self._columns[:, chosen])
        return type(self)(columns, self._coarse, self._free, [part[np.ix_(chosen, chosen)] for part in self._parts])

    def over(self, free: Chosen, strength: float) -> Floats:
        """A S Aᵀ, `(n, n)`, over the free coordinates."""
        for which, places in enumerate((slice(self._coarse), slice(self._coarse, None))):
            self._parts[which] = self._updated(self._parts[which], self._columns[places], free[places], places)
        self._free = free
        return np.asarray(self._parts[0] + np.float32(strength**2) * self._parts[1])

    def _updated(self, kernel: Floats, columns: Floats, free: Chosen, places: slice) -> Floats:
        seen = self._free[places]
        added, dropped = np.flatnonzero(free & ~seen), np.flatnonzero(seen & ~free)
        if len(added) + len(dropped) > np.count_nonzero(free):
            x = columns[free]
            return np.asarray(x.T @ x)
        if len(added):
            x = columns[added]
            kernel = kernel + x.T @ x
        if len(dropped):
            x = columns[dropped]
            kernel = kernel - x.T @ x
        return kernel


def by_rows(problem: BoundedRanking, kernel: Kernel, variance: Vector, strength: float) -> Step:
    """Woodbury: (S⁻¹ + Aᵀ L A)⁻¹ g = S g − S Aᵀ (I + L K)⁻¹ L A S g, with K = A S Aᵀ over the free coordinates."""

    def step(gradient: Vector, free: Chosen, curvature: Vector) -> Vector:
        laplacian = problem.laplacian(curvature).astype(np.float32)  # (n, n)
        system = laplacian @ kernel.over(free, strength)  # (n, n)
        system[np.diag_indices_from(system)] += 1
        side = variance * gradient  # (d,), 0 where a coordinate is bound
        pulled = laplacian @ problem.distances(side).astype(np.float32)  # (n,)
        solved = np.linalg.solve(system, pulled).astype(np.float64)  # (n,)
        return np.where(free, variance * problem.gathered(solved) - side, 0)

    return step


def by_products(problem: BoundedRanking, variance: Vector) -> Step:
    """Conjugate gradients (Hestenes and Stiefel, 1952), each coordinate measured in its own strength."""
    roots = np.sqrt(variance)  # (d,)

    def step(gradient: Vector, free: Chosen, curvature: Vector) -> Vector:
        root = np.where(free, roots, 0)  # (d,)
        residual = -root * gradient
        found, way, size = np.zeros(len(root)), residual.copy(), float(residual @ residual)
        enough = CG_TOLERANCE**2 * size
        for _ in range(CG_ITERATIONS):
            if size <= enough:
                break
            gaps = problem.gaps(problem.distances(root * way))  # (m,)
            curved = way + root * problem.gathered(problem.at_rows(curvature * gaps))  # (d,)
            length = size / float(way @ curved)
            found += length * way
            residual -= length * curved
            before, size = size, float(residual @ residual)
            way = residual + (size / before) * way
        return root * found

    return step
