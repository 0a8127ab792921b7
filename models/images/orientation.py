"""Orientation: how a picture as stored is to be turned and mirrored, from EXIF or, where that does not say, from XMP.

The one tag is read and the pixels are transposed here. `PIL.ImageOps.exif_transpose` writes the other tags back, and
gives up where one of them cannot be written, so that the picture stays as it lies.
"""

import re
from typing import Final

from PIL import Image

from clpips.models.images.directory import read_directory
from clpips.models.images.errors import ImageError

TAG: Final = 0x0112
UPRIGHT: Final = 1
SIDEWAYS: Final = range(5, 9)  # orientations whose rows are the picture's columns
EXIF: Final = b"Exif\x00\x00"  # stands before the TIFF in a JPEG, and in some files of others
LONGEST_XMP: Final = 2**20  # bytes that are searched
_XMP: Final = re.compile(rb"""tiff:Orientation\s*(?:=\s*["']|>)\s*([1-8])\s*["'<]""")
_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}


def orientation_of(exif: bytes | None, xmp: bytes | None = None) -> int:
    """The orientation, 1 to 8, that the metadata name; 1 where they name none that is sound.

    >>> orientation_of(b"II*\\x00\\x08\\x00\\x00\\x00\\x01\\x00\\x12\\x01\\x03\\x00\\x01\\x00\\x00\\x00\\x06\\x00")
    1
    >>> orientation_of(None, b'<rdf:Description tiff:Orientation="6"/>')
    6
    """
    if exif and (named := _named_by_exif(exif.removeprefix(EXIF))) is not None:
        return named if 1 <= named <= 8 else UPRIGHT
    if xmp and (found := _XMP.search(xmp, 0, LONGEST_XMP)):
        return int(found[1])
    return UPRIGHT


def upright(image: Image.Image, orientation: int) -> Image.Image:
    """The image as it is to be looked at."""
    turn = _TURNS.get(orientation)
    return image if turn is None else image.transpose(turn)


def _named_by_exif(tiff: bytes) -> int | None:
    try:
        return read_directory(tiff).first(TAG)
    except (ValueError, ImageError):
        return None
