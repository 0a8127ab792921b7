"""Newton steps on the free coordinates, in the form that the number of rows makes cheapest.

A ranking of ten candidates is 45 comparisons of ten rows: comparisons are the edges of a graph whose nodes are the
rows. With L its Laplacian, A the rows and S the variances, the Hessian is S⁻¹ + Aᵀ L A. By Woodbury's identity a step
costs one system as large as the number of rows (`by_rows`); where rows are many, conjugate gradients (`by_products`).

Shapes: n rows, m comparisons, d coordinates, the first q of them coarse.
"""

from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from clpips.models.fitting.convex.arrays import Chosen, Floats, Indices, Vector
from clpips.models.fitting.convex.solver import BoundedRanking, Step

MOST_KNOWN: Final = 16  # kernels that are kept: the steps of one space's fits
CG_ITERATIONS: Final = 60
CG_TOLERANCE: Final = 0.05  # of the gradient: the next Newton step mends the rest

Bits = NDArray[np.uint8]  # whether each channel is free, eight a byte


class Kernel:
    """A S Aᵀ of n rows over those coordinates that are free.

    Between steps, folds and strengths few channels come and go: the kernel over some that are free is that over others
    that were, and the difference alone is added or taken off. A cache and no more: beyond rounding no result depends on
    what it was asked for before.
    """

    def __init__(
        self, rows: Floats, coarse: int, known: "KnownKernels", used: Indices | None = None, *, own: bool = True
    ) -> None:
        self._rows = rows  # (n, d)
        self._coarse = coarse
        self._coarse_rows = np.ascontiguousarray(rows[:, :coarse])  # (n, q)
        self._known = known  # of these rows; or of more, of which these are those that are `used`, (n,)
        self._used = used
        self._own = own  # whether what is known is this one's to add to
        self._last: tuple[Bits, Floats] | None = None  # the newest, where it is not

    @classmethod
    def of(cls, rows: Floats, coarse: int, products: Floats | None = None) -> Self:
        """Of rows `(n, d)`; `products`, `(n, n)`, are those of their channels with each other, where they are known."""
        channels = rows[:, coarse:]
        return cls(
            rows, coarse, KnownKernels(channels.shape[1], channels @ channels.T if products is None else products)
        )

    def at(self, used: Indices | None, rows: Floats) -> Self:
        """The same of the `used` rows alone, `(n, d)`, None for all: it begins with what is known here.

        It adds nothing to that, so of several none depends on what the others are asked for.
        """
        return type(self)(rows, self._coarse, self._known, used, own=False)

    def over(self, free: Chosen, strength: float) -> Floats:
        """A S Aᵀ, `(n, n)`, over the free coordinates."""
        coarse = self._coarse_rows * free[: self._coarse]  # (n, q)
        kernel = self._channels(free[self._coarse :]) * np.float32(strength**2)
        kernel += coarse @ coarse.T
        return kernel

    def _channels(self, free: Chosen) -> Floats:
        """A Aᵀ, `(n, n)`, over the free channels."""
        bits = np.packbits(free)
        away, other, products = self._known.nearest(bits)
        if self._last is not None and (last := int(np.bitwise_count(self._last[0] ^ bits).sum())) <= away:
            away, (other, products) = last, self._last
        elif self._used is not None:
            products = products.take(self._used, axis=0).take(self._used, axis=1)
        if away > np.count_nonzero(free):
            products = self._products(free)
        elif away:
            added, dropped = (np.unpackbits(one, count=len(free)).view(bool) for one in (bits & ~other, other & ~bits))
            products = products + self._products(added) - self._products(dropped)
        if not self._own:
            self._last = bits, products
        elif away:
            self._known.add(bits, products)
        return products

    def _products(self, channels: Chosen) -> Floats:
        """A Aᵀ, `(n, n)`, over these channels."""
        x = self._rows[:, np.flatnonzero(channels) + self._coarse]
        return np.asarray(x @ x.T)


class KnownKernels:
    """A Aᵀ, `(n, n)`, over all channels and over those that were asked for last; `Bits` say over which."""

    def __init__(self, channels: int, products: Floats) -> None:
        """`products` are those over all channels, of which there are so many."""
        every = np.packbits(np.ones(channels, bool))
        self._bits = np.empty((MOST_KNOWN, len(every)), np.uint8)
        self._bits[0] = every
        self._products = [products]
        self._next = 1

    def nearest(self, bits: Bits) -> tuple[int, Bits, Floats]:
        """Of these kernels the one over the most similar channels: how many differ, over which it is, and itself."""
        away = np.bitwise_count(self._bits[: len(self._products)] ^ bits).sum(axis=1)  # (known,)
        place = int(away.argmin())
        return int(away[place]), self._bits[place].copy(), self._products[place]

    def add(self, bits: Bits, products: Floats) -> None:
        """Keep one more, in the place of the oldest where there are many; that over all channels stays."""
        self._bits[self._next] = bits
        self._products[self._next : self._next + 1] = [products]
        self._next = self._next + 1 if self._next + 1 < MOST_KNOWN else 1


def by_rows(problem: BoundedRanking, kernel: Kernel, variance: Vector, strength: float) -> Step:
    """Woodbury: (S⁻¹ + Aᵀ L A)⁻¹ g = S g − S Aᵀ (I + L K)⁻¹ L A S g, with K = A S Aᵀ over the free coordinates."""

    def step(gradient: Vector, free: Chosen, curvature: Vector) -> Vector:
        laplacian = problem.graph.laplacian(curvature)
        system = laplacian.times(kernel.over(free, strength))  # (n, n)
        system.reshape(-1)[:: len(system) + 1] += 1
        side = variance * gradient  # (d,), 0 where a coordinate is bound
        pulled = laplacian.times(problem.distances(side).astype(np.float32))  # (n,)
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
            gaps = problem.graph.gaps(problem.distances(root * way))  # (m,)
            curved = way + root * problem.gathered(problem.graph.at_rows(curvature * gaps))  # (d,)
            length = size / float(way @ curved)
            found += length * way
            residual -= length * curved
            before, size = size, float(residual @ residual)
            way = residual + (size / before) * way
        return root * found

    return step
