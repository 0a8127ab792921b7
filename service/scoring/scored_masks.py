"""Masks as a comparison needs them: brought to the grids of the networks' maps, whatever the size of their files."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from clpips.models.metric.backbone import MIN_SIDE
from clpips.models.metric.content import LAST_GRID
from clpips.models.metric.masks import GridShares, region
from clpips.models.metric.nets import ALEX, Net


class ScoredMask(NamedTuple):
    """A mask of a target."""

    size: tuple[int, int]  # height and width: those of the target's picture, or it is not a mask of this
    region: GridShares | None  # None where all of the target counts


def scored_mask(values: NDArray[np.uint8], resolution: int | None, net: Net = ALEX) -> ScoredMask:
    """A mask, uint8 `(h, w)`, of images scored at this resolution. Raises `MaskError` where nothing counts."""
    size = (values.shape[0], values.shape[1])
    mask = region(values)
    height, width = (resolution, resolution) if resolution is not None else size
    if mask is None or min(height, width) < MIN_SIDE:  # too small for any target of its size
        return ScoredMask(size, None)
    return ScoredMask(size, mask.on({*net.tap_sizes(height, width), LAST_GRID}))
