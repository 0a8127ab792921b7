"""Differences of rows, which are all that comparisons see: of those that hang together one is taken off the others.

Rows hang together where comparisons connect them: the candidates of a ranking, the two of a choice. A score is the
difference of two distances, so what all of them share cancels. The row that is taken off, their *ground*, is then zero
and need not be computed with: a ranking of ten is nine rows, a choice between two is one.
"""

from dataclasses import dataclass

import numpy as np

from clpips.models.fitting.convex.arrays import Floats, Indices, Vector
from clpips.models.fitting.convex.voted_pairs import VotedPairs


@dataclass(frozen=True, eq=False)
class Differences:
    """n rows, float32 `(n, c)`, each less its ground; `low` and `high`, intp `(m,)`, name a comparison's two.

    The index n stands for a ground, whose row would be zero. `groups`, intp `(n,)`, is the same number for the rows of
    the same ground, and no comparison is of rows of two. `squares`, float64 `(c,)`, is each channel's mean square
    over the rows themselves.
    """

    rows: Floats
    low: Indices
    high: Indices
    groups: Indices
    squares: Vector


def differences_of(compared: VotedPairs) -> Differences:
    """The rows of some comparisons, less their grounds."""
    count = len(compared.rows)
    grounds = _grounds(count, compared.low, compared.high)  # (r,)
    others = np.flatnonzero(grounds != np.arange(count))  # (n,)
    places = np.full(count, len(others))  # (r,)
    places[others] = np.arange(len(others))
    rows = compared.rows[others]
    for row, ground in zip(rows, grounds[others].tolist(), strict=True):
        row -= compared.rows[ground]
    squares = np.square(compared.rows).mean(axis=0, dtype=np.float64)  # (c,)
    return Differences(rows, places[compared.low], places[compared.high], grounds[others], squares)


def _grounds(count: int, low: Indices, high: Indices) -> Indices:
    """For each of so many rows the first of those that hang together with it, `(r,)`."""
    first = np.arange(count)
    while True:
        least = np.minimum(first[low], first[high])  # (m,)
        before = first.copy()
        np.minimum.at(first, low, least)
        np.minimum.at(first, high, least)
        first = first[first]
        if np.array_equal(first, before):
            return first
