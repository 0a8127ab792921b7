"""From channel distances and weights to the distance, and the five layer shares.

For a pair of images, `channel_distances` (`z`) are 1152 numbers: per channel, the spatial mean of the squared
difference of the two channel-normalised feature maps. LPIPS (Zhang et al., CVPR 2018, eq. 1) is `w · z`.
"""

import numpy as np
from numpy.typing import NDArray

from models.backbone import LAYERS


def weigh(channel_distances: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """Distances of n pairs.

    `channel_distances` is float32 `(n, 1152)`; `weights` is float32 `(1152,)` for all pairs alike, or `(n, 1152)`, one
    row a pair. Returns float32 `(n,)`, summed in float64: a pair's distance does not depend on its neighbours.
    """
    products = channel_distances.astype(np.float64) * weights
    return products.sum(axis=-1).astype(np.float32)


def layer_shares(channel_distances: NDArray[np.float32], weights: NDArray[np.float32]) -> NDArray[np.float32]:
    """What each of the five layers adds to the distances of n pairs: float32 `(n, 5)`, whose rows sum to `weigh`."""
    products = channel_distances.astype(np.float64) * weights
    return np.stack([products[..., layer].sum(axis=-1) for layer in LAYERS], axis=-1).astype(np.float32)
