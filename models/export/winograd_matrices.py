"""The transforms of Winograd's convolutions (Toom–Cook), exact: from points to matrices.

m outputs of a filter of r taps are `Aᵀ [(G g) ⊙ (Bᵀ d)]` for m + r − 1 inputs d and taps g: m + r − 1 products in place
of m · r (Winograd, "Arithmetic Complexity of Computations", 1980; Lavin and Gray, "Fast Algorithms for Convolutional
Neural Networks", CVPR 2016). In two dimensions each is its own Kronecker product.
"""

from collections.abc import Sequence
from fractions import Fraction
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clpips.models.engines.winograd.tiles import FIVE, THREE, Tiling

# Where the polynomials are evaluated, beside infinity. Small dyadic numbers leave `inputs` and `outputs` exact; of the
# sets of such numbers these are among those that round least (random maps and filters, against float64).
POINTS: Final = {
    THREE: (Fraction(0), Fraction(1), Fraction(-1), Fraction(2), Fraction(-2), Fraction(-1, 4)),
    FIVE: (Fraction(0), Fraction(1), Fraction(-1), Fraction(2), Fraction(-2), Fraction(1, 2), Fraction(-1, 2)),
}


class Transforms(NamedTuple):
    """The matrices of one tiling in two dimensions, float64."""

    inputs: NDArray[np.float64]  # Bᵀ ⊗ Bᵀ, (products, inputs²)
    filters: NDArray[np.float64]  # G ⊗ G, (products, kernel²)
    outputs: NDArray[np.float64]  # Aᵀ ⊗ Aᵀ, (outputs², products)


def transforms(tiling: Tiling) -> Transforms:
    """The transforms of a tiling.

    >>> t = transforms(THREE)
    >>> d, g = np.arange(49.0) ** 2, np.arange(9.0)
    >>> y = (t.outputs @ ((t.filters @ g) * (t.inputs @ d))).reshape(5, 5)
    >>> bool(np.isclose(y[0, 0], np.sum(d.reshape(7, 7)[:3, :3] * g.reshape(3, 3))))
    True
    """
    return Transforms(*(np.kron(one, one).astype(np.float64) for one in _along_an_axis(tiling)))


def constant_product(tiling: Tiling) -> int:
    """The product that counts for all outputs of a tile alike, once: that of the point 1 along both axes."""
    return POINTS[tiling].index(Fraction(1)) * (tiling.inputs + 1)


def _along_an_axis(tiling: Tiling) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Bᵀ, G and Aᵀ in one dimension: evaluation, interpolation and their transpose, by Lagrange's polynomials."""
    points = POINTS[tiling]
    inputs, filters = [], []
    for place, point in enumerate(points):
        others = [other for index, other in enumerate(points) if index != place]
        scale = Fraction(1)
        for other in others:
            scale *= point - other
        inputs.append([*_with_roots(others), Fraction(0)])
        filters.append([point**power / scale for power in range(tiling.kernel)])
    inputs.append(_with_roots(points))  # infinity
    filters.append([Fraction(power == tiling.kernel - 1) for power in range(tiling.kernel)])
    outputs = [
        [*(point**power for point in points), Fraction(power == tiling.outputs - 1)] for power in range(tiling.outputs)
    ]
    return _floats(inputs), _floats(filters), _floats(outputs)


def _with_roots(roots: Sequence[Fraction]) -> list[Fraction]:
    """The coefficients of the polynomial with these roots, the constant one first, the highest of which is 1."""
    polynomial = [Fraction(1)]
    for root in roots:
        shifted = [Fraction(0), *polynomial]
        polynomial = [high - root * low for high, low in zip(shifted, [*polynomial, Fraction(0)], strict=True)]
    return polynomial


def _floats(rows: Sequence[Sequence[Fraction]]) -> NDArray[np.float64]:
    return np.array([[float(number) for number in row] for row in rows])
