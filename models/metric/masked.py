"""Distances within a mask: every mean over positions that a family takes is weighted by what each of them counts."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from clpips.models.metric.content import EPSILON
from clpips.models.metric.distance import sum_products
from clpips.models.metric.families import (
    ALEX_LAYOUT,
    ALEXNET,
    CONTENT,
    FAMILIES_OF,
    Families,
    ZLayout,
    layout_of_maps,
)
from clpips.models.metric.masks import Region


def masked_distances(
    target: Sequence[NDArray[np.float32]],
    candidate: Sequence[NDArray[np.float32]],
    mask: Region,
    families: Families = FAMILIES_OF[ALEXNET],
) -> NDArray[np.float32]:
    """The backbone's part of `z` of one pair within a mask, float32 `(z,)`, from its taps' feature maps `(c, h, w)`.

    Families that are not asked for, and those of other networks, are 0.
    """
    layout = layout_of_maps(map(len, target))
    z = np.zeros(layout.length, np.float32)
    parts = {name: z[layout.places[name]] for name in families}  # views
    for layer, a, b in zip(layout.net.layers, target, candidate, strict=True):  # a, b: (c, h, w)
        shares = mask.shares(*a.shape[1:]).reshape(1, -1)  # (1, s)
        if "aligned" in parts:
            difference = (a - b).reshape(len(a), -1)  # (c, s)
            parts["aligned"][layer] = sum_products(np.square(difference, out=difference), shares)
        if not parts.keys().isdisjoint({"mean", "std"}):
            of_both = zip(*(_moments(one, shares) for one in (a, b)), strict=True)
            for name, (own, other) in zip(("mean", "std"), of_both, strict=True):
                if name in parts:
                    parts[name][layer] = np.square(own - other)
    return z


def masked_content_distances(
    target: NDArray[np.float32],
    candidate: NDArray[np.float32],
    mask: Region,
    families: Families = FAMILIES_OF[CONTENT],
    layout: ZLayout = ALEX_LAYOUT,
) -> NDArray[np.float32]:
    """The content network's part of `z` of one pair within a mask, float32 `(z,)`, from last maps `(1280, h, w)`."""
    z = np.zeros(layout.length, np.float32)
    shares = mask.shares(*target.shape[1:]).reshape(1, -1)  # (1, s)
    sides = [_unit(np.stack(_moments(one, shares))) for one in (target, candidate)]  # (2, 1280) each
    z[layout.network_places[CONTENT]] = np.square(sides[0] - sides[1]).ravel()
    for name in FAMILIES_OF[CONTENT] - families:
        z[layout.places[name]] = 0
    return z


def _moments(maps: NDArray[np.float32], shares: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weighted mean and standard deviation of each channel of maps `(c, h, w)` by shares `(1, s)`: `(c,)` each."""
    values = maps.reshape(len(maps), -1)  # (c, s)
    mean = sum_products(values, shares)  # (c,)
    centred = values - mean[:, np.newaxis].astype(np.float32)  # (c, s)
    return mean, np.sqrt(sum_products(np.square(centred, out=centred), shares))


def _unit(statistics: NDArray[np.float64]) -> NDArray[np.float64]:
    """Vectors `(2, 1280)` brought to length 1, as `content_statistics` does it."""
    lengths = np.sqrt(np.square(statistics).sum(axis=1, keepdims=True)) + EPSILON  # (2, 1)
    unit: NDArray[np.float64] = statistics / lengths
    return unit
