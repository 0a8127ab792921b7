"""BMP decoding: palettes, packed and masked pixels, and run lengths, from the headers of OS/2 and Windows.

Pillow takes palettes of greys for grey pixels of as many bits, and knows few masks. The format is simple enough to be
read here.
"""

import struct
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clpips.models.images.bmp_runs import unpack_runs
from clpips.models.images.bounds import MAX_PROFILE_BYTES, MAX_RUN_PIXELS
from clpips.models.images.errors import PixelTypeError, TruncatedImageError, require_at_most
from clpips.models.images.outline import Outline
from clpips.models.images.packing import unpack_small

_FILE_HEAD: Final = 14  # bytes before the header
_HEADERS: Final = frozenset({12, 16, 40, 52, 56, 64, 108, 124})  # their sizes
_CORE: Final = 12
_OS2: Final = frozenset({16, 64})
_PLAIN, _RUNS_8, _RUNS_4, _MASKED, _JPEG, _PNG, _ALPHA_MASKED = range(7)  # compressions
_BAND: Final = 64  # rows
_EMBEDDED: Final = 0x4D424544  # "MBED", the colour space of a header with an ICC profile
_DEFAULT_MASKS: Final = {16: (0x7C00, 0x3E0, 0x1F, 0), 32: (0xFF0000, 0xFF00, 0xFF, 0)}


@dataclass(frozen=True, slots=True)
class _Bmp:
    content: bytes
    header: int  # its size
    width: int
    height: int
    top_down: bool
    bits: int  # a pixel
    compression: int
    colours: int  # of the palette; 0 where the header does not say
    pixels_at: int


def read_bmp(content: bytes) -> Outline:
    """The file's outline. Raises `TruncatedImageError`, `PixelTypeError` or `TooCostlyError`."""
    if len(content) < _FILE_HEAD + _CORE:
        raise _damaged("no whole header")
    pixels_at, size = struct.unpack_from("<II", content, 10)
    if size not in _HEADERS:
        raise PixelTypeError(
            f"the BMP image has a header of {size} bytes, which is of no known version; save it as PNG"
        )
    if len(content) < _FILE_HEAD + size:
        raise _damaged("no whole header")
    compression, colours = _PLAIN, 0
    if size == _CORE:
        width, height, _, bits = struct.unpack_from("<HHHH", content, 18)
    else:
        width, height, _, bits = struct.unpack_from("<iiHH", content, 18)
    if size >= 40:
        (compression,), (colours,) = struct.unpack_from("<I", content, 30), struct.unpack_from("<I", content, 46)
    if width < 0:
        raise _damaged("a negative width")
    bmp = _Bmp(content, size, width, abs(height), height < 0, bits, compression, colours, pixels_at)
    _require_readable(bmp)
    return Outline(width, abs(height), lambda: _decode(bmp), profile=_profile(content, size))


def _require_readable(bmp: _Bmp) -> None:
    if bmp.compression in {_JPEG, _PNG} and bmp.header not in _OS2:
        kind = "JPEG" if bmp.compression == _JPEG else "PNG"
        raise PixelTypeError(f"the BMP image holds a {kind} for a printer; send that {kind} itself")
    sound = {
        _PLAIN: {1, 2, 4, 8, 16, 24, 32},
        _RUNS_8: {8},
        _RUNS_4: {4},
        _MASKED: set() if bmp.header in _OS2 else {16, 32},
        _ALPHA_MASKED: {16, 32},
    }
    if bmp.bits not in sound.get(bmp.compression, set()):
        raise PixelTypeError(
            f"the BMP image has {bmp.bits} bits a pixel in compression {bmp.compression}, which are not read; "
            "save it with 24 bits, or as PNG"
        )
    if bmp.compression in {_RUNS_8, _RUNS_4}:
        require_at_most(MAX_RUN_PIXELS, bmp.width * bmp.height, "pixels in runs")


