"""Prior of the weights: the coordinates u ≥ 0 of a fit, and where they begin before anything has been learned.

    w = Σ_j a_j q_j + s ∘ v        u = (a, v)

Weights are a sum of non-negative parts, each measured in a strength of its own, so that the ridge is ½ ‖u − ū‖² and the
only constraint u ≥ 0: shrinkage of one scale, of families and layers, and of channels. The coarse q_j are the start as
a whole, each family, and each layer of a family; s is how far a channel on its own may go:

    s_c = balanced_c^e · loudness_c^(e − 1)      loudness_c: root mean square of z_c

With e = ½ the variance of what a channel adds to a distance is in proportion to what it adds: to split a channel into
two changes nothing (an infinitely divisible prior). With e = 0 every channel may add about as much.

A space may be of some families alone; the others then count for nothing in it, from its start on.

The scale is no free parameter: a typical comparison scores `PRIOR` under the start, against the margin of 1. Rankings
alone determine no scale, and where it was left free, few rankings made it vanish and people were worse off.

Shapes: r rows, n differences of them, c channels, k of them in the space's families, q coarse parts, d = q + k
coordinates.
"""

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

import numpy as np

from clpips.models.fitting.convex.arrays import Floats, Indices, Vector
from clpips.models.fitting.convex.differences import Differences
from clpips.models.fitting.convex.voted_pairs import VotedPairs
from clpips.models.metric.families import ALL_FAMILIES, Families, layout_of_z

MANY_ROWS: Final = 500  # above it a step is found by products
PRIOR: Final = 0.3  # score of a typical comparison under the start; the margin is 1
COARSE_SHARE: Final = 0.3  # of the start that is its own part; the rest lies on channels, which may fall below it
KNOWN_ROWS: Final = 30.0  # that the loudness of natural images counts for, beside the rows at hand
QUIETEST: Final = 0.01  # of the mean channel's loudness
FEW_COMPARISONS: Final = 2000  # of which the typical one is taken, where there are more


@dataclass(frozen=True)
class CoarseStrengths:
    """How far the coarse parts go, in scores of a typical comparison."""

    start: float
    family: float
    layer: float


@dataclass(frozen=True, eq=False)
class Space:
    """Coordinates: `rows`, float32 `(n, d)`, are the rows' differences in them, `prior`, float64 `(d,)`, is ū.

    A unit of a coarse coordinate weighs `parts`, `(q, c)`; a unit of the channel `channels[j]`, intp `(d − q,)`, weighs
    `scales[j]`, `(d − q,)`.
    """

    rows: Floats
    prior: Vector
    parts: Vector
    channels: Indices
    scales: Vector
    products: Floats | None  # (n, n) of the rows' channels with each other, where rows are few

    @property
    def coarse(self) -> int:
        """How many coordinates are coarse; they come first."""
        return len(self.parts)

    def variance(self, strength: float) -> Vector:
        """Of every coordinate, `(d,)`, where the channels' strength is this."""
        return np.concatenate([np.ones(self.coarse), np.full(len(self.scales), strength**2)])

    def weights(self, u: Vector) -> Vector:
        """The metric's weights, `(c,)`, of coordinates u, `(d,)`."""
        weights: Vector = u[: self.coarse] @ self.parts  # (c,)
        channels = self.scales * u[self.coarse :]  # (k,)
        for place, where in runs(self.channels):
            weights[place] += channels[where]
        return weights


def make_space(
    compared: VotedPairs,
    differences: Differences,
    start: Vector,
    balanced: Vector,
    known: Vector | None,
    strengths: CoarseStrengths,
    families: Families = ALL_FAMILIES,
    exponent: float = 0.5,
) -> Space:
    """The space of some families, with some e, around a start, `(c,)`; the rows must have something in one of them.

    `differences` are those of the rows of `compared`; `balanced` and `known`, the loudness of natural images, are
    `(c,)`, too.
    """
    layout = layout_of_z(len(start))
    groups = [group for group in layout.groups if group.family in families]
    channels = channels_of(families, len(start))  # (k,)
    squares = differences.squares[channels]  # (k,)
    start, balanced = _within(start, channels), _within(balanced, channels)  # (c,) each
    start_part = start * strengths.start / _typical_score(compared, start)  # (c,)
    unit = balanced / _typical_score(compared, balanced)  # (c,)
    whole = [strengths.family * _within(unit, place) for name, place in layout.places.items() if name in families]
    layers = [
        strengths.layer * _within(unit, group.place) for group in groups if group.place not in layout.places.values()
    ]
    parts = np.array([start_part, *whole, *layers])  # (q, c)
    coarse = len(parts)

    loudness = channel_loudness(squares, len(compared.rows), None if known is None else known[channels])  # (k,)
    scales = balanced[channels] ** exponent * loudness ** (exponent - 1)  # (k,)
    rows = np.empty((len(differences.rows), coarse + len(channels)), np.float32)  # (n, d)
    x = rows[:, coarse:]  # (n, k)
    for place, where in runs(channels):
        np.multiply(differences.rows[:, place], scales[where].astype(np.float32), out=x[:, where])
    products = x @ x.T if len(compared.rows) <= MANY_ROWS else None  # (n, n)
    typical = _typical_length(differences, x, products)
    x /= np.float32(typical)
    scales = scales / typical
    np.matmul(differences.rows, parts.astype(np.float32).T, out=rows[:, :coarse])

    prior = np.zeros(rows.shape[1])  # (d,)
    prior[0] = PRIOR * COARSE_SHARE / strengths.start
    rest = PRIOR * (1 - COARSE_SHARE) * start_part[channels] / strengths.start  # (k,)
    prior[coarse:] = np.divide(rest, scales, out=np.zeros_like(scales), where=scales > 0)
    if products is not None:
        products /= np.float32(typical**2)
    return Space(rows, prior, parts, channels, scales, products)


