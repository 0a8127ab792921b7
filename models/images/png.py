"""PNG decoding: imgread for the commonest file, an 8-bit RGB PNG as image generators write it, and Pillow for others.

imgread's decoder, which is Rust's, inflates and unfilters in a third of Pillow's time, to the same pixels. Both get
nothing of a file but its header, palette and pixels, so that no text and no profile can stop it. Transparent colours
are compared with the samples as they are stored, at all depths. imgread is optional, and has no wheel for every Python:
without it Pillow decodes all PNGs.
"""

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clpips.models.images.errors import TruncatedImageError
from clpips.models.images.formats import PNG
from clpips.models.images.pixels import Pixels
from clpips.models.images.png_chunks import CHANNELS, END, GREY, PALETTE, RGB, PngFile
from clpips.models.installing import PYTHON, install_hint


def _decoder() -> Callable[[bytes], Pixels] | None:
    try:
        from imgread import load_numpy_from_bytes
    except ImportError:
        return None
    return load_numpy_from_bytes


_decode: Final = _decoder()
LONGEST_PLAIN: Final = 2**31 - 1  # bytes that imgread takes
_PASSES: Final = ((0, 0, 8, 8), (4, 0, 8, 8), (0, 4, 4, 8), (2, 0, 4, 4), (0, 2, 2, 4), (1, 0, 2, 2), (0, 1, 1, 2))
"""Adam7: the first column and row of each pass, and its steps."""


def png_decoder() -> str:
    """What decodes plain PNGs: `imgread`; or `Pillow`, and what to do about it."""
    if _decode is not None:
        return "imgread"
    return (
        f"Pillow, in three times the time of imgread, which is not installed: {install_hint('decode')}; where pip "
        f"finds no wheel of it for {PYTHON}, leave it out or take an older Python: the pixels are the same"
    )


def open_plain_png(content: bytes, png: PngFile) -> Pixels | None:
    """The pixels, uint8 `(h, w, 3)`, by imgread, of a sound, still, opaque 8-bit RGB PNG in which nothing is odd.

    None for any other, without imgread, or where the pixels are damaged, which the chunks' CRC-32 tell, or a stream
    that does not inflate to the image's size. A wrong Adler-32 within sound chunks, which Pillow refuses, is not seen:
    no transfer causes it, and the pixels are as stored.
    """
    if _decode is None or not is_plain(png) or len(content) > LONGEST_PLAIN:
        return None
    try:
        pixels = _decode(_pixels_alone(content, png))
    except Exception:  # noqa: BLE001  Pillow says what is wrong, in its own words
        return None
    return pixels if pixels.shape == (png.height, png.width, 3) and pixels.dtype == np.uint8 else None


def _pixels_alone(content: bytes, png: PngFile) -> bytes:
    """The file without all else: Rust's decoder inflates a profile whole, to a gigabyte where it is made so."""
    alone = (png.begin, png.end) == (len(PNG) + len(png.header), len(content) - len(END))
    return content if alone else b"".join([PNG, png.header, memoryview(content)[png.begin : png.end], END])


def is_plain(png: PngFile) -> bool:
    """Whether the file is a sound, still, opaque 8-bit RGB PNG, in which nothing is odd."""
    return (png.depth, png.colour) == (8, RGB) and png.transparency is None and not png.animated and png.complete


def open_png(content: bytes, png: PngFile) -> Image.Image:
    """The pixels as Pillow's image, with alpha where the file has a transparent colour.

    16-bit RGB has the high bytes. Raises what Pillow raises, and `TruncatedImageError` where rows are missing.
    """
    stored = memoryview(content)[png.begin : png.end]
    # Where the last chunk of pixels is cut short, nothing may stand in for what is missing of it.
    image = _by_pillow([png.header, png.palette, _transparent_palette(png), stored, b"" if png.cut_short else END])
    _require_all_rows(image, stored, png)
    if png.transparency is None or png.colour == PALETTE:
        return image
    if png.colour == GREY:
        (level,) = struct.unpack(">H", png.transparency[:2])
        samples = np.asarray(image)  # (h, w)
        scale = {1: 1, 2: 85, 4: 17, 8: 1, 16: 1}[png.depth]
        see_through = samples == (level & (2**png.depth - 1)) * scale
        grey = Image.fromarray((samples >> 8).astype(np.uint8)) if png.depth == 16 else image.convert("L")
        return _with_alpha(grey, see_through)
    colour = struct.unpack(">HHH", png.transparency[:6])
    if png.depth == 8:
        return _with_alpha(image, _equal(image, [value & 0xFF for value in colour]))
    low = _by_pillow(_split(stored, png, offset=1))
    see_through = _equal(image, [value >> 8 for value in colour]) & _equal(low, [value & 0xFF for value in colour])
    return _with_alpha(image, see_through)


