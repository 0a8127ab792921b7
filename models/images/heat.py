"""Heat maps as pictures: a perceptually uniform colour map, alone or laid over an image, and PNG files of them.

The colour map is inferno, by Nathaniel J. Smith and Stéfan van der Walt (matplotlib's `_cm_listed.py`; released into
the public domain under CC0): equal steps of value look equally large, also in grey and to who sees no red or green.
"""

import io
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clpips.models.images.pixels import Pixels

LEVELS: Final = 256
QUICK: Final = 1  # of zlib's levels: three times as fast as its usual one, for files a little larger
# Every eighth colour of the 256, to within 2 of 255 of the others where they are interpolated.
_ANCHORS: Final = bytes.fromhex(
    "000003 030212 0a0723 140b36 200c4a 2e0a5a 3c0965 4a0b6a 570f6d 63146e 70196e "
    "7d1d6c 892269 962666 a32b61 af315b bb3754 c53d4d d04544 da4e3b e35832 ea6428 "
    "f0701e f57e14 f98c09 fb9b06 fbaa0e fbb91e f8c931 f5d948 f1e864 f2f485 fcfea4"
)  # RGB


def _inferno() -> NDArray[np.uint8]:
    anchors = np.frombuffer(_ANCHORS, np.uint8).reshape(-1, 3)  # (33, 3)
    places = np.linspace(0, LEVELS - 1, len(anchors)).round()  # (33,)
    channels = [np.interp(np.arange(LEVELS), places, channel) for channel in anchors.T]
    return np.stack(channels, axis=1).round().astype(np.uint8)


INFERNO: Final = _inferno()  # (256, 3), RGB, from dark to light


def heat_levels(values: NDArray[np.float32], high: float) -> NDArray[np.uint8]:
    """The place of each value (≥ 0) on the colour map, 0 for 0 and 255 for `high` or more: uint8 of the same shape.

    >>> heat_levels(np.array([0, 0.5, 1, 2], np.float32), 1.0).tolist()
    [0, 128, 255, 255]
    """
    if not high > 0:
        return np.zeros(values.shape, np.uint8)
    shares = np.minimum(values.astype(np.float64), high) / high  # of `high`: at most 1, however small that is
    levels: NDArray[np.uint8] = (shares * (LEVELS - 1)).round().astype(np.uint8)
    return levels


def heat_png(values: NDArray[np.float32], high: float) -> bytes:
    """A map `(h, w)` as a PNG in colours, where `high` is the value of the lightest."""
    picture = Image.fromarray(heat_levels(values, high), "P")
    picture.putpalette(INFERNO.tobytes())
    return _png(picture)


def overlay_png(values: NDArray[np.float32], high: float, image: Pixels, opacity: float) -> bytes:
    """A map `(h, w)` in colours laid over an image `(h, w, 3)`, as a PNG.

    `opacity` is the part of the picture that is the map's: 0 shows the image alone, in grey, 1 the map alone. The image
    is shown in grey, so that every colour is the map's.
    """
    grey = np.asarray(Image.fromarray(image).convert("L"), np.float32)[..., np.newaxis]  # (h, w, 1)
    colours = INFERNO[heat_levels(values, high)]  # (h, w, 3)
    mixed = grey + np.float32(opacity) * (colours - grey)  # (h, w, 3)
    return _png(Image.fromarray(mixed.round().astype(np.uint8)))


def _png(picture: Image.Image) -> bytes:
    stream = io.BytesIO()
    picture.save(stream, "PNG", compress_level=QUICK)
    return stream.getvalue()