def _decode(bmp: _Bmp) -> Image.Image:
    masks_at = _FILE_HEAD + 40  # behind a header of 40 bytes, within a longer one
    masks_bytes = 0
    if bmp.header == 40:
        masks_bytes = {_MASKED: 12, _ALPHA_MASKED: 16}.get(bmp.compression, 0)
    after_header = _FILE_HEAD + bmp.header + masks_bytes
    if bmp.compression in {_RUNS_8, _RUNS_4}:
        start = bmp.pixels_at or after_header
        indices, drawn = unpack_runs(
            memoryview(bmp.content)[start:], bmp.width, bmp.height, four_bits=bmp.compression == _RUNS_4
        )
        if not bmp.top_down:
            indices, drawn = indices[::-1], drawn[::-1]
        image = Image.fromarray(_palette(bmp, after_header)[indices])
        if not drawn.all():
            image.putalpha(Image.fromarray(np.where(drawn, 255, 0).astype(np.uint8)))
        return image
    if bmp.bits <= 8:
        rows = _rows(bmp, bmp.pixels_at or after_header + (bmp.colours or 2**bmp.bits) * _padding(bmp))
        indices = rows if bmp.bits == 8 else unpack_small(rows, bmp.bits)
        return Image.fromarray(_palette(bmp, after_header)[indices[:, : bmp.width]])
    rows = _rows(bmp, bmp.pixels_at or after_header)
    if bmp.bits == 24:
        return Image.fromarray(np.ascontiguousarray(rows[:, : 3 * bmp.width].reshape(bmp.height, -1, 3)[..., ::-1]))
    packed = np.ascontiguousarray(rows[:, : bmp.width * bmp.bits // 8]).view(f"<u{bmp.bits // 8}")  # (h, w)
    return _unmasked(packed, _masks(bmp, masks_at))


def _rows(bmp: _Bmp, start: int) -> NDArray[np.uint8]:
    """All rows, the topmost first, `(h, bytes of a row)`, which is a multiple of four."""
    stride = (bmp.width * bmp.bits + 31) // 32 * 4
    if start + stride * bmp.height > len(bmp.content):
        raise _damaged("fewer rows than its header says")
    rows = np.frombuffer(bmp.content, np.uint8, stride * bmp.height, start).reshape(bmp.height, stride)
    return rows if bmp.top_down else rows[::-1]


def _padding(bmp: _Bmp) -> int:
    return 3 if bmp.header == _CORE else 4  # bytes of a colour in the palette


def _palette(bmp: _Bmp, start: int) -> NDArray[np.uint8]:
    """The palette as RGB, `(256, 3)`; colours that it does not have are black."""
    size = _padding(bmp)
    end = bmp.pixels_at if bmp.pixels_at > start else len(bmp.content)
    count = min(bmp.colours or 2**bmp.bits, 256, (end - start) // size)
    colours = np.zeros((256, 3), np.uint8)
    stored = np.frombuffer(bmp.content, np.uint8, count * size, start).reshape(count, size)
    colours[:count] = stored[:, 2::-1]
    return colours


def _masks(bmp: _Bmp, start: int) -> tuple[int, ...]:
    if bmp.compression == _PLAIN:
        return _DEFAULT_MASKS[bmp.bits]
    with_alpha = bmp.header >= 56 or bmp.compression == _ALPHA_MASKED
    if start + (16 if with_alpha else 12) > len(bmp.content):
        raise _damaged("no whole masks")
    masks = struct.unpack_from("<IIII" if with_alpha else "<III", bmp.content, start)
    return masks if with_alpha else (*masks, 0)


def _unmasked(packed: NDArray[np.uint16 | np.uint32], masks: tuple[int, ...]) -> Image.Image:
    """The pixels under masks of red, green, blue and alpha; an alpha that is 0 throughout is no alpha."""
    places = []
    for mask in masks:
        shift = (mask & -mask).bit_length() - 1 if mask else 0
        most = mask >> shift
        if most & (most + 1) or mask >> 8 * packed.itemsize:
            raise PixelTypeError(
                "the BMP image has a mask with gaps, or of more bits than its pixels, which is not read; save it with "
                "24 bits, or as PNG"
            )
        places.append((shift, most))
    channels = np.empty((*packed.shape, 4 if masks[3] else 3), np.uint8)
    for top in range(0, len(packed), _BAND):  # to hold wide integers of few pixels at a time
        band = packed[top : top + _BAND].astype(np.uint64)
        for number in range(channels.shape[-1]):
            shift, most = places[number]
            channels[top : top + _BAND, :, number] = (band >> np.uint64(shift) & np.uint64(most)) * 255 // max(most, 1)
    return Image.fromarray(channels if channels[..., 3:].any() else np.ascontiguousarray(channels[..., :3]))


def _profile(content: bytes, size: int) -> bytes | None:
    """The ICC profile that a header of version 5 places behind the pixels."""
    if size < 124 or struct.unpack_from("<I", content, _FILE_HEAD + 56) != (_EMBEDDED,):
        return None
    start, length = struct.unpack_from("<II", content, _FILE_HEAD + 112)
    return content[_FILE_HEAD + start : _FILE_HEAD + start + length] if 0 < length <= MAX_PROFILE_BYTES else None


def _damaged(what: str) -> TruncatedImageError:
    return TruncatedImageError(f"the BMP image is truncated or damaged: it has {what}; send the whole file")
