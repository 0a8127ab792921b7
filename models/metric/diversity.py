"""Diversity of a set of images: the mean distance of its pairs, with an interval.

The score of Zhu et al., "Toward Multimodal Image-to-Image Translation" (NeurIPS 2017, section 5), and of MUNIT (ECCV
2018): the mean LPIPS of pairs of generated images. Pairs share images, so the mean is a U-statistic, and its standard
error is the jackknife's over images (Arvesen, "Jackknifing U-statistics", 1969), not that of independent pairs.
"""

import math
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

FEWEST: Final = 3  # images: of fewer, leaving one out leaves no pair
NORMAL_95: Final = 1.959964  # standard errors on either side


class Diversity(NamedTuple):
    """The mean distance of all pairs, and its 95 % interval where there are three images or more."""

    mean: float
    low: float | None
    high: float | None


def diversity(distances: NDArray[np.float32]) -> Diversity:
    """The diversity of a set by the distances of its images, `(n, n)`, symmetric, n ≥ 2; the diagonal is not read.

    >>> diversity(np.array([[0, 2], [2, 0]], np.float32))
    Diversity(mean=2.0, low=None, high=None)
    """
    count = len(distances)
    apart = distances.astype(np.float64)  # (n, n)
    np.fill_diagonal(apart, 0)
    total = float(apart.sum()) / 2
    mean = total / (count * (count - 1) / 2)
    if count < FEWEST:
        return Diversity(mean, None, None)
    without = (total - apart.sum(axis=1)) / ((count - 1) * (count - 2) / 2)  # (n,), of the others
    error = math.sqrt((count - 1) / count * float(np.square(without - without.mean()).sum()))
    return Diversity(mean, max(mean - NORMAL_95 * error, 0.0), mean + NORMAL_95 * error)
