"""Masks: a region of interest of a pair of images, weighed down to each layer's grid by area.

A mask has a value from 0 to 255 for each pixel of the target. A position of a layer's grid counts with the mean of the
mask over its part of the picture; every mean over positions that a family takes becomes one weighted by that. So the
family `aligned` compares positions of the region, and the statistics of the others are statistics of the region.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

FULL: Final = 255  # counts fully
BLOCK_ROWS: Final = 256  # of a mask that are in float64 at a time: 8 MB where it is 4096 pixels wide

Grid = tuple[int, int]  # height and width, in positions


class MaskError(ValueError):
    """A mask that cannot be used: the message says what was expected and what came."""


class Region(Protocol):
    """What counts of a pair of images."""

    def shares(self, height: int, width: int) -> NDArray[np.float32]:
        """What each position of a grid counts for: float32 `(height, width)`, ≥ 0, of sum 1."""
        ...


@dataclass(frozen=True, eq=False)
class GridShares:
    """A region as some grids have it: all that a comparison needs of a mask, whatever the size of that."""

    grids: Mapping[Grid, NDArray[np.float32]]

    def shares(self, height: int, width: int) -> NDArray[np.float32]:
        """As `Region` has it. Raises `KeyError` for a grid that it was not brought to."""
        return self.grids[height, width]


@dataclass(frozen=True, eq=False)
class Mask:
    """Which pixels count, uint8 `(h, w)`: 255 fully, 0 not at all."""

    values: NDArray[np.uint8]

    def shares(self, height: int, width: int) -> NDArray[np.float32]:
        """As `Region` has it, for any grid.

        >>> left = np.array([[255, 255, 0, 0]] * 4, np.uint8)
        >>> Mask(left).shares(1, 2)
        array([[1., 0.]], dtype=float32)
        """
        rows, columns = (_overlaps(*sides) for sides in zip((height, width), self.values.shape, strict=True))
        weights = np.zeros((height, width))
        for start in range(0, len(self.values), BLOCK_ROWS):
            block = slice(start, start + BLOCK_ROWS)
            weights += rows[:, block] @ (self.values[block].astype(np.float64) @ columns.T)  # (height, width)
        shares: NDArray[np.float32] = (weights / weights.sum()).astype(np.float32)
        return shares

    def on(self, grids: Iterable[Grid]) -> GridShares:
        """The region as these grids have it."""
        return GridShares({grid: self.shares(*grid) for grid in grids})


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


def _overlaps(cells: int, pixels: int) -> NDArray[np.float64]:
    """How much of each cell of a line each pixel covers, in parts of the line: `(cells, pixels)`."""
    begin, end = (np.arange(cells) + edge for edge in (0, 1))  # in cells
    first, last = (np.arange(pixels) + edge for edge in (0, 1))  # in pixels
    low = np.maximum.outer(begin / cells, first / pixels)
    high = np.minimum.outer(end / cells, last / pixels)
    overlaps: NDArray[np.float64] = np.maximum(high - low, 0)
    return overlaps
