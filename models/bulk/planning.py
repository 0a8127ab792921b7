"""Graph partitioning: rows of a table → shards of bounded size in which as few images as possible stand twice.

Images are nodes, pairs are edges. A connected group that fits into a shard stays whole, and small groups share one, in
the order of the table. A group that is too large is cut into tiles: its images, in the order in which they are met, lie
in blocks of half a shard, a row belongs to the tile of its two images' blocks, and tiles that lie side by side share
shards. Images that then stand in several shards are *shared*: their features are kept on a disk.

The plan depends on nothing but the rows and the bounds.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from clpips.models.bulk.options import Bounds


@dataclass(frozen=True)
class Shards:
    """Which rows and pairs each shard has."""

    rows: NDArray[np.int64]  # (rows,) of the table, shard by shard, ascending within each
    row_ends: NDArray[np.int64]  # (shards,) in `rows`
    shared: NDArray[np.bool_]  # (nodes,) whether an image stands in several shards

    def __len__(self) -> int:
        return len(self.row_ends)

    def rows_of(self, shard: int) -> NDArray[np.int64]:
        return self.rows[self.row_ends[shard - 1] if shard else 0 : self.row_ends[shard]]


def plan(
    rows: int,
    row_of: NDArray[np.int64],
    targets: NDArray[np.int32],
    candidates: NDArray[np.int32],
    nodes: int,
    bounds: Bounds,
) -> Shards:
    """Shards for `rows` rows, whose pairs `(pairs,)`, row by row, are of images numbered from 0 to `nodes`.

    A row is never cut: one with more candidates than a shard may have is a shard by itself.

    >>> found = plan(3, np.arange(3), *np.array([[0, 2, 0], [1, 3, 1]], np.int32), 4, Bounds(2, 10, 0))
    >>> found.rows.tolist(), found.row_ends.tolist(), found.shared.any().item()
    ([0, 2, 1], [2, 3], False)
    """
    if not rows:
        nothing = np.zeros(0, np.int64)
        return Shards(nothing, nothing, np.zeros(nodes, np.bool_))
    first = np.searchsorted(row_of, np.arange(rows + 1))  # (rows + 1,), where the pairs of each row begin
    named = np.stack([targets, candidates], axis=1)  # (pairs, 2)
    groups = _ordered(_groups(rows, first, named, nodes), first, named, nodes, bounds)
    shard_of = _packed(groups, first, named, bounds)
    sequence = np.lexsort((groups.order, shard_of))
    counts = np.bincount(shard_of)
    by_row = np.empty(rows, np.int64)
    by_row[groups.order] = shard_of
    return Shards(groups.order[sequence], np.cumsum(counts), _in_several(by_row[row_of], named, nodes))


def _in_several(shard: NDArray[np.int64], named: NDArray[np.int32], nodes: int) -> NDArray[np.bool_]:
    """Which images stand in several shards, `(nodes,)`, by the shard of each pair."""
    least, most = np.full(nodes, np.iinfo(np.int64).max), np.full(nodes, -1)
    for side in named.T:
        np.minimum.at(least, side, shard)
        np.maximum.at(most, side, shard)
    return most > least


@dataclass(frozen=True)
class _Groups:
    """The rows in the order in which they are packed, and their connected groups."""

    order: NDArray[np.int64]  # (rows,)
    of: NDArray[np.int64]  # (rows,), the group of each of them
    images: NDArray[np.int64]  # (groups,)
    pairs: NDArray[np.int64]  # (groups,), where a row without any counts as one


def _ordered(
    group: NDArray[np.int64], first: NDArray[np.int64], named: NDArray[np.int32], nodes: int, bounds: Bounds
) -> _Groups:
    """Group after group, and within those that are too large, tile after tile."""
    counts = np.diff(first)  # (rows,), pairs
    groups = int(group.max(initial=-1)) + 1
    pairs = np.bincount(group, weights=np.maximum(counts, 1), minlength=groups).astype(np.int64)
    of_node = np.full(nodes, -1, np.int64)
    of_node[named] = np.repeat(group, counts)[:, np.newaxis]
    images = np.bincount(of_node[of_node >= 0], minlength=groups)
    low, high = np.zeros(len(group), np.int64), np.zeros(len(group), np.int64)
    tiled = ((pairs > bounds.pairs) | (images > bounds.images))[group] & (counts > 0)  # (rows,)
    if tiled.any():
        block = _met(named, nodes) // max(bounds.images // 2, 1)  # (nodes,)
        ends = block[named[first[:-1][tiled]]]  # (tiled, 2), of a row's first pair
        low[tiled], high[tiled] = ends.min(axis=1), ends.max(axis=1)
    order = np.lexsort((np.arange(len(group)), high, low, group))
    return _Groups(order, group[order], images, pairs)


def _groups(rows: int, first: NDArray[np.int64], named: NDArray[np.int32], nodes: int) -> NDArray[np.int64]:
    """The connected group of each row, numbered in the order of their first rows; a row without pairs is one."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    graph = coo_array((np.ones(len(named), np.int8), (named[:, 0], named[:, 1])), shape=(nodes, nodes))
    _, component = connected_components(graph, directed=False)
    has_pairs = np.diff(first) > 0
    raw = np.arange(rows, dtype=np.int64) + nodes  # a number of its own for rows without pairs
    raw[has_pairs] = component[named[first[:-1][has_pairs], 0]]
    _, starts, inverse = np.unique(raw, return_index=True, return_inverse=True)
    rank = np.empty(len(starts), np.int64)
    rank[np.argsort(starts)] = np.arange(len(starts))
    numbered: NDArray[np.int64] = rank[inverse]
    return numbered


