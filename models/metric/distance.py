"""From features to channel distances `z`, and from `z` and weights to the distance and the five layer shares.

For a pair of images, `z` are 1152 numbers: per channel, the spatial mean of the squared difference of the two
channel-normalised feature maps. LPIPS (Zhang et al., CVPR 2018, eq. 1) is `w · z`.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from clpips.models.metric.backbone import CHANNELS, LAYERS, TOTAL_CHANNELS


def channel_distances(
    target: Sequence[NDArray[np.float32]], candidate: Sequence[NDArray[np.float32]]
) -> NDArray[np.float32]:
    """`z` of one pair of images from their five feature maps.

    Each map is float32 `(c, h, w)`, of unit length along c (or zero), the two of a tap equally large. Returns float32
    `(1152,)`, exactly 0 for identical maps, never negative, the same with the two exchanged.
    """
    z = np.empty(TOTAL_CHANNELS, np.float32)
    for channels, layer, a, b in zip(CHANNELS, LAYERS, target, candidate, strict=True):
        difference = (a - b).reshape(channels, -1)  # (c, h*w)
        np.einsum("cs,cs->c", difference, difference, out=z[layer])
        z[layer] /= difference.shape[1]
    return z


def weigh(channel_distances: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Distances of n pairs.

    `channel_distances` is float32 `(n, 1152)`; `weights` is float32 `(1152,)` for all pairs alike, or `(n, 1152)`, one
    row a pair. Returns float32 `(n,)`, summed in float64, so that a pair's distance does not depend on its neighbours.
    """
    rows = np.broadcast_to(weights, channel_distances.shape)
    distances: NDArray[np.float64] = np.einsum("nc,nc->n", channel_distances, rows, dtype=np.float64)
    return distances.astype(np.float32)


def layer_shares(channel_distances: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """What each of the five layers adds to the distances of n pairs: float32 `(n, 5)`, whose rows sum to `weigh`."""
    products = channel_distances.astype(np.float64) * weights
    return np.stack([products[..., layer].sum(axis=-1) for layer in LAYERS], axis=-1).astype(np.float32)
