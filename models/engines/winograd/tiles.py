"""Tiles of Winograd's convolutions (minimal filtering): where the inputs of each tile lie, and each output in its tile.

A convolution of stride 1 computes its map in tiles of m × m outputs, each from the (m + k − 1)² inputs under them. Maps
are rows: `(positions, channels)`, image after image. `winograd.onnx` gathers rows by the numbers that stand here, so
that one graph serves images of every size, and any number of them.
"""

from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray


class Tiling(NamedTuple):
    """How a k × k convolution of stride 1, with a padding of k // 2, is cut into tiles."""

    kernel: int  # k
    outputs: int  # m, along each axis of a tile

    @property
    def inputs(self) -> int:
        """Inputs along each axis of a tile."""
        return self.outputs + self.kernel - 1

    @property
    def products(self) -> int:
        """Products of a tile for a pair of channels: one for each of its inputs."""
        return self.inputs**2


# A tile's rounding grows with its points (kernel + outputs − 1), of which eight are the most that float32 bears here.
# AlexNet's maps of 256² images are 31² and 15²: 8 × 8 tiles of 4, and 3 × 3 of 5 without a rest.
FIVE: Final = Tiling(kernel=5, outputs=4)
THREE: Final = Tiling(kernel=3, outputs=5)


class Places(NamedTuple):
    """Row numbers for n maps of one size."""

    inputs: NDArray[np.int32]  # (products, tiles) → rows of the maps; the row behind the last stands for the padding
    outputs: NDArray[np.int32]  # (n*h*w,) → rows of the tiles' outputs, `(outputs² * tiles)`, one tile after another


@lru_cache(maxsize=64)
def places(tiling: Tiling, images: int, height: int, width: int) -> Places:
    """Where the tiles of `images` maps of `height` × `width` positions take their inputs, and where outputs stand.

    >>> found = places(Tiling(kernel=3, outputs=2), images=1, height=2, width=3)
    >>> found.inputs.reshape(4, 4, 2)[..., 1]  # those of the right tile; 6 is the padding
    array([[6, 6, 6, 6],
           [1, 2, 6, 6],
           [4, 5, 6, 6],
           [6, 6, 6, 6]], dtype=int32)
    >>> found.outputs  # two tiles, each of whose four outputs stands apart
    array([0, 2, 1, 4, 6, 5], dtype=int32)
    """
    m, padding = tiling.outputs, tiling.kernel // 2
    rows, columns = -(-height // m), -(-width // m)  # of tiles in a map
    image = np.arange(images)
    y, x = (
        np.arange(tiling.inputs)[:, np.newaxis] + np.arange(count) * m - padding for count in (rows, columns)
    )  # (inputs, rows) and (inputs, columns), of which some lie outside
    inside = ((y >= 0) & (y < height))[:, np.newaxis, :, np.newaxis] & ((x >= 0) & (x < width))[:, np.newaxis]
    position = y[:, np.newaxis, :, np.newaxis] * width + x[:, np.newaxis]  # (inputs, inputs, rows, columns)
    position = image[:, np.newaxis, np.newaxis] * height * width + position[:, :, np.newaxis]
    inputs = np.where(inside[:, :, np.newaxis], position, images * height * width)  # (i, i, images, rows, columns)

    y, x = np.arange(height), np.arange(width)
    tile = (image[:, np.newaxis, np.newaxis] * rows + (y // m)[:, np.newaxis]) * columns + x // m  # (images, h, w)
    within = (y % m)[:, np.newaxis] * m + x % m  # (h, w)
    outputs = within * images * rows * columns + tile  # (images, h, w)
    found = Places(
        inputs.reshape(tiling.products, -1).astype(np.int32),
        outputs.reshape(-1).astype(np.int32),
    )
    for numbers in found:
        numbers.flags.writeable = False  # they are shared
    return found
