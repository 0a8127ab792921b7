"""The distance (LPIPS, and statistics of feature maps): from features to `z`, and from `z` to `w · z`.

For a pair of images, `z` are 6016 numbers: what each family of `families.py` says of each channel of its network.
LPIPS (Zhang et al., CVPR 2018, eq. 1) is `w · z` with the weights that it learned on the family `aligned`, and 0 on the
others.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from clpips.models.metric.families import (
    ALEX_LAYOUT,
    ALEXNET,
    CONTENT,
    FAMILIES,
    FAMILIES_OF,
    Families,
    ZLayout,
    layout_of_maps,
    layout_of_z,
)

CANCELLED: Final = 0.01  # of a mean square: a variance below it has lost digits to the subtraction it comes from
BLOCK_ELEMENTS: Final = 128 * 1024  # of a block of candidates' maps: with the differences it fills 1 MB of cache
LARGE_ELEMENTS: Final = 16 * 2**20  # of a tap whose differences are formed a part of its channels at a time: 64 MiB
POSITIONS_A_SUM: Final = 4096  # are summed in float32, by BLAS on this one thread, and their sums in float64


def statistics(maps: Sequence[NDArray[np.float32]]) -> NDArray[np.float32]:
    """Mean and standard deviation over positions of an image's feature maps, float32 `(c, h, w)` for each tap.

    Returns float32 `(2, c of all)`: the means, then the standard deviations (of the population).

    >>> statistics([np.full((c, 9, 9), 0.5, np.float32) for c in (64, 192, 384, 256, 256)])[:, :2]
    array([[0.5, 0.5],
           [0. , 0. ]], dtype=float32)
    """
    net = layout_of_maps(map(len, maps)).net
    means, deviations = both = np.empty((2, net.total_channels), np.float32)
    for layer, tap in zip(net.layers, maps, strict=True):
        values = tap.reshape(len(tap), -1)  # (c, h*w)
        mean = sum_products(values) / values.shape[1]  # (c,)
        square = sum_products(values, values) / values.shape[1]  # (c,), mean squares
        variance = square - mean * mean  # (c,)
        nearly_constant = variance < CANCELLED * square  # (c,)
        if nearly_constant.any():  # these once more, in two passes
            centred = values[nearly_constant] - mean[nearly_constant, np.newaxis].astype(np.float32)  # (some, h*w)
            variance[nearly_constant] = sum_products(centred, centred) / values.shape[1]
        means[layer], deviations[layer] = mean, np.sqrt(variance)
    return both


def sum_products(values: NDArray[np.float32], factors: NDArray[np.float32] | None = None) -> NDArray[np.float64]:
    """Row by row the sum of products, `(c,)`, of values `(c, s)` and factors `(c, s)` or `(1, s)`; else of 1."""
    total = np.zeros(len(values))  # (c,)
    for start in range(0, values.shape[1], POSITIONS_A_SUM):
        part = values[:, start : start + POSITIONS_A_SUM]  # (c, ≤ 4096)
        if factors is None:
            total += np.vecdot(part, np.ones(part.shape[1], np.float32))
        else:
            total += np.vecdot(part, factors[:, start : start + POSITIONS_A_SUM])
    return total


def aligned_distances(
    target: Sequence[NDArray[np.float32]], candidate: Sequence[NDArray[np.float32]]
) -> NDArray[np.float32]:
    """The family `aligned` of one pair of images, float32 `(c,)` of all taps' channels, from their feature maps.

    Each map is float32 `(c, h, w)`, of unit length along c (or zero), the two of a tap equally large. The distances
    are exactly 0 for identical maps, never negative, and the same with the two exchanged.

    >>> black, grey = ([np.full((c, 9, 9), value, np.float32) for c in (64, 192, 384, 256, 256)] for value in (0, 0.5))
    >>> aligned_distances(black, grey)[:3]
    array([0.25, 0.25, 0.25], dtype=float32)
    """
    net = layout_of_maps(map(len, target)).net
    z = np.empty(net.total_channels, np.float32)  # (c,)
    for channels, layer, a, b in zip(net.channels, net.layers, target, candidate, strict=True):  # a, b: (c, h, w)
        size = max(1, LARGE_ELEMENTS // a[0].size)  # channels at a time: all, but of large images
        for start in range(0, channels, size):
            difference = (a[start : start + size] - b[start : start + size]).reshape(-1, a[0].size)  # (≤ size, h*w)
            sums = sum_products(difference, difference)  # (≤ size,)
            z[layer.start + start : layer.start + start + len(sums)] = sums / difference.shape[1]  # means of squares
    return z


def aligned_distances_of_all(
    targets: Sequence[Sequence[NDArray[np.float32]]], candidates: Sequence[Sequence[NDArray[np.float32]]]
) -> NDArray[np.float32]:
    """The family `aligned` of every target with every candidate, float32 `(t, c, channels)`: as `aligned_distances`.

    Loop tiling (cache blocking): a block of channels of all candidates stays in the processor's cache while one target
    after the other is compared with them, so that memory is read once for many pairs. The bits are those of pairs.
    """
    net = layout_of_maps(map(len, targets[0])).net
    z = np.empty((len(targets), len(candidates), net.total_channels), np.float32)
    for number, (channels, layer) in enumerate(zip(net.channels, net.layers, strict=True)):
        sides = [[maps[number].reshape(channels, -1) for maps in side] for side in (targets, candidates)]
        positions = sides[0][0].shape[1]
        size = max(1, BLOCK_ELEMENTS // (positions * len(candidates)))  # channels a block
        for start in range(0, channels, size):
            block = np.stack([values[start : start + size] for values in sides[1]])  # (c, ≤ size, h*w)
            difference = np.empty_like(block)
            places = slice(layer.start + start, layer.start + start + block.shape[1])
            for row, values in zip(z, sides[0], strict=True):
                np.subtract(values[start : start + size], block, out=difference)
                flat = difference.reshape(-1, positions)  # (c * size, h*w)
                row[:, places] = (sum_products(flat, flat) / positions).reshape(block.shape[:2])
    return z


def statistic_distances(target: NDArray[np.float32], candidate: NDArray[np.float32]) -> NDArray[np.float32]:
    """The families `mean` and `std` of n pairs, float32 `(n, 2c)`, from `statistics` `(n, 2, c)` of each side.

    >>> statistic_distances(np.zeros((1, 2, 1152), np.float32), np.full((1, 2, 1152), 0.5, np.float32))[0, :2]
    array([0.25, 0.25], dtype=float32)
    """
    squares: NDArray[np.float32] = np.square(target - candidate)  # (n, 2, c)
    return squares.reshape(len(target), -1)  # (n, 2c)


def channel_distances(
    targets: Sequence[tuple[Sequence[NDArray[np.float32]], NDArray[np.float32]]],
    candidates: Sequence[tuple[Sequence[NDArray[np.float32]], NDArray[np.float32]]],
    families: Families = FAMILIES_OF[ALEXNET],
) -> NDArray[np.float32]:
    """The backbone's part of `z` of n pairs of images, float32 `(n, z)`, from each image's feature maps and statistics.

    Families that are not asked for, and those of other networks, are not computed, and are 0.
    """
    layout = layout_of_maps(map(len, targets[0][0])) if targets else ALEX_LAYOUT
    z = np.zeros((len(targets), layout.length), np.float32)  # (n, z)
    if not targets:
        return z
    if "aligned" in families:
        for row, (a, _), (b, _) in zip(z, targets, candidates, strict=True):
            row[layout.places["aligned"]] = aligned_distances(a, b)
    if families & {"mean", "std"}:
        of_statistics = statistic_distances(*(np.stack([one[1] for one in side]) for side in (targets, candidates)))
        for place, name in enumerate(("mean", "std")):
            if name in families:
                channels = layout.net.total_channels
                z[:, layout.places[name]] = of_statistics[:, place * channels : (place + 1) * channels]
    return z


def channel_distances_of_all(
    targets: Sequence[tuple[Sequence[NDArray[np.float32]], NDArray[np.float32]]],
    candidates: Sequence[tuple[Sequence[NDArray[np.float32]], NDArray[np.float32]]],
    families: Families = FAMILIES_OF[ALEXNET],
) -> NDArray[np.float32]:
    """The backbone's part of `z` of every target with every candidate, float32 `(t, c, z)`: as `channel_distances`."""
    pairs = [(a, b) for a in targets for b in candidates]
    z = channel_distances([a for a, _ in pairs], [b for _, b in pairs], families - {"aligned"})
    z = z.reshape(len(targets), len(candidates), -1)
    if "aligned" in families and pairs:
        maps = [[one[0] for one in side] for side in (targets, candidates)]
        z[:, :, layout_of_z(z.shape[2]).places["aligned"]] = aligned_distances_of_all(maps[0], maps[1])
    return z


