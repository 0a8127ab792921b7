"""Files of masks: a grey image, or a `.npy` array uint8 `(H, W)`; anything else is refused and not guessed at."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from clpips.models.images.decoding import EncodedImage
from clpips.models.images.errors import PixelTypeError, TooManyPixelsError, TruncatedImageError
from clpips.models.images.formats import NPY, PNG
from clpips.models.images.npy import read_header
from clpips.models.images.pixels import MAX_PIXELS, Pixels
from clpips.models.metric.masks import Mask, MaskError, region

_BIT_DEPTH: Final = 24  # where a PNG has it
_EXPECTED: Final = "send a grey image of 8 bits, or a .npy file of uint8 (H, W), with 255 where the target counts"


def load_mask(content: bytes, size: tuple[int, int] | None = None, max_pixels: int = MAX_PIXELS) -> Mask | None:
    """The mask in a file, None where all of it is 255. `size` is the target's, height and width, where it is known.

    Raises a subclass of `ImageError` for a file that holds none, `MaskError` for one of another size or of 0 alone.
    """
    if content.startswith(NPY):
        return check_mask(_of_npy(content, max_pixels), size)
    require_mask_file(content)
    return grey_mask(EncodedImage(content, max_pixels).decode(), size)


def require_mask_file(content: bytes) -> None:
    """Raise `PixelTypeError` for a PNG of 16 bits, of which decoding would keep 8."""
    if content.startswith(PNG) and content[_BIT_DEPTH : _BIT_DEPTH + 1] == b"\x10":
        raise PixelTypeError(f"the mask is a PNG of 16 bits: {_EXPECTED}")


def grey_mask(pixels: Pixels, size: tuple[int, int] | None) -> Mask | None:
    """The mask in pixels `(h, w, 3)`. Raises `PixelTypeError` for colours, and as `check_mask` does."""
    if (pixels != pixels[..., :1]).any():
        raise PixelTypeError(f"the mask has colours, and a mask has one value a pixel: {_EXPECTED}")
    return check_mask(np.ascontiguousarray(pixels[..., 0]), size)


def check_mask(values: NDArray[np.uint8], size: tuple[int, int] | None) -> Mask | None:
    """The mask in values uint8 `(h, w)`. Raises `MaskError` for another size than `size`, or 0 everywhere."""
    if size is not None and values.shape != size:
        (height, width), (own_height, own_width) = size, values.shape
        raise MaskError(
            f"the mask is {own_width}×{own_height} pixels and its target {width}×{height}: send one as large"
        )
    return region(values)


def _of_npy(content: bytes, max_pixels: int) -> NDArray[np.uint8]:
    try:
        header = read_header(content)
    except ValueError as error:
        raise TruncatedImageError("the mask's .npy header is truncated or damaged; write it with numpy.save") from error
    if header.dtype != np.uint8 or len(header.shape) != 2:
        raise PixelTypeError(f"the mask is a .npy array of {header.dtype} {header.shape}: {_EXPECTED}")
    count = header.shape[0] * header.shape[1]
    if count > max_pixels:
        raise TooManyPixelsError(f"the mask has {count:,} pixels, the limit is {max_pixels:,}")
    if not count or len(content) - header.size != count:
        raise TruncatedImageError(f"the mask's .npy array needs {count:,} bytes, {len(content) - header.size:,} came")
    values = np.frombuffer(content, np.uint8, offset=header.size)
    return values.reshape(header.shape, order="F" if header.fortran_order else "C")