def _by_pillow(chunks: list[bytes | memoryview]) -> Image.Image:
    image = Image.open(io.BytesIO(b"".join([PNG, *chunks])), formats=("PNG",))
    image.load()
    return image


def _transparent_palette(png: PngFile) -> bytes:
    if png.transparency is None or png.colour != PALETTE:
        return b""
    return _chunk(b"tRNS", png.transparency[: (len(png.palette) - 12) // 3])


def _equal(image: Image.Image, colour: list[int]) -> NDArray[np.bool_]:  # (h, w)
    equal: NDArray[np.bool_] = (np.asarray(image) == np.array(colour, np.uint8)).all(axis=-1)
    return equal


def _with_alpha(image: Image.Image, see_through: NDArray[np.bool_]) -> Image.Image:
    image.putalpha(Image.fromarray(np.where(see_through, 0, 255).astype(np.uint8)))
    return image


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _require_all_rows(image: Image.Image, stored: memoryview, png: PngFile) -> None:
    """Raise `TruncatedImageError` where the stream ends before the last row: Pillow leaves what is missing at 0.

    A last row that is not all 0 has been decoded. Any other, and the rows of an interlaced file, which come in seven
    passes, are counted by inflating the stream once more.
    """
    if not png.interlaced and image.crop((0, png.height - 1, png.width, png.height)).tobytes().strip(b"\0"):
        return
    size = _size(png)
    if len(_inflated(stored, size)) < size:
        raise TruncatedImageError("the PNG image is truncated or damaged: rows are missing; send the whole file")


def _rows(png: PngFile) -> Iterator[tuple[int, int]]:
    """Rows of each pass, and the bytes of a row without its filter; one pass where the file is not interlaced."""
    bits = png.depth * CHANNELS[png.colour]
    for x, y, step_x, step_y in _PASSES if png.interlaced else ((0, 0, 1, 1),):
        width, height = -(-(png.width - x) // step_x), -(-(png.height - y) // step_y)
        if width > 0 and height > 0:
            yield height, (width * bits + 7) // 8


def _streams(stored: memoryview) -> Iterator[memoryview]:
    """What the pixel chunks hold."""
    place = 0
    while place + 8 <= len(stored):
        length = int.from_bytes(stored[place : place + 4], "big")
        yield stored[place + 8 : min(place + 8 + length, len(stored))]
        place += 12 + length


def _size(png: PngFile) -> int:
    """Bytes of all rows, each with its filter."""
    return sum(height * (1 + stride) for height, stride in _rows(png))


def _inflated(stored: memoryview, size: int) -> bytes:
    """What the pixel chunks inflate to, at most `size` bytes of it."""
    stream, inflated = zlib.decompressobj(), bytearray()
    for part in _streams(stored):
        if stream.eof or len(inflated) >= size:
            break
        inflated += stream.decompress(part, size - len(inflated))
    return bytes(inflated)


def _split(stored: memoryview, png: PngFile, offset: int) -> list[bytes | memoryview]:
    """The chunks of an 8-bit RGB PNG that has one byte of each sample of a 16-bit RGB one: 0 the high, 1 the low.

    A filter predicts each byte from bytes of the same place in other pixels, so that the bytes may be taken apart as
    they are stored, without knowing the filters.
    """
    filtered = _inflated(stored, _size(png))
    place, halves = 0, []
    for height, stride in _rows(png):
        rows = np.frombuffer(filtered, np.uint8, height * (1 + stride), place).reshape(height, 1 + stride)
        halves.append(np.concatenate([rows[:, :1], rows[:, 1 + offset :: 2]], axis=1).tobytes())
        place += rows.size
    header = _chunk(b"IHDR", png.header[8:16] + b"\x08" + png.header[17:21])
    return [header, _chunk(b"IDAT", zlib.compress(b"".join(halves), 1)), END]
