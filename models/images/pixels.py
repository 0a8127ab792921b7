"""Pixels: their type, and how many of them an image may have."""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]  # (height, width, 3), RGB

MAX_PIXELS: Final = 64 * 1024 * 1024  # 8192 × 8192
PILLOW_MAX_PIXELS: Final = 89_478_485  # Pillow's own guard; a limit above it would have no effect
MAX_RESOLUTION: Final = 9459  # pixels a side: its square has as many as Pillow's guard lets through


class DecodedImage(NamedTuple):
    """The pixels of a file at the scoring resolution, and the size of the picture in it."""

    pixels: Pixels
    size: tuple[int, int]  # height and width, upright
    thumbnail: Pixels | None = None  # in its proportions, where it was asked for
