"""Image decoding: the bytes of a file → 8-bit sRGB pixels → the scoring resolution.

A file is looked at before it is decoded: what its head says of pixels, and of what it costs to get at them, is held
against bounds. Each format has a module that reads its head and opens its pixels; orientation, colour profiles, alpha
and colour modes are dealt with here, for all formats alike. Whatever cannot be scored is refused by name.
"""

import struct
import zlib
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from clpips.models.images.avif import read_avif
from clpips.models.images.bmp import read_bmp
from clpips.models.images.bounds import MAX_SIDE
from clpips.models.images.errors import (
    EmptyImageError,
    ImageError,
    TooManyPixelsError,
    TooSmallError,
    TruncatedImageError,
    UnknownFormatError,
)
from clpips.models.images.flattening import flatten
from clpips.models.images.formats import NPY, PNG, format_of, name_of_other
from clpips.models.images.gif import open_gif, read_gif
from clpips.models.images.jpeg_decoding import open_jpeg
from clpips.models.images.jpeg_segments import read_jpeg
from clpips.models.images.masks import array_values, grey_values, read_mask_header, require_mask_file
from clpips.models.images.npy import read_pixel_header, read_pixels
from clpips.models.images.orientation import SIDEWAYS, orientation_of, upright
from clpips.models.images.outline import Outline
from clpips.models.images.pixels import MAX_PIXELS, DecodedImage, Pixels
from clpips.models.images.png import is_plain, open_plain_png, open_png
from clpips.models.images.png_chunks import read_png
from clpips.models.images.resize import require_native_size, require_resolution, resize, shrink
from clpips.models.images.tiff import outline_tiff
from clpips.models.images.webp import read_webp

LIGHT_PIXELS: Final = 2**22  # of a PNG that costs little: some 30 ms
LIGHT_BYTES: Final = 2**24
_OF_DECODERS: Final = (  # what Pillow, its libraries and numpy raise for files that are damaged
    OSError,
    SyntaxError,
    ValueError,
    TypeError,
    LookupError,
    ArithmeticError,
    EOFError,
    RuntimeError,
    struct.error,
    zlib.error,
)
_SENDABLE: Final = "PNG, JPEG, WebP, AVIF, BMP, TIFF, GIF or a uint8 .npy array"


class EncodedImage:
    """An image file of which the head has been read: its size is known and within bounds, no pixel is decoded yet."""

    def __init__(self, content: bytes, max_pixels: int = MAX_PIXELS) -> None:
        """Raises a subclass of `ImageError`."""
        if not content:
            raise EmptyImageError("the image is empty (0 bytes); send the bytes of an image file")
        self._content = content
        self._format = _format(content)
        self._outline = _OUTLINES[self._format](content)
        self.width, self.height = self._outline.width, self._outline.height  # as stored
        self.orientation = self._outline.orientation
        _check_size(self.width, self.height, max_pixels)

    @property
    def light(self) -> bool:
        """Whether decoding costs little at worst, and needs no decoder that a file may crash: see `begins_light`."""
        return self._outline.light

    @property
    def size(self) -> tuple[int, int]:
        """Height and width in pixels, upright: the size of the picture that people see."""
        return (self.width, self.height) if self.orientation in SIDEWAYS else (self.height, self.width)

    def load(self, resolution: int | None) -> Pixels:
        """The pixels as `load_image` has them."""
        return self.load_with_thumbnail(resolution, None).pixels

    def load_with_thumbnail(self, resolution: int | None, longest: int | None) -> DecodedImage:
        """The pixels as `load_image` has them, and from the same decoding, where `longest` is given, `thumbnail`'s.

        Raises a subclass of `ImageError`.
        """
        if resolution is not None:
            require_resolution(resolution)
        whole = self._upright()
        pixels = np.asarray(whole) if resolution is None else resize(whole, resolution)
        if resolution is None:
            require_native_size(pixels)
        return DecodedImage(pixels, self.size, None if longest is None else shrink(whole, longest))

    def thumbnail(self, longest: int) -> Pixels:
        """The pixels upright, uint8 RGB `(h, w, 3)`, shrunk so that no side is longer than `longest`.

        Raises a subclass of `ImageError`.
        """
        return shrink(self._upright(), longest)

    def decode(self) -> Pixels:
        """The pixels as `decode` has them."""
        return np.asarray(self._upright())

    def stored(self) -> Image.Image | Pixels:
        """The pixels as they are stored: an array is RGB `(h, w, 3)`. Raises a subclass of `ImageError`."""
        try:
            return self._outline.open()
        except ImageError:
            raise
        except _OF_DECODERS as error:
            raise TruncatedImageError(
                f"the {self._format} image is truncated or damaged ({len(self._content):,} bytes came); send the whole "
                "file"
            ) from error

    def _upright(self) -> Image.Image | Pixels:
        """The pixels upright in sRGB: mode RGB, or an array `(h, w, 3)` where decoding gives one."""
        outline, stored = self._outline, self.stored()
        if not isinstance(stored, Image.Image):
            if outline.orientation == 1 and outline.profile is None:
                return stored
            stored = Image.fromarray(stored)
        return upright(flatten(stored, outline.profile), outline.orientation)


