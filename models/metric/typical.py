"""Typical channel distances of natural images, by family and layer: what a weight is worth as part of a distance.

And how they are spread: of how many pairs of pictures the two are closer than these.

The mean over channels, and over all pairs of the two sets of pictures that `balanced` is made of (256 × 256 pixels;
`models/data/README.md` names them; `python -m loadtest.make_balanced` prints both tables).

A weight of the last layer's `mean` moves a distance less than the same weight of the first layer's `aligned`: weights
become comparable when each is multiplied by the distance that it meets.
"""

import math
from typing import Final

import numpy as np

from clpips.models.metric.families import GROUPS, Group
from clpips.models.metric.nets import ALEX, Net

# conv1 to conv5, and the content network's last map, as `python -m loadtest.make_balanced FOLDER...` prints them
TYPICAL: Final = {
    "aligned": (1.417e-02, 5.726e-03, 3.034e-03, 4.348e-03, 4.262e-03),
    "mean": (4.128e-03, 8.543e-04, 3.866e-04, 5.423e-04, 7.457e-04),
    "std": (2.006e-03, 9.610e-04, 6.223e-04, 8.186e-04, 1.443e-03),
    "content_mean": (7.636e-04,),
    "content_std": (6.818e-04,),
}

# Quantiles of a family's level, which is the sum of its channel distances over the typical sum, of the same pairs.
LEVEL_SHARES: Final = (0.01, 0.05, 0.1, 0.25, 0.5, 0.75, 0.9, 0.95, 0.99)
LEVELS: Final = {
    "aligned": (0.174, 0.335, 0.449, 0.676, 1.088, 1.346, 1.440, 1.482, 1.545),
    "mean": (0.141, 0.297, 0.393, 0.597, 0.889, 1.356, 1.755, 2.002, 2.409),
    "std": (0.115, 0.262, 0.392, 0.656, 0.978, 1.341, 1.618, 1.771, 2.019),
    "content_mean": (0.107, 0.208, 0.273, 0.404, 0.907, 1.604, 1.702, 1.747, 1.828),
    "content_std": (0.119, 0.220, 0.277, 0.395, 0.865, 1.603, 1.717, 1.769, 1.873),
}


def typical_sum(family: str) -> float:
    """The sum of a family's channel distances over a typical pair of natural images."""
    own = [group for group in GROUPS if group.family == family]
    return math.fsum(TYPICAL[family][group.layer] * (group.place.stop - group.place.start) for group in own)


def typical_distance(net: Net, group: Group) -> float:
    """The mean channel distance of a group over natural images.

    It is known of AlexNet. Other backbones are taken to make what AlexNet's channels of the family do on average.
    """
    known = TYPICAL[group.family]
    if net == ALEX or len(known) == 1:
        return known[group.layer]
    return typical_sum(group.family) / ALEX.total_channels


def share_closer(family: str, level: float) -> float:
    """Of how many pairs of natural images, from 0 to 1, the family's level is lower than this.

    >>> share_closer("mean", 0.889)
    0.5
    """
    return float(np.interp(level, (0, *LEVELS[family], 2 * LEVELS[family][-1]), (0, *LEVEL_SHARES, 1)))
