"""The distance (LPIPS): from features to channel distances `z`, and from `z` and weights `w` to `w · z`.

For a pair of images, `z` are 1152 numbers: per channel, the spatial mean of the squared difference of the two
channel-normalised feature maps. LPIPS (Zhang et al., CVPR 2018, eq. 1) is `w · z` with the weights that it learned.
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

    >>> black, grey = ([np.full((c, 9, 9), value, np.float32) for c in CHANNELS] for value in (0, 0.5))
    >>> channel_distances(black, grey)[:3]
    array([0.25, 0.25, 0.25], dtype=float32)
    """
    z = np.empty(TOTAL_CHANNELS, np.float32)  # (1152,)
    for channels, layer, a, b in zip(CHANNELS, LAYERS, target, candidate, strict=True):  # a, b: (c, h, w)
        difference = (a - b).reshape(channels, -1)  # (c, h*w)
        np.einsum("cs,cs->c", difference, difference, out=z[layer])  # (c,), sums of squares
        z[layer] /= difference.shape[1]  # (c,), means
    return z


def weigh(z: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Distances of n pairs: the weighted sums `w · z`.

    `z` is float32 `(n, 1152)`; `weights` is float32 `(1152,)` for all pairs alike, or `(n, 1152)`, one row a pair.
    Returns float32 `(n,)`, summed in float64, so that a pair's distance does not depend on its neighbours.

    >>> weigh(np.full((2, 1152), 0.25, np.float32), np.ones(1152, np.float32))
    array([288., 288.], dtype=float32)
    """
    rows = np.broadcast_to(weights, z.shape)  # (n, 1152)
    distances: NDArray[np.float64] = np.einsum("nc,nc->n", z, rows, dtype=np.float64)  # (n,)
    return distances.astype(np.float32)


def distance_by_layer(z: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """What each of the five layers adds to the distances of n pairs.

    `z` and `weights` as in `weigh`. Returns float32 `(n, 5)`, whose rows sum to `weigh`.

    >>> distance_by_layer(np.full((1, 1152), 0.25, np.float32), np.ones(1152, np.float32))
    array([[16., 48., 96., 64., 64.]], dtype=float32)
    """
    products = z.astype(np.float64) * weights  # (n, 1152)
    return np.stack([products[..., layer].sum(axis=-1) for layer in LAYERS], axis=-1).astype(np.float32)  # (n, 5)
