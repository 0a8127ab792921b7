"""Graph of comparisons: its nodes are rows, its edges comparisons, and one more node, the ground, whose row is zero.

Its Laplacian falls into blocks: rows that no comparison connects, such as those of two rankings, have nothing to do
with each other. Twenty rankings of ten are twenty blocks of 9 × 9, and not 180 × 180.

Shapes: n rows, m comparisons, b blocks of s rows or, where blocks differ in size, fewer.
"""

from functools import cached_property
from typing import Final

import numpy as np

from clpips.models.fitting.convex.arrays import Floats, Indices, Vector

WORTH: Final = 0.5  # of a whole Laplacian: blocks that are filled up to more than it are not


class Graph:
    """m comparisons, intp `(m,)`, of row `low[p]` with row `high[p]`, of n; n itself is the ground.

    `groups`, `(n,)`, is the same number at least for those rows that comparisons connect; without it, for all.
    """

    def __init__(self, n: int, low: Indices, high: Indices, groups: Indices | None = None) -> None:
        self.low, self.high = low, high
        self._n = n
        self._groups = groups

    def gaps(self, distances: Vector) -> Vector:
        """Of each comparison, `(m,)`: by how much its second row is further than its first, of distances `(n,)`."""
        grounded = np.append(distances, 0.0)  # (n + 1,)
        return np.asarray(grounded[self.high] - grounded[self.low])

    def at_rows(self, pull: Vector) -> Vector:
        """The reverse: what pulls at comparisons, `(m,)`, as what pulls at rows, `(n,)`."""
        n = self._n
        return np.asarray(np.bincount(self.high, pull, n + 1) - np.bincount(self.low, pull, n + 1))[:n]

    def laplacian(self, curvature: Vector) -> "Laplacian":
        """L, of the graph whose edges are weighted by the curvature, `(m,)`; of the ground it has no row."""
        places, whole, cells = self._blocks
        size = places.shape[1]
        values = np.concatenate([-curvature, -curvature, curvature, curvature])  # (4 m,)
        blocks = np.bincount(cells, values, len(places) * size**2 + 1)[:-1]  # the last is the ground's
        return Laplacian(blocks.astype(np.float32).reshape(-1, size, size), places, whole)

    @cached_property
    def _blocks(self) -> tuple[Indices, Indices | None, Indices]:
        """The rows of each block, `(b, s)`, n where it has fewer; where each row is among these; where edges count.

        The second, `(n,)`, is None where the blocks are the rows in their order. The third, `(4 m,)`, are cells of
        `(b, s, s)`: of each comparison's two rows with each other, twice, and of each with itself.
        """
        n = self._n
        groups = np.zeros(n, np.intp) if self._groups is None else self._groups
        _, block, sizes = np.unique(groups, return_inverse=True, return_counts=True)  # (n,), (b,)
        if len(sizes) * sizes.max() ** 2 > WORTH * n**2:
            block, sizes = np.zeros(n, np.intp), np.array([n])
        size = int(sizes.max())
        order = np.argsort(block, kind="stable")  # (n,)
        within = np.arange(n) - np.repeat(np.cumsum(sizes) - sizes, sizes)  # (n,)
        whole = np.empty(n, np.intp)
        whole[order] = block[order] * size + within
        places = np.full(len(sizes) * size, n)
        places[whole] = np.arange(n)

        ground = len(sizes) * size**2
        first, second = (np.append(whole, -1)[one] for one in (self.low, self.high))  # (m,)

        def cells(one: Indices, other: Indices) -> Indices:
            return np.where((one < 0) | (other < 0), ground, one * size + other % size)

        every = np.concatenate([cells(first, second), cells(second, first), cells(first, first), cells(second, second)])
        in_order = len(places) == n and bool((whole[1:] > whole[:-1]).all())
        return places.reshape(-1, size), None if in_order else whole, every


class Laplacian:
    """L, symmetric `(n, n)`, as `blocks`, float32 `(b, s, s)`, of the rows at `places`, `(b, s)`."""

    def __init__(self, blocks: Floats, places: Indices, whole: Indices | None) -> None:
        self._blocks = blocks
        self._places = places
        self._whole = whole  # where each row is among the places, (n,); None: there are as many, in order

    @property
    def cells(self) -> int:
        """How many numbers it takes."""
        return self._blocks.size

    def times(self, x: Floats) -> Floats:
        """L x, `(n, …)`, of x `(n, …)`."""
        columns = x.reshape(len(x), -1)  # (n, k)
        if self._whole is None:
            return np.asarray(np.matmul(self._blocks, columns.reshape(*self._places.shape, -1)).reshape(x.shape))
        # Where a block has fewer rows than places, its cells are zero, whichever row is taken.
        product = np.matmul(self._blocks, columns.take(self._places, axis=0, mode="clip"))  # (b, s, k)
        return np.asarray(product.reshape(-1, columns.shape[1]).take(self._whole, axis=0).reshape(x.shape))