def _met(named: NDArray[np.int32], nodes: int) -> NDArray[np.int64]:
    """The place of each image in the order in which the pairs `(pairs, 2)` name them: `(nodes,)`."""
    found, starts = np.unique(named.ravel(), return_index=True)
    place = np.zeros(nodes, np.int64)
    place[found[np.argsort(starts)]] = np.arange(len(found))
    return place


def _packed(groups: "_Groups", first: NDArray[np.int64], named: NDArray[np.int32], bounds: Bounds) -> NDArray[np.int64]:
    """The shard of each row in `groups.order` (next fit): one is closed when a row, or a small group, has no room.

    `named` are the images of all pairs, `(pairs, 2)`.
    """
    shard_of = np.empty(len(groups.order), np.int64)
    starts = np.flatnonzero(np.diff(groups.of, prepend=-1))
    ends = np.append(starts[1:], len(groups.order))
    shard, images, pairs = 0, 0, 0
    sizes = zip(starts.tolist(), ends.tolist(), groups.images.tolist(), groups.pairs.tolist(), strict=True)
    for start, end, own_images, own_pairs in sizes:
        too_large = own_images > bounds.images or own_pairs > bounds.pairs
        if pairs and (too_large or images + own_images > bounds.images or pairs + own_pairs > bounds.pairs):
            shard, images, pairs = shard + 1, 0, 0
        if too_large:
            rows = groups.order[start:end]
            counts = first[rows + 1] - first[rows]
            before = np.repeat(first[rows] - np.cumsum(counts) + counts, counts)
            cut = _cut(named[before + np.arange(len(before))].ravel().tolist(), counts.tolist(), bounds)
            shard_of[start:end] = np.array(cut) + shard
            shard, images, pairs = shard + cut[-1] + 1, 0, 0
        else:
            shard_of[start:end] = shard
            images, pairs = images + own_images, pairs + own_pairs
    return shard_of


def _cut(named: list[int], counts: list[int], bounds: Bounds) -> list[int]:
    """The shard, from 0, of each row of a group that is too large, from its images, two a pair, and its pairs."""
    seen: dict[int, int] = {}  # image → the shard that it was last put into
    shard, images, pairs, place = 0, 0, 0, 0
    found = []
    for count in counts:
        distinct = set(named[place : place + 2 * count])
        fresh = [image for image in distinct if seen.get(image) != shard]
        if pairs and (images + len(fresh) > bounds.images or pairs + count > bounds.pairs):
            shard, images, pairs = shard + 1, 0, 0
            fresh = list(distinct)
        for image in fresh:
            seen[image] = shard
        images, pairs, place = images + len(fresh), pairs + count, place + 2 * count
        found.append(shard)
    return found