def channels_of(families: Families, length: int) -> Indices:
    """The places in `z`, `(length,)`, of the channels of some families, intp `(k,)`, ascending."""
    groups = [group for group in layout_of_z(length).groups if group.family in families]
    return np.concatenate([np.arange(group.place.start, group.place.stop) for group in groups])


def mixed_start(compared: VotedPairs, parent: Vector, lpips: Vector, share: float) -> Vector:
    """The parent and LPIPS, each of the same typical score; `share` is LPIPS's: float64 `(c,)`."""
    first, second = (weights / _typical_score(compared, weights) for weights in (parent, lpips))
    return np.asarray((1 - share) * first + share * second)


def channel_loudness(squares: Vector, rows: int, known: Vector | None) -> Vector:
    """Root mean square of each channel, `(c,)`, over so many rows, and over natural images as if these were more rows.

    `squares`, `(c,)`, are the rows' mean squares.
    """
    if known is not None:
        natural = np.square(known) * (squares.sum() / (known @ known))  # (c,), of the rows' overall size
        squares = (KNOWN_ROWS * natural + rows * squares) / (KNOWN_ROWS + rows)
    loudness = np.sqrt(squares)
    return np.asarray(np.maximum(loudness, QUIETEST * loudness.mean() or 1.0))


def _within(weights: Vector, place: slice | Indices) -> Vector:
    """Weights, `(c,)`, that are 0 but at some places."""
    part = np.zeros_like(weights)
    part[place] = weights[place]
    return part


def _typical_score(compared: VotedPairs, weights: Vector) -> float:
    """Root mean square over votes; 1 where all are 0."""
    distances = (compared.rows @ weights.astype(np.float32)).astype(np.float64)  # (r,)
    gaps = distances[compared.high] - distances[compared.low]  # (m,)
    return float(np.sqrt(compared.votes @ gaps**2 / compared.votes.sum())) or 1.0


def runs(channels: Indices) -> list[tuple[slice, slice]]:
    """Channels, ascending, as runs without a gap: of each run where it lies in `z`, and where among the channels."""
    breaks = [0, *(np.flatnonzero(np.diff(channels) != 1) + 1).tolist(), len(channels)]
    return [
        (slice(int(channels[start]), int(channels[end - 1]) + 1), slice(start, end)) for start, end in pairwise(breaks)
    ]


def _typical_length(differences: Differences, x: Floats, products: Floats | None) -> float:
    """Root mean square over comparisons of how far apart their rows, of `(n, c)`, are.

    `products`, `(n, n)`, are x xᵀ, where they are known.
    """
    low, high = differences.low, differences.high
    if len(low) > FEW_COMPARISONS:
        every = np.arange(0, len(low), len(low) // FEW_COMPARISONS)
        low, high = low[every], high[every]
    squares = np.einsum("ij,ij->i", x, x) if products is None else products.diagonal()  # (n,)
    squares = np.append(squares, 0).astype(np.float64)  # (n + 1,), the last a ground's
    both = (low < len(x)) & (high < len(x))  # (m,)
    lengths = squares[low] + squares[high]  # (m,)
    lengths[both] -= 2 * _products(x, low[both], high[both], products)
    return float(np.sqrt(max(lengths.mean(), 0))) or 1.0


def _products(x: Floats, low: Indices, high: Indices, products: Floats | None) -> Floats:
    """x[low] · x[high], `(m,)`, by the smaller of two matrices, or from the products of all."""
    if products is None and len(x) < len(low):
        products = x @ x.T
    if products is not None:
        return np.asarray(products[low, high])
    return np.asarray(np.einsum("ij,ij->i", x[low], x[high]))
