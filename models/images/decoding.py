"""Bytes → 8-bit RGB pixels → the scoring resolution. The only place that decodes or resizes.

Pixels are what Pillow gives. Whatever cannot be scored is refused by name, and before its pixels are decoded where
the header already tells.
"""

import io
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from clpips.models.images import npy
from clpips.models.images.png import decode_plain, plain_size
from clpips.models.metric.backbone import MIN_SIDE

Pixels = NDArray[np.uint8]  # (height, width, 3), RGB

MAX_PIXELS: Final = 64 * 1024 * 1024  # per image: 8192 × 8192
PILLOW_MAX_PIXELS: Final = 89_478_485  # Pillow's own guard; a limit above it would have no effect

_SIGNATURES: Final = {  # format: (offset, first bytes) of its files
    "PNG": ((0, b"\x89PNG\r\n\x1a\n"),),
    "JPEG": ((0, b"\xff\xd8\xff"),),
    "WEBP": ((8, b"WEBP"),),
    "AVIF": ((4, b"ftypavif"), (4, b"ftypavis"), (4, b"ftypmif1")),
    "BMP": ((0, b"BM"),),
    "TIFF": ((0, b"II*\x00"), (0, b"MM\x00*"), (0, b"II+\x00"), (0, b"MM\x00+")),
    "GIF": ((0, b"GIF87a"), (0, b"GIF89a")),
}
FORMATS: Final = tuple(_SIGNATURES)
_SENDABLE: Final = "PNG, JPEG, WebP, AVIF, BMP, TIFF, GIF or a uint8 .npy array"
_COLOUR_MODES: Final = {"1", "L", "P", "RGB", "RGBX", "CMYK", "YCbCr", "HSV"}
_ALPHA_MODES: Final = {"LA", "La", "PA", "RGBA", "RGBa"}


class ImageError(ValueError):
    """An image that cannot be scored. The message says why, and what to send instead."""


class EmptyImageError(ImageError):
    """No bytes at all."""


class UnknownFormatError(ImageError):
    """None of the formats that are read."""


class TruncatedImageError(ImageError):
    """It begins like an image of a known format; what should follow is missing or damaged."""


class TooManyPixelsError(ImageError):
    """A decompression bomb, or an image larger than is taken here."""


class TooSmallError(ImageError):
    """A side too short for AlexNet's five stages."""


class PixelTypeError(ImageError):
    """Pixels that are not 8-bit RGB and do not become it without guessing: floats, 32-bit integers, other layouts."""


def load_image(content: bytes, resolution: int | None, max_pixels: int = MAX_PIXELS) -> Pixels:
    """Decode an image file and bring it to the scoring resolution.

    Returns uint8 RGB `(resolution, resolution, 3)`, or `(height, width, 3)` as stored for `resolution=None` (native
    size). Raises a subclass of `ImageError` for anything that cannot be scored.
    """
    pixels = decode(content, max_pixels)
    return native(pixels) if resolution is None else resize(pixels, resolution)


def decode(content: bytes, max_pixels: int = MAX_PIXELS) -> Pixels:
    """Decode PNG, JPEG, WebP, AVIF, BMP, TIFF, GIF (first frame) or `.npy` bytes to uint8 RGB `(height, width, 3)`.

    EXIF orientation is applied; alpha is composited on white; of 16-bit samples the high byte is kept; grey, palette
    and CMYK become RGB as Pillow converts them. Raises a subclass of `ImageError`.
    """
    if not content:
        raise EmptyImageError("the image is empty (0 bytes); send the bytes of an image file")
    if content.startswith(npy.MAGIC):
        return _decode_npy(content, max_pixels)
    if size := plain_size(content):
        _check_size(*size, max_pixels)
        if (pixels := decode_plain(content)) is not None:
            return pixels
    with _open(content, max_pixels) as image:
        return np.asarray(_rgb(_decoded(image, content)))


def measure(content: bytes, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Width and height in pixels, as stored, read from the header alone. Raises a subclass of `ImageError`."""
    if not content:
        raise EmptyImageError("the image is empty (0 bytes); send the bytes of an image file")
    if content.startswith(npy.MAGIC):
        height, width, _ = _decode_npy(content, max_pixels).shape
        return width, height
    with _open(content, max_pixels) as image:
        return image.size


def resize(pixels: Pixels, resolution: int) -> Pixels:
    """Resize uint8 RGB `(h, w, 3)` to `(resolution, resolution, 3)`: bicubic with antialiasing, as Pillow does it.

    Raises `TooSmallError` for a resolution below `MIN_SIDE`.
    """
    if resolution < MIN_SIDE:
        raise TooSmallError(f"a resolution of {resolution} is too small for AlexNet's five stages: {MIN_SIDE} or more")
    if pixels.shape[:2] == (resolution, resolution):
        return pixels
    return np.asarray(Image.fromarray(pixels).resize((resolution, resolution), Image.Resampling.BICUBIC))


def native(pixels: Pixels) -> Pixels:
    """`pixels` as they are. Raises `TooSmallError` where a side is too short to be scored at native size."""
    height, width = pixels.shape[:2]
    if min(height, width) < MIN_SIDE:
        raise TooSmallError(
            f"the image is {width}×{height} pixels; at native size both sides need {MIN_SIDE} or more for AlexNet's "
            "five stages: send a larger image, or name a resolution"
        )
    return pixels


def _open(content: bytes, max_pixels: int) -> Image.Image:
    """Read the header alone: format and size are known, no pixel is decoded yet."""
    try:
        image = Image.open(io.BytesIO(content), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise TooManyPixelsError(f"the image has more than {max_pixels:,} pixels; send a smaller one") from error
    except MemoryError:
        raise
    except Exception as error:
        if known := _format_by_signature(content):
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


def _format_by_signature(content: bytes) -> str | None:
    for name, signatures in _SIGNATURES.items():
        if any(content.startswith(signature, offset) for offset, signature in signatures):
            return name
    return None


def _decoded(image: Image.Image, content: bytes) -> Image.Image:
    """The first frame's pixels, upright."""
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
    if image.mode.startswith("I;16"):
        high_byte = (np.asarray(image) >> 8).astype(np.uint8)
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


def _decode_npy(content: bytes, max_pixels: int) -> Pixels:
    try:
        header = npy.read_header(content)
    except ValueError as error:
        raise TruncatedImageError(
            "the .npy header is truncated, damaged or of a version after 2.0; write it with numpy.save"
        ) from error
    shape, dtype = header.shape, header.dtype
    if dtype is None:
        raise PixelTypeError("the .npy array holds records with named fields; send uint8 (H, W, 3)")
    if dtype.hasobject:
        raise PixelTypeError("the .npy array holds pickled Python objects, which are never read; send uint8 (H, W, 3)")
    if dtype != np.uint8:
        raise PixelTypeError(
            f"the .npy array is {dtype}, expected uint8: for floats in [0, 1] send (x * 255).round().astype('uint8')"
        )
    if len(shape) != 3 or shape[2] != 3:
        hint = ": that is (3, H, W), send x.transpose(1, 2, 0)" if len(shape) == 3 and shape[0] == 3 else ""
        raise PixelTypeError(f"the .npy array has the shape {shape}, expected (H, W, 3){hint}")
    height, width, _ = shape
    _check_size(width, height, max_pixels)
    expected, came = height * width * 3, len(content) - header.size
    if came != expected:
        raise TruncatedImageError(f"the .npy array of shape {shape} needs {expected:,} bytes of pixels, {came:,} came")
    pixels = np.frombuffer(content, np.uint8, offset=header.size)
    return pixels.reshape(shape, order="F" if header.fortran_order else "C")
