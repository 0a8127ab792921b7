"""Image decoding: the bytes of a file → 8-bit RGB pixels → the scoring resolution.

Pixels are what Pillow gives. Whatever cannot be scored is refused by name, and before its pixels are decoded where
the header already tells. EXIF orientation, alpha and colour modes are dealt with here.
"""

import io
from typing import Final

import numpy as np
from PIL import Image, ImageOps

from clpips.models.images.errors import (
    EmptyImageError,
    PixelTypeError,
    TooManyPixelsError,
    TooSmallError,
    TruncatedImageError,
    UnknownFormatError,
)
from clpips.models.images.formats import FORMATS, NPY, format_of
from clpips.models.images.npy import read_pixel_header, read_pixels
from clpips.models.images.pixels import MAX_PIXELS, Pixels
from clpips.models.images.png import decode_plain_png, plain_png_size
from clpips.models.images.resize import require_native_size, resize

_SENDABLE: Final = "PNG, JPEG, WebP, AVIF, BMP, TIFF, GIF or a uint8 .npy array"
_COLOUR_MODES: Final = {"1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "HSV"}
_ALPHA_MODES: Final = {"LA", "La", "PA", "RGBA", "RGBa"}


def load_image(content: bytes, resolution: int | None, max_pixels: int = MAX_PIXELS) -> Pixels:
    """Decode an image file and bring it to the scoring resolution.

    Returns uint8 RGB `(resolution, resolution, 3)`, or `(height, width, 3)` as stored for `resolution=None` (native
    size). Raises a subclass of `ImageError` for anything that cannot be scored.

    >>> file = io.BytesIO()
    >>> Image.new("L", (640, 480)).save(file, "PNG")
    >>> load_image(file.getvalue(), 256).shape
    (256, 256, 3)
    """
    pixels = decode(content, max_pixels)
    if resolution is not None:
        return resize(pixels, resolution)
    require_native_size(pixels)
    return pixels


def decode(content: bytes, max_pixels: int = MAX_PIXELS) -> Pixels:
    """Decode PNG, JPEG, WebP, AVIF, BMP, TIFF, GIF (first frame) or `.npy` bytes to uint8 RGB `(height, width, 3)`.

    EXIF orientation is applied; alpha is composited on white; of 16-bit samples the high byte is kept; grey, palette
    and CMYK become RGB as Pillow converts them. Raises a subclass of `ImageError`.
    """
    _require_bytes(content)
    if content.startswith(NPY):
        return _decode_npy(content, max_pixels)
    if size := plain_png_size(content):
        _check_size(*size, max_pixels)
        if (pixels := decode_plain_png(content)) is not None:
            return pixels
    with _open(content, max_pixels) as image:
        return np.asarray(_rgb(_decoded(image, content)))


def image_size(content: bytes, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Width and height in pixels, as stored, read from the header alone. Raises a subclass of `ImageError`.

    >>> file = io.BytesIO()
    >>> Image.new("L", (640, 480)).save(file, "GIF")
    >>> image_size(file.getvalue())
    (640, 480)
    """
    _require_bytes(content)
    if content.startswith(NPY):
        height, width, _ = _decode_npy(content, max_pixels).shape
        return width, height
    with _open(content, max_pixels) as image:
        return image.size


def _require_bytes(content: bytes) -> None:
    if not content:
        raise EmptyImageError("the image is empty (0 bytes); send the bytes of an image file")


def _decode_npy(content: bytes, max_pixels: int) -> Pixels:
    header = read_pixel_header(content)
    height, width, _ = header.shape
    _check_size(width, height, max_pixels)
    return read_pixels(content, header)


def _open(content: bytes, max_pixels: int) -> Image.Image:
    """Read the header alone: format and size are known, no pixel is decoded yet."""
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise TooManyPixelsError(f"the image has more than {max_pixels:,} pixels; send a smaller one") from error
    except MemoryError:
        raise
    except Exception as error:
        if known := format_of(content):
            raise TruncatedImageError(
                f"the image begins like {known} and is truncated or damaged; send the whole file"
            ) from error
        raise UnknownFormatError(f"these bytes are no image in a format that is read; send {_SENDABLE}") from error
    _check_size(*image.size, max_pixels)
    return image


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise TooManyPixelsError(
            f"the image has {width}×{height} = {width * height:,} pixels, the limit is {max_pixels:,}; "
            "send a smaller one"
        )
    if width * height == 0:
        raise TooSmallError(f"the image is {width}×{height} pixels: it has none; send one with pixels")


def _decoded(image: Image.Image, content: bytes) -> Image.Image:
    """The first frame's pixels, upright: EXIF orientation is applied here."""
    try:
        image.load()
    except MemoryError:
        raise
    except Exception as error:
        raise TruncatedImageError(
            f"the {image.format} image is truncated or damaged ({len(content):,} bytes came); send the whole file"
        ) from error
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # noqa: BLE001  a damaged EXIF block names no orientation; the pixels are sound
        return image


def _rgb(image: Image.Image) -> Image.Image:
    """Any mode as 8-bit RGB, alpha on white. Raises `PixelTypeError` for modes that need guessing."""
    if image.mode.startswith("I;16"):
        high_byte = (np.asarray(image) >> 8).astype(np.uint8)  # (h, w)
        return Image.fromarray(high_byte).convert("RGB")
    if image.mode in _ALPHA_MODES or (image.mode in _COLOUR_MODES and image.has_transparency_data):
        white = Image.new("RGBA", image.size, "white")
        return Image.alpha_composite(white, image.convert("RGBA")).convert("RGB")
    if image.mode in _COLOUR_MODES:
        return image if image.mode == "RGB" else image.convert("RGB")
    raise PixelTypeError(
        f"the {image.format} image holds {image.mode!r} pixels (floats, 32-bit integers or a colour space that is not "
        "converted here); save it as 8-bit or 16-bit RGB or grey"
    )
