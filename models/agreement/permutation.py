"""Permutation test of agreement: could a metric that knows nothing of people have agreed with them as well?

Such a metric's distances might as well belong to a target's candidates in any other order. The test permutes them, in
every way or in many random ones, and takes every statistic anew. All rankings that share candidates of a target see the
same permutation, so people who agree with each other are not taken for more evidence about the metric.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations, product
from math import factorial, prod
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from clpips.models.agreement.mid_ranks import mid_ranks
from clpips.models.agreement.rank_tables import pooled_statistics
from clpips.models.agreement.statistic import NAN

PERMUTATIONS: Final = 1999
EXACT_PERMUTATIONS: Final = 40_320  # 8!: one target of eight images, two of five, fifteen of two
MORE: Final = 5  # times the permutations of pairs, which have few p-values: few draws would blur them
FEW_RANKS: Final = 400  # up to so many ranks
CHUNK: Final = 1 << 18  # ranks at a time
SIGNIFICANT_DIGITS: Final = 12  # of distances: those that differ less are of the same image
MANY: Final = 24  # candidates above which sorting is faster than comparing all pairs


@dataclass(frozen=True, eq=False)
class PermutationTest:
    """Two-sided p-values of a metric's agreement with people, and the smallest that these rankings can give.

    `pooled`, `(4,)`, are of `RANK_STATISTICS`; `distances` of Spearman's ρ with the distances pooled as they are;
    `within` of the mean of ρ within sets.
    """

    pooled: NDArray[np.float64]
    distances: float
    within: float
    smallest: float


def permutation_test(
    people: Sequence[NDArray[np.float64]],
    metric: Sequence[NDArray[np.float64]],
    targets: NDArray[np.intp],
    seed: int = 0,
    resamples: int = PERMUTATIONS,
) -> PermutationTest:
    """Test m rankings: people's ranks and a metric's distances, `(k,)` each, of the targets `(m,)`.

    >>> three = np.array([1.0, 2.0, 3.0])
    >>> permutation_test([three], [three], np.array([0])).pooled[0].round(2)  # of six orders, two are as extreme
    np.float64(0.33)
    """
    items = _Items(people, metric, targets)
    orders, exact = items.orders(seed, resamples)
    observed = items.statistics(np.arange(len(items.values))[np.newaxis])[0]  # (6,)
    drawn = np.concatenate([items.statistics(chunk) for chunk in orders])  # (b, 6)
    # What floating point makes of a tie is a tie; an undefined statistic counts as one as extreme as can be.
    slack = 1e-9
    above = ((drawn >= observed - slack) | np.isnan(drawn)).sum(axis=0)  # (6,)
    below = ((drawn <= observed + slack) | np.isnan(drawn)).sum(axis=0)
    rarer = np.minimum(above, below)
    tail = rarer / len(drawn) if exact else (rarer + 1) / (len(drawn) + 1)
    p = np.where(np.isnan(observed), NAN, np.minimum(1.0, 2 * tail))
    # ICC(2,k) rises and falls with ICC(2,1), and is undefined where that is low.
    p[2] = NAN if np.isnan(observed[2]) else p[1]
    return PermutationTest(p[:4], float(p[4]), float(p[5]), min(1.0, 2 / items.count))


class _Items:
    """The distinct (target, candidate) of all rankings: their distances as codes, and who ranked them how.

    `values`, intp `(i,)`, are the items' distances as their places among all distinct ones. Items of a block, which
    rankings link, may be exchanged.
    """

    def __init__(
        self, people: Sequence[NDArray[np.float64]], metric: Sequence[NDArray[np.float64]], targets: NDArray[np.intp]
    ) -> None:
        sizes = np.array([len(order) for order in people])  # (m,)
        distances = np.concatenate(metric)  # (n,)
        top = float(np.abs(distances).max()) or 1.0
        _, codes = np.unique(np.round(distances / top, SIGNIFICANT_DIGITS), return_inverse=True)  # (n,)
        keys = np.stack([np.repeat(targets, sizes), codes])  # (2, n)
        found, item_of = np.unique(keys, axis=1, return_inverse=True)  # (2, i), (n,)
        item_of = item_of.ravel()
        self.values = found[1].astype(np.intp)  # (i,)
        self._highest = int(codes.max()) + 1
        self._blocks = _connected(item_of, np.repeat(np.arange(len(sizes)), sizes), len(self.values))  # (i,)
        self.count = prod(factorial(int(size)) for size in np.bincount(self._blocks))
        self._rank_count = int(sizes.sum())
        starts = np.cumsum(sizes) - sizes  # (m,)
        self._largest = int(sizes.max())
        in_set = np.stack([np.repeat(np.arange(len(sizes)), sizes), item_of])  # (2, n)
        tied = np.unique(in_set, axis=1).shape[1] < len(item_of) or any(
            len(set(own.tolist())) < len(own) for own in people
        )
        self._steps = 2 if tied else 1  # a whole rank has: ties make half ranks
        self._groups = []  # sets of one size: items, people's ranks, and these centred and scaled, (s, k) each
        for size in np.unique(sizes).tolist():
            members = np.flatnonzero(sizes == size)  # (s,)
            places = starts[members][:, np.newaxis] + np.arange(size)  # (s, k)
            ranks = mid_ranks(np.stack([people[member] for member in members.tolist()]))  # (s, k)
            centred = ranks - ranks.mean(axis=1, keepdims=True)
            norm = np.sqrt((centred**2).sum(axis=1, keepdims=True))
            with np.errstate(invalid="ignore"):
                scaled = centred / np.where(norm > 0, norm, NAN)
            self._groups.append((item_of[places], ranks, scaled))

    def orders(self, seed: int, resamples: int) -> tuple[Iterator[NDArray[np.intp]], bool]:
        """Orders of the items, `(b, i)` at a time: all that keep blocks together where they are few, else random."""
        block_items = [np.flatnonzero(self._blocks == block) for block in range(int(self._blocks.max()) + 1)]
        if self.count <= (EXACT_PERMUTATIONS if resamples >= PERMUTATIONS else MORE * resamples):
            return self._every_order(block_items), True
        if self._largest == 2 and self._rank_count <= FEW_RANKS:
            resamples *= MORE
        return self._random_orders(np.random.default_rng(seed), resamples), False

    def _every_order(self, block_items: Sequence[NDArray[np.intp]]) -> Iterator[NDArray[np.intp]]:
        step = self._chunk()
        buffer: list[NDArray[np.intp]] = []
        places = np.concatenate(block_items)  # (i,)
        for chosen in product(*(list(permutations(own.tolist())) for own in block_items)):
            order = np.empty(len(places), np.intp)
            order[places] = [item for own in chosen for item in own]
            buffer.append(order)
            if len(buffer) == step:
                yield np.stack(buffer)
                buffer = []
        if buffer:
            yield np.stack(buffer)

    def _random_orders(self, rng: np.random.Generator, resamples: int) -> Iterator[NDArray[np.intp]]:
        base = np.argsort(self._blocks, kind="stable")  # (i,)
        for start in range(0, resamples, self._chunk()):
            size = min(self._chunk(), resamples - start)
            drawn = np.argsort(self._blocks + rng.random((size, len(base))), axis=1)  # (b, i), blocks in their order
            orders = np.empty_like(drawn)
            orders[:, base] = drawn
            yield orders

    @property
    def _length(self) -> int:
        """How many ranks there can be, v."""
        return self._steps * (self._largest - 1) + 1

    def _chunk(self) -> int:
        return max(1, min(512, CHUNK // max(self._rank_count, self._length**2)))

    def statistics(self, orders: NDArray[np.intp]) -> NDArray[np.float64]:
        """The pooled statistics, ρ of the distances and mean ρ within sets, of items in these orders: `(b, 6)`."""
        values = self.values[orders]  # (b, i)
        tables = np.zeros((len(orders), self._length, self._length))  # (b, v, v)
        within, pooled_people, pooled_codes = [], [], []
        for items, people, scaled in self._groups:
            own = values[:, items]  # (b, s, k)
            ranks = _mid_ranks(own)  # (b, s, k)
            tables += self._count(people, ranks)
            centred = ranks - ranks.mean(axis=-1, keepdims=True)
            norm = np.sqrt((centred**2).sum(axis=-1))  # (b, s)
            with np.errstate(invalid="ignore", divide="ignore"):
                within.append((scaled * centred).sum(axis=-1) / np.where(norm > 0, norm, NAN))
            pooled_people.append(people.ravel())
            pooled_codes.append(own.reshape(len(orders), -1))
        rho = self._pooled_distances(np.concatenate(pooled_people), np.concatenate(pooled_codes, axis=1))
        defined = np.concatenate(within, axis=1)  # (b, m)
        known = ~np.isnan(defined)
        with np.errstate(invalid="ignore"):
            mean = np.where(known, defined, 0).sum(axis=1) / np.where(known.any(axis=1), known.sum(axis=1), NAN)
        rank_values = 1 + np.arange(self._length) / self._steps  # (v,)
        return np.column_stack([pooled_statistics(tables, rank_values), rho, mean])

    def _count(self, people: NDArray[np.float64], ranks: NDArray[np.float64]) -> NDArray[np.float64]:
        """How often people, `(s, k)`, gave one rank and the metric, `(b, s, k)`, another: `(b, v, v)`."""
        draws, length = len(ranks), self._length
        first, second = (np.rint(self._steps * (side - 1)).astype(np.intp) for side in (people, ranks))
        cells = first * length + second + (np.arange(draws) * length**2)[:, np.newaxis, np.newaxis]
        return np.bincount(cells.ravel(), minlength=draws * length**2).reshape(draws, length, length).astype(np.float64)

    def _pooled_distances(self, people: NDArray[np.float64], codes: NDArray[np.intp]) -> NDArray[np.float64]:
        """Spearman's ρ, `(b,)`, of all people's ranks `(n,)` and all distances, as codes `(b, n)`."""
        x = mid_ranks(people)
        x = x - x.mean()  # (n,)
        offsets = np.arange(len(codes))[:, np.newaxis] * self._highest
        counts = np.bincount((codes + offsets).ravel(), minlength=len(codes) * self._highest)
        counts = counts.reshape(len(codes), -1)  # (b, codes)
        mid = np.cumsum(counts, axis=1) - (counts - 1) / 2  # (b, codes)
        y = np.take_along_axis(mid, codes, axis=1) - (len(people) + 1) / 2  # (b, n)
        spread = np.sqrt((x**2).sum() * (y**2).sum(axis=1))  # (b,)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.asarray(y @ x / np.where(spread > 0, spread, NAN))


def _connected(items: NDArray[np.intp], sets: NDArray[np.intp], count: int) -> NDArray[np.intp]:
    """Which items `(i,)` are linked by sets, directly or through others: the number of each item's block."""
    size = count + int(sets.max()) + 1
    links = coo_array((np.ones(len(items)), (items, count + sets)), shape=(size, size))
    _, labels = connected_components(links, directed=False)
    _, blocks = np.unique(labels[:count], return_inverse=True)
    return np.asarray(blocks, np.intp)


def _mid_ranks(values: NDArray[np.intp]) -> NDArray[np.float64]:
    """Mid-ranks along the last axis of `(b, s, k)`."""
    size = values.shape[-1]
    if size > MANY:
        return mid_ranks(values)
    twice = np.zeros(values.shape, np.int32)
    for other in range(size):
        column = values[..., other : other + 1]
        twice += column < values
        twice += column <= values
    return np.asarray((twice + 1) / 2)
