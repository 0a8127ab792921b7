"""What a mask's file may hold: a grey image, or a `.npy` array uint8 `(H, W)`; all else is refused, not guessed at."""

from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clpips.models.images.errors import (
    EmptyImageError,
    PixelTypeError,
    TooManyPixelsError,
    TooSmallError,
    TruncatedImageError,
)
from clpips.models.images.flattening import flatten
from clpips.models.images.formats import PNG
from clpips.models.images.npy import Header, read_header
from clpips.models.images.orientation import upright
from clpips.models.images.pixels import MAX_PIXELS, Pixels
from clpips.models.metric.masks import MaskError

_BIT_DEPTH: Final = 24  # where a PNG has it
_EXPECTED: Final = "send a grey image of 8 bits, or a .npy file of uint8 (H, W), with 255 where the target counts"


def require_mask_file(content: bytes) -> None:
    """Raise an `ImageError` for no bytes at all, and for a PNG of 16 bits, of which decoding would keep 8."""
    if not content:
        raise EmptyImageError(f"the mask is empty (0 bytes): {_EXPECTED}")
    if content.startswith(PNG) and content[_BIT_DEPTH : _BIT_DEPTH + 1] == b"\x10":
        raise PixelTypeError(f"the mask is a PNG of 16 bits: {_EXPECTED}")


def array_values(content: bytes, header: Header) -> NDArray[np.uint8]:
    """The values behind `header` (`read_mask_header`), uint8 `(h, w)`: a view of `content`, not a copy."""
    values = np.frombuffer(content, np.uint8, offset=header.size)
    return values.reshape(header.shape, order="F" if header.fortran_order else "C")


def grey_values(stored: Image.Image | Pixels, orientation: int) -> NDArray[np.uint8]:
    """The values of an image as it is stored, uint8 `(h, w)`, upright; a colour profile says nothing of them.

    Raises `PixelTypeError` for more than 8 bits, transparency and colours.
    """
    if not isinstance(stored, Image.Image):
        stored = Image.fromarray(stored)
    if stored.mode.startswith(("I", "F")):
        raise PixelTypeError(f"the mask has more than 8 bits a pixel ({stored.mode}): {_EXPECTED}")
    if stored.has_transparency_data:
        raise PixelTypeError(f"the mask has transparency, which may mean one thing or its reverse: {_EXPECTED}")
    pixels = np.asarray(upright(flatten(stored), orientation))  # (h, w, 3)
    if (pixels != pixels[..., :1]).any():
        raise PixelTypeError(f"the mask has colours, and a mask has one value a pixel: {_EXPECTED}")
    return np.ascontiguousarray(pixels[..., 0])


def require_mask_size(size: tuple[int, ...], expected: tuple[int, int]) -> None:
    """Raise `MaskError` for a mask whose height and width are not its target's."""
    if size != expected:
        (height, width), (own_height, own_width) = expected, size
        raise MaskError(
            f"the mask is {own_width}×{own_height} pixels and its target {width}×{height}: send one as large"
        )


def read_mask_header(content: bytes, max_pixels: int = MAX_PIXELS) -> Header:
    """The header of a `.npy` file of a mask, which has as many bytes as it says. Raises a subclass of `ImageError`."""
    try:
        header = read_header(content)
    except ValueError as error:
        raise TruncatedImageError("the mask's .npy header is truncated or damaged; write it with numpy.save") from error
    if header.dtype != np.uint8 or len(header.shape) != 2:
        kind = "records" if header.dtype is None else header.dtype
        raise PixelTypeError(f"the mask is a .npy array of {kind} {header.shape}: {_EXPECTED}")
    count = header.shape[0] * header.shape[1]
    if count > max_pixels:
        raise TooManyPixelsError(f"the mask has {count:,} pixels, the limit is {max_pixels:,}")
    if not count:
        raise TooSmallError(f"the mask is {header.shape[1]}×{header.shape[0]} pixels: it has none")
    if len(content) - header.size != count:
        raise TruncatedImageError(f"the mask's .npy array needs {count:,} bytes, {len(content) - header.size:,} came")
    return header
