"""Distances within a mask: every mean over positions that a family takes is weighted by what each of them counts."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from clpips.models.metric.backbone import LAYERS, TOTAL_CHANNELS
from clpips.models.metric.content import EPSILON
from clpips.models.metric.families import ALEXNET, CONTENT, FAMILIES_OF, NETWORK_PLACES, PLACES, Z_LENGTH, Families
from clpips.models.metric.masks import Mask


def masked_distances(
    target: Sequence[NDArray[np.float32]],
    candidate: Sequence[NDArray[np.float32]],
    mask: Mask,
    families: Families = FAMILIES_OF[ALEXNET],
) -> NDArray[np.float32]:
    """AlexNet's part of `z` of one pair within a mask, float32 `(6016,)`, from five feature maps `(c, h, w)` each.

    Families that are not asked for, and those of other networks, are 0.
    """
    z = np.zeros(Z_LENGTH, np.float32)
    aligned, means, deviations = (np.empty(TOTAL_CHANNELS) for _ in range(3))
    for layer, a, b in zip(LAYERS, target, candidate, strict=True):  # a, b: (c, h, w)
        shares = mask.shares(*a.shape[1:]).astype(np.float64)  # (h, w)
        aligned[layer] = np.einsum("chw,hw->c", np.square(a - b), shares)
        (mean_a, deviation_a), (mean_b, deviation_b) = (_moments(one, shares) for one in (a, b))
        means[layer], deviations[layer] = np.square(mean_a - mean_b), np.square(deviation_a - deviation_b)
    for name, values in (("aligned", aligned), ("mean", means), ("std", deviations)):
        if name in families:
            z[PLACES[name]] = values
    return z


def masked_content_distances(
    target: NDArray[np.float32],
    candidate: NDArray[np.float32],
    mask: Mask,
    families: Families = FAMILIES_OF[CONTENT],
) -> NDArray[np.float32]:
    """The content network's part of `z` of one pair within a mask, float32 `(6016,)`, from last maps `(1280, h, w)`."""
    z = np.zeros(Z_LENGTH, np.float32)
    shares = mask.shares(*target.shape[1:]).astype(np.float64)  # (h, w)
    sides = [_unit(np.stack(_moments(one, shares))) for one in (target, candidate)]  # (2, 1280) each
    z[NETWORK_PLACES[CONTENT]] = np.square(sides[0] - sides[1]).ravel()
    for name in FAMILIES_OF[CONTENT] - families:
        z[PLACES[name]] = 0
    return z


def _moments(maps: NDArray[np.float32], shares: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Weighted mean and standard deviation of each channel of maps `(c, h, w)` by shares `(h, w)`: `(c,)` each."""
    mean = np.einsum("chw,hw->c", maps, shares)  # (c,)
    variance = np.einsum("chw,hw->c", np.square(maps - mean[:, np.newaxis, np.newaxis]), shares)  # (c,)
    return mean, np.sqrt(variance)


def _unit(statistics: NDArray[np.float64]) -> NDArray[np.float64]:
    """Vectors `(2, 1280)` brought to length 1, as `content_statistics` does it."""
    lengths = np.sqrt(np.square(statistics).sum(axis=1, keepdims=True)) + EPSILON  # (2, 1)
    unit: NDArray[np.float64] = statistics / lengths
    return unit
