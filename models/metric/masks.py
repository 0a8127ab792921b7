"""Masks: a region of interest of a pair of images, weighed down to each layer's grid by area.

A mask has a value from 0 to 255 for each pixel of the target. A position of a layer's grid counts with the mean of the
mask over its part of the picture; every mean over positions that a family takes becomes one weighted by that. So the
family `aligned` compares positions of the region, and the statistics of the others are statistics of the region.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from clpips.models.metric.backbone import LAYERS, TOTAL_CHANNELS
from clpips.models.metric.content import EPSILON
from clpips.models.metric.families import ALEXNET, CONTENT, FAMILIES_OF, NETWORK_PLACES, PLACES, Z_LENGTH, Families

FULL: Final = 255  # counts fully


class MaskError(ValueError):
    """A mask that cannot be used: the message says what was expected and what came."""


@dataclass(frozen=True, eq=False)
class Mask:
    """Which pixels count, uint8 `(h, w)`: 255 fully, 0 not at all."""

    values: NDArray[np.uint8]

    def shares(self, height: int, width: int) -> NDArray[np.float32]:
        """What each position of a grid counts for: float32 `(height, width)`, ≥ 0, of sum 1.

        >>> left = np.array([[255, 255, 0, 0]] * 4, np.uint8)
        >>> Mask(left).shares(1, 2)
        array([[1., 0.]], dtype=float32)
        """
        rows, columns = (_overlaps(*sides) for sides in zip((height, width), self.values.shape, strict=True))
        weights = rows @ self.values.astype(np.float64) @ columns.T  # (height, width)
        shares: NDArray[np.float32] = (weights / weights.sum()).astype(np.float32)
        return shares


def region(values: NDArray[np.generic]) -> Mask | None:
    """The mask of an array uint8 `(h, w)`; None where all of it is 255, which counts as no mask does.

    Raises `MaskError` for another type or shape, and where nothing counts.

    >>> region(np.full((4, 4), 255, np.uint8)) is None
    True
    """
    if values.dtype != np.uint8 or values.ndim != 2 or not values.size:
        raise MaskError(
            f"a mask must be uint8 (h, w), 255 where the target counts; this is {values.dtype} {values.shape}"
        )
    if not values.any():
        raise MaskError("the mask is 0 everywhere: nothing of the target would count; give it values up to 255")
    return None if (values == FULL).all() else Mask(np.asarray(values, np.uint8))


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


def _overlaps(cells: int, pixels: int) -> NDArray[np.float64]:
    """How much of each cell of a line each pixel covers, in parts of the line: `(cells, pixels)`."""
    begin, end = (np.arange(cells) + edge for edge in (0, 1))  # in cells
    first, last = (np.arange(pixels) + edge for edge in (0, 1))  # in pixels
    low = np.maximum.outer(begin / cells, first / pixels)
    high = np.minimum.outer(end / cells, last / pixels)
    overlaps: NDArray[np.float64] = np.maximum(high - low, 0)
    return overlaps
