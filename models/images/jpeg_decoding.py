"""JPEG decoding by Pillow, which gets nothing of a file but what its decoder needs, and a look at how the pixels end.

libjpeg fills in what is missing where a scan ends too early, and says nothing that Pillow would pass on: the picture is
grey from there on, or lacks detail. A file is found out by decoding it once more with further bytes behind each scan.
Where a scan is whole, they change nothing. Where it is not, they are decoded into what is missing.
"""

import io
from typing import Final

import numpy as np
from PIL import Image

from clpips.models.images.errors import TruncatedImageError
from clpips.models.images.jpeg_segments import ARITHMETIC, JpegFile, decodable

MISSING: Final = range(126, 131)  # the brightness that libjpeg gives to what is missing: 128, and what rounding adds
BAND: Final = 256  # rows
PADDING: Final = bytes(range(1, 255, 7)) * 8  # any codes but markers


def open_jpeg(jpeg: JpegFile) -> Image.Image:
    """The pixels as Pillow's image: L, RGB or CMYK.

    Raises what Pillow raises, and `TruncatedImageError` where the coded pixels of a scan end too early.
    """
    image = _by_pillow(decodable(jpeg))
    questionable = jpeg.frame not in ARITHMETIC and _may_lack_pixels(image, jpeg)
    if questionable and _differ(image, _by_pillow(decodable(jpeg, PADDING))):
        raise TruncatedImageError(
            "the JPEG image is truncated or damaged: coded pixels are missing; send the whole file"
        )
    return image


def _by_pillow(content: bytes) -> Image.Image:
    image = Image.open(io.BytesIO(content), formats=("JPEG",))
    image.load()
    return image


def _differ(image: Image.Image, other: Image.Image) -> bool:
    """Whether two images of one size and mode differ; some rows at a time, to copy little."""
    width, height = image.size
    bands = ((0, top, width, min(top + BAND, height)) for top in range(0, height, BAND))
    return any(image.crop(band).tobytes() != other.crop(band).tobytes() for band in bands)


def _may_lack_pixels(image: Image.Image, jpeg: JpegFile) -> bool:
    """Whether the last pixels are as grey as libjpeg leaves them, or several scans hold their parts.

    Their brightness tells it. Their colours may have been smoothed with those of pixels beside them that did come.
    """
    if len(jpeg.scans) > 1:
        return True
    width, height = image.size
    last = image.crop((max(width - 2, 0), height - 1, width, height))
    levels = np.asarray(last if image.mode == "CMYK" else last.convert("L"))
    return bool(np.isin(levels, MISSING).all())