def begins_light(content: bytes) -> bool:
    """Whether the first bytes are of a file that is likely `light`: a `.npy` file, or an 8-bit RGB PNG of usual size.

    They tell at once, and wrongly for a PNG in which something is odd.
    """
    if content.startswith(PNG) and len(content) <= LIGHT_BYTES:
        return (
            content[24:26] == b"\x08\x02"
            and int.from_bytes(content[16:20], "big") * int.from_bytes(content[20:24], "big") <= LIGHT_PIXELS
        )
    return content.startswith(NPY)


def load_image(content: bytes, resolution: int | None, max_pixels: int = MAX_PIXELS) -> Pixels:
    """Decode an image file and bring it to the scoring resolution.

    Returns uint8 RGB `(resolution, resolution, 3)`, or `(height, width, 3)` as stored for `resolution=None` (native
    size). Raises a subclass of `ImageError` for anything that cannot be scored.

    >>> import io
    >>> file = io.BytesIO()
    >>> Image.new("L", (640, 480)).save(file, "PNG")
    >>> load_image(file.getvalue(), 256).shape
    (256, 256, 3)
    """
    return EncodedImage(content, max_pixels).load(resolution)


def decode(content: bytes, max_pixels: int = MAX_PIXELS) -> Pixels:
    """Decode PNG, JPEG, WebP, AVIF, BMP, TIFF, GIF (first frame) or `.npy` bytes to uint8 RGB `(height, width, 3)`.

    The orientation is applied, a colour profile is converted to sRGB, and alpha is composited on white; of 16-bit
    samples the high byte is kept; grey, palette and CMYK become RGB. Raises a subclass of `ImageError`.
    """
    return EncodedImage(content, max_pixels).decode()


def image_size(content: bytes, max_pixels: int = MAX_PIXELS) -> tuple[int, int]:
    """Width and height in pixels, as stored, read from the header alone. Raises a subclass of `ImageError`.

    >>> import io
    >>> file = io.BytesIO()
    >>> Image.new("L", (640, 480)).save(file, "GIF")
    >>> image_size(file.getvalue())
    (640, 480)
    """
    image = EncodedImage(content, max_pixels)
    return image.width, image.height


def decode_mask(content: bytes, max_pixels: int = MAX_PIXELS) -> NDArray[np.uint8]:
    """Decode a mask's file, a grey image of these formats or a `.npy` array, to uint8 `(height, width)`, upright.

    Raises a subclass of `ImageError`, for colours, transparency and more than 8 bits too.
    """
    require_mask_file(content)
    if content.startswith(NPY):
        return array_values(content, read_mask_header(content, max_pixels))
    image = EncodedImage(content, max_pixels)
    return grey_values(image.stored(), image.orientation)


def mask_pixels(content: bytes, max_pixels: int = MAX_PIXELS) -> int:
    """How many pixels a mask's file has, by its head alone. Raises a subclass of `ImageError`."""
    require_mask_file(content)
    if content.startswith(NPY):
        height, width = read_mask_header(content, max_pixels).shape
    else:
        width, height = image_size(content, max_pixels)
    return height * width


def _format(content: bytes) -> str:
    """The format of the file, a key of `_OUTLINES`. Raises `UnknownFormatError` that says what it is instead."""
    if content.startswith(NPY):
        return ".npy"
    name = format_of(content)
    if name is None:
        other, _, instead = (name_of_other(content) or "").partition("; ")
        what = f"this is {other}, and" if other else "these bytes are"
        send = f": {instead}, as" if instead else "; send"
        raise UnknownFormatError(f"{what} no image in a format that is read{send} {_SENDABLE}")
    return name


def _png(content: bytes) -> Outline:
    png = read_png(content)

    def pixels() -> Image.Image | Pixels:
        plain = open_plain_png(content, png)
        return open_png(content, png) if plain is None else plain

    light = is_plain(png) and png.profile is None and begins_light(content)
    return Outline(png.width, png.height, pixels, orientation_of(png.exif, png.xmp), png.profile, light)


def _jpeg(content: bytes) -> Outline:
    jpeg = read_jpeg(content)
    orientation = orientation_of(jpeg.exif, jpeg.xmp)
    return Outline(jpeg.width, jpeg.height, lambda: open_jpeg(jpeg), orientation, jpeg.profile)


def _npy(content: bytes) -> Outline:
    header = read_pixel_header(content)
    height, width, _ = header.shape
    return Outline(width, height, lambda: read_pixels(content, header), light=True)


def _gif(content: bytes) -> Outline:
    gif = read_gif(content)
    return Outline(gif.width, gif.height, lambda: open_gif(gif))


_OUTLINES: Final = {
    "PNG": _png,
    "JPEG": _jpeg,
    "WEBP": read_webp,
    "AVIF": read_avif,
    "BMP": read_bmp,
    "TIFF": outline_tiff,
    "GIF": _gif,
    ".npy": _npy,
}


def _check_size(width: int, height: int, max_pixels: int) -> None:
    if width * height > max_pixels:
        raise TooManyPixelsError(
            f"the image has {width}×{height} = {width * height:,} pixels, the limit is {max_pixels:,}; "
            "send a smaller one"
        )
    if width * height == 0:
        raise TooSmallError(f"the image is {width}×{height} pixels: it has none; send one with pixels")
    if max(width, height) > MAX_SIDE:
        raise TooManyPixelsError(
            f"the image is {width}×{height} pixels, the limit of a side is {MAX_SIDE:,}; send a smaller part of it"
        )
