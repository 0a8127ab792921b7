"""PNG decoding, the fast path: imgread for the commonest file, an 8-bit RGB PNG as image generators write it.

imgread's decoder, which is Rust's, inflates and unfilters in a third of Pillow's time, to the same pixels. Only files
in which nothing but pixels matters come here (*plain* ones); whatever is odd about a file is Pillow's to judge. imgread
is optional, and has no wheel for every Python: without it Pillow decodes all PNGs.
"""

import struct
import zlib
from collections.abc import Callable
from typing import Final

import numpy as np

from clpips.models.images.formats import PNG
from clpips.models.images.pixels import Pixels
from clpips.models.installing import PYTHON, install_hint


def _decoder() -> Callable[[bytes], Pixels] | None:
    try:
        from imgread import load_numpy_from_bytes
    except ImportError:
        return None
    return load_numpy_from_bytes


_decode: Final = _decoder()
RGB_8_BIT: Final = (8, 2, 0, 0)  # bit depth, colour type, compression, filter
MOST_CHUNKS: Final = 10_000  # a file of more is left to Pillow
# Chunks that do not change the pixels that Pillow gives. Orientation, transparency, animation are in others.
HARMLESS: Final = {b"sRGB", b"gAMA", b"cHRM", b"pHYs", b"tIME", b"iCCP", b"sBIT", b"bKGD", b"hIST"}
ORIENTED_TEXTS: Final = (b"Raw profile type", b"XML:com.adobe.xmp")  # text chunks in which EXIF or XMP may hide


def png_decoder() -> str:
    """What decodes plain PNGs: `imgread`; or `Pillow`, and what to do about it."""
    if _decode is not None:
        return "imgread"
    return (
        f"Pillow, in three times the time of imgread, which is not installed: {install_hint('decode')}; where pip "
        f"finds no wheel of it for {PYTHON}, leave it out or take an older Python: the pixels are the same"
    )


def plain_png_size(content: bytes) -> tuple[int, int] | None:
    """Width and height where the file is a sound, still, opaque, upright 8-bit RGB PNG; else None.

    The chunks' checksums are verified but for those of the pixels, which the decoder verifies.
    """
    if _decode is None or not content.startswith(PNG) or len(content) > 0x7FFFFFFF:
        return None
    size = None
    place = len(PNG)
    for _ in range(MOST_CHUNKS):
        head = content[place : place + 8]
        if len(head) < 8:
            return None
        length, kind = struct.unpack(">I4s", head)
        end = place + 12 + length
        if end > len(content):
            return None
        if kind == b"IHDR":
            size = _header(content[place + 8 : end - 4]) if size is None and length == 13 else None
        if size is None:
            return None
        if kind != b"IDAT":
            if kind not in HARMLESS and kind not in {b"IHDR", b"IEND"} and not _harmless_text(kind, content, place):
                return None
            if zlib.crc32(memoryview(content)[place + 4 : end - 4]) != int.from_bytes(content[end - 4 : end], "big"):
                return None
        if kind == b"IEND":
            return size
        place = end
    return None


def decode_plain_png(content: bytes) -> Pixels | None:
    """The pixels, uint8 `(h, w, 3)`, of a file that `plain_png_size` knows; None where they are damaged.

    Damage is what the chunks' CRC-32 tell, or a stream that does not inflate to the image's size. A wrong Adler-32
    within sound chunks, which Pillow refuses, is not seen: no transfer causes it, and the pixels are as stored.
    """
    assert _decode is not None  # noqa: S101 - plain_png_size has said so
    try:
        pixels = _decode(content)
    except Exception:  # noqa: BLE001  Pillow says what is wrong, in its own words
        return None
    return pixels if pixels.ndim == 3 and pixels.shape[2] == 3 and pixels.dtype == np.uint8 else None


def _header(fields: bytes) -> tuple[int, int] | None:
    width, height, *rest, _interlaced = struct.unpack(">IIBBBBB", fields)
    return (width, height) if tuple(rest) == RGB_8_BIT and width and height else None


def _harmless_text(kind: bytes, content: bytes, place: int) -> bool:
    return kind == b"tEXt" and not content.startswith(ORIENTED_TEXTS, place + 8)
