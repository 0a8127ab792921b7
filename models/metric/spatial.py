"""Spatial maps (LPIPS's `spatial=True`): where two images differ, by weights of the family `aligned`.

The aligned part of a distance is a sum of means over positions: each of AlexNet's five layers has a value at every
position of its own grid, `Σ_c w_c (f_a − f_b)²`, and these values are the map. What has no place, the families of
statistics and the content network's, is no part of it.
"""

from collections.abc import Sequence
from typing import Final, Literal, NamedTuple, get_args

import numpy as np
from numpy.typing import NDArray

from clpips.models.metric.families import layout_of_maps
from clpips.models.metric.masks import Region

Upsampling = Literal["nearest", "bilinear"]
UPSAMPLINGS: Final[tuple[Upsampling, ...]] = get_args(Upsampling)


class _Steps(NamedTuple):
    """How a line of pixels comes from fewer cells: a part `1 - share` of cell `low`, and `share` of cell `high`."""

    low: NDArray[np.intp]  # (pixels,)
    high: NDArray[np.intp]  # (pixels,)
    share: NDArray[np.float32]  # (pixels,)


def position_distances(
    target: Sequence[NDArray[np.float32]], candidate: Sequence[NDArray[np.float32]], weights: NDArray[np.float32]
) -> list[NDArray[np.float32]]:
    """Where one pair of images differs: a map for each of the backbone's taps, float32 `(h, w)`, ≥ 0.

    `target` and `candidate` are the images' feature maps, float32 `(c, h, w)` of unit length along c, `weights` those
    of the family `aligned`, float32 `(c of all,)`. The sum of the maps' means is the aligned part of the distance.

    >>> black, grey = ([np.full((c, 9, 9), value, np.float32) for c in (64, 192, 384, 256, 256)] for value in (0, 0.5))
    >>> maps = position_distances(black, grey, np.ones(1152, np.float32))
    >>> [float(one.mean()) for one in maps]
    [16.0, 48.0, 96.0, 64.0, 64.0]
    """
    maps = []
    for layer, a, b in zip(
        layout_of_maps(map(len, target)).net.layers, target, candidate, strict=True
    ):  # a, b: (c, h, w)
        difference = a - b  # (c, h, w)
        np.square(difference, out=difference)
        maps.append(np.einsum("c,chw->hw", weights[layer], difference, dtype=np.float64).astype(np.float32))
    return maps


def within(maps: Sequence[NDArray[np.float32]], mask: Region | None) -> list[NDArray[np.float32]]:
    """Maps `(h, w)` within a mask, if there is one: each position by what it counts for."""
    if mask is None:
        return list(maps)
    return [one * mask.shares(*one.shape) * np.float32(one.size) for one in maps]


def heat_map(
    maps: Sequence[NDArray[np.float32]], height: int, width: int, upsampling: Upsampling = "nearest"
) -> NDArray[np.float32]:
    """The sum of the layers' maps, each float32 `(h, w)`, at the size of the image: float32 `(height, width)`, ≥ 0.

    `nearest` gives each cell of a layer's grid its share of the picture, and a pixel across cells the mean of what it
    covers of each, so that the mean of the map is the aligned part of the distance. `bilinear` interpolates between the
    cells' centres, as `lpips.LPIPS(spatial=True)` does; its mean is close to the distance and not the same. Raises
    `ValueError` for another word.

    >>> heat_map([np.array([[0, 3], [0, 3]], np.float32)], 3, 3)
    array([[0. , 1.5, 3. ],
           [0. , 1.5, 3. ],
           [0. , 1.5, 3. ]], dtype=float32)
    """
    if upsampling not in UPSAMPLINGS:
        raise ValueError(f"there is no upsampling {upsampling!r}; choose one of {', '.join(UPSAMPLINGS)}")
    total = np.zeros((height, width), np.float32)
    for one in maps:
        rows, columns = (_steps(*sides, upsampling) for sides in zip((height, width), one.shape, strict=True))
        tall = _blend(one[rows.low], one[rows.high], rows.share[:, np.newaxis])  # (height, w)
        total += _blend(tall[:, columns.low], tall[:, columns.high], columns.share)
    return total


def _blend(low: NDArray[np.float32], high: NDArray[np.float32], share: NDArray[np.float32]) -> NDArray[np.float32]:
    blended: NDArray[np.float32] = low + share * (high - low)
    return blended


def _steps(pixels: int, cells: int, upsampling: Upsampling) -> _Steps:
    """How `pixels` come from as many `cells` or fewer."""
    pixel = np.arange(pixels)
    if upsampling == "nearest":  # a pixel covers a part of one cell, or of two: `pixels / cells` of it are one cell
        low = pixel * cells // pixels
        beyond = (pixel + 1) * cells - (low + 1) * pixels  # of `cells`: what it covers of the next cell
        share = np.maximum(beyond, 0) / cells
    else:
        centre = np.maximum((pixel + 0.5) * (cells / pixels) - 0.5, 0)  # of the pixel, in cells
        low = centre.astype(np.intp)
        share = centre - low
    return _Steps(low, np.minimum(low + 1, cells - 1), share.astype(np.float32))