def content_distances(
    targets: Sequence[NDArray[np.float32]],
    candidates: Sequence[NDArray[np.float32]],
    families: Families = FAMILIES_OF[CONTENT],
    layout: ZLayout = ALEX_LAYOUT,
) -> NDArray[np.float32]:
    """The content network's part of `z` of n pairs, float32 `(n, z)`, from `content_statistics` `(2, 1280)` of each.

    Families that are not asked for, and those of other networks, are not computed, and are 0.
    """
    z = np.zeros((len(targets), layout.length), np.float32)  # (n, z)
    if not targets:
        return z
    place = layout.network_places[CONTENT]
    z[:, place] = np.square(np.stack(targets) - np.stack(candidates)).reshape(len(targets), -1)  # (n, 2560)
    for name in FAMILIES_OF[CONTENT] - families:
        z[:, layout.places[name]] = 0
    return z


def weigh(z: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Distances of n pairs: the weighted sums `w · z`.

    `z` is float32 `(n, 6016)`; `weights` is float32 `(6016,)` for all pairs alike, or `(n, 6016)`, one row a pair (or
    both are of some of the channels).
    Returns float32 `(n,)`, summed in float64, so that a pair's distance does not depend on its neighbours.

    >>> weigh(np.full((2, 6016), 0.25, np.float32), np.ones(6016, np.float32))
    array([1504., 1504.], dtype=float32)
    """
    rows = np.broadcast_to(weights, z.shape)  # (n, z)
    distances: NDArray[np.float64] = np.einsum("nc,nc->n", z, rows, dtype=np.float64)  # (n,)
    return distances.astype(np.float32)


def distance_by_layer(z: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """What each of the backbone's taps (AlexNet's layers) adds to the distances of n pairs, over its families.

    `z` and `weights` as in `weigh`. Returns float32 `(n, taps)`, whose rows sum to `weigh` less what the content
    network's families add.

    >>> distance_by_layer(np.full((1, 6016), 0.25, np.float32), np.ones(6016, np.float32))
    array([[ 48., 144., 288., 192., 192.]], dtype=float32)
    """
    layout = layout_of_z(z.shape[-1])
    layers = [[g.place for g in layout.layer_groups(layer)] for layer in range(len(layout.net.channels))]
    return _sums(z, weights, layers)


def distance_by_family(z: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """What each family adds to the distances of n pairs: float32 `(n, families)`, whose rows sum to `weigh`.

    >>> distance_by_family(np.full((1, 6016), 0.25, np.float32), np.ones(6016, np.float32))
    array([[288., 288., 288., 320., 320.]], dtype=float32)
    """
    return _sums(z, weights, [[layout_of_z(z.shape[-1]).places[family.name]] for family in FAMILIES])


def distance_by_group(z: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """What each layer of each family adds to n pairs' distances: float32 `(n, groups)`, as in `ZLayout.groups`."""
    return _sums(z, weights, [[group.place] for group in layout_of_z(z.shape[-1]).groups])


def _sums(
    z: NDArray[np.float32], weights: NDArray[np.float32], parts: Sequence[Sequence[slice]]
) -> NDArray[np.float32]:
    products = z.astype(np.float64) * weights  # (n, z)
    sums = [sum(products[..., place].sum(axis=-1) for place in places) for places in parts]
    return np.stack(sums, axis=-1).astype(np.float32)  # (n, parts)
