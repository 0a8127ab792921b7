"""Active learning: which two candidates to ask about next.

The pair with the largest prior standard deviation of its gap, ‖s ∘ (z_a − z_b)‖, with s² the prior variance of a
channel's weight (`convex/space.py`): weights drawn from the prior disagree most about it, so its order teaches most.
It depends on the images alone, and on nothing that has been learned.

On people's orders of photographs it needed at most two thirds of the judgments of random questions where the loudness
of channels was known from other pictures, and saved nothing where it was known from the same ones (docs/learning.md,
"Which two to ask about"). The spread of the averaged fits' gaps, which uses what has been learned, came behind it: fits
that differ in strength alone disagree about little.
"""

from collections.abc import Collection
from functools import cache
from typing import Final

import numpy as np
from numpy.typing import NDArray

from clpips.models.fitting.convex.space import QUIETEST
from clpips.models.metric.families import ALEX_LAYOUT, ZLayout, layout_of_z
from clpips.models.metric.loudness import natural_loudness
from clpips.models.metric.weights_files import load_weights

Pair = tuple[int, int]  # candidates' places, the lower first
Asked = Collection[Pair] | NDArray[np.bool_]  # pairs; or (k, k), true where the order of a pair is known

BLOCK: Final = 512  # rows of the matrix of pairs that are looked at together
SLACK: Final = 1e-5  # of a squared length: several times what a matrix product in float32 is off by


def suggest_pair(z: NDArray[np.float32], asked: Asked = ()) -> Pair | None:
    """The two candidates whose order would teach the most; None where all have been asked about, or look the same.

    `z` are the candidates' channel distances from their target, float32 `(k, 6016)`; `asked` the pairs whose order is
    known already. Deterministic; of equal pairs the first. One matrix product finds those pairs that may have the
    largest spread; those are compared exactly.

    >>> z = np.outer([1, 2, 5], np.full(6016, 0.001)).astype(np.float32)
    >>> suggest_pair(z), suggest_pair(z, asked=[(0, 2)])
    ((0, 2), (1, 2))
    """
    deviations = prior_deviations(layout_of_z(z.shape[1]))  # (c,)
    scaled = np.empty_like(z, np.float32)  # (k, c)
    for row, values in zip(scaled, z, strict=True):  # each stays in the processor's cache
        np.multiply(values, deviations, out=row, casting="same_kind")
    first, second = _near_the_largest(scaled, _open(len(z), asked))  # (p,) each, in the order of pairs
    same = _first_of_equal_rows(scaled, np.union1d(first, second))  # (k,)
    distinct, places = np.unique(np.stack([same[first], same[second]]), axis=1, return_inverse=True)  # (2, d), (p,)
    exact = [float(np.square(scaled[b] - scaled[a]).sum()) for a, b in distinct.T]
    if not any(exact):
        return None
    best = int(np.argmax(np.array(exact)[places.ravel()]))
    return int(first[best]), int(second[best])


def _open(count: int, asked: Asked) -> NDArray[np.bool_]:
    """Whether the order of a pair of candidates is to be asked for, `(k, k)`: true above the diagonal alone."""
    if isinstance(asked, np.ndarray):
        known = asked | asked.T
    else:
        known = np.zeros((count, count), np.bool_)
        pairs = np.array(sorted(asked), np.intp).reshape(-1, 2)
        known[pairs[:, 0], pairs[:, 1]] = True
    return np.triu(~known, 1)


def _near_the_largest(
    scaled: NDArray[np.float32], is_open: NDArray[np.bool_]
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """The pairs, `(p,)` and `(p,)`, whose rows of `scaled` `(k, c)` may lie furthest apart, of those that are open.

    ‖a − b‖² is ‖a‖² + ‖b‖² − 2a·b, of rows about their mean, where less cancels.
    """
    rows = scaled - scaled.mean(axis=0) if len(scaled) else scaled  # (k, c)
    squares = np.vecdot(rows, rows)  # (k,)
    slack = 2 * SLACK * squares.max(initial=0.0)  # of what cancels
    spreads = np.full(is_open.shape, -1.0, np.float32)  # (k, k)
    for start in range(0, len(rows), BLOCK):
        block = slice(start, start + BLOCK)
        products = rows[block] @ rows[start:].T  # (b, k - start)
        apart = squares[block, np.newaxis] + squares[np.newaxis, start:] - 2 * products
        spreads[block, start:] = np.where(is_open[block, start:], np.maximum(apart, 0.0), -1.0)
    largest = spreads.max(initial=-1.0)
    first, second = np.nonzero(is_open & (spreads >= largest * (1 - SLACK) - slack))
    return first, second


def _first_of_equal_rows(rows: NDArray[np.float32], chosen: NDArray[np.intp]) -> NDArray[np.intp]:
    """For each of the chosen rows the first of them that has the same bits, `(k,)`; the others stand for themselves."""
    seen: dict[bytes, int] = {}
    first = np.arange(len(rows))
    first[chosen] = [seen.setdefault(rows[place].tobytes(), place) for place in chosen.tolist()]
    return first


@cache
def prior_deviations(layout: ZLayout = ALEX_LAYOUT) -> NDArray[np.float64]:
    """How far each channel's weight may be from the start before anything is learned, up to a factor: `(c,)`."""
    loudness = natural_loudness(layout).astype(np.float64)  # (c,)
    loudness = np.maximum(loudness, QUIETEST * loudness.mean())
    return np.asarray(np.sqrt(load_weights("balanced", layout.net.name).values / loudness))
