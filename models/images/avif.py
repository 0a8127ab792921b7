"""AVIF decoding by libavif, in Pillow's wrapper below `PIL.AvifImagePlugin`.

The plugin writes EXIF tags back as it opens a file, and fails where one of them cannot be written. In AVIF the
container's own rotation and mirroring count, and EXIF does not, so nothing is lost without it.
"""

from typing import Any

from PIL import Image

from clpips.models.images.bounds import MAX_PROFILE_BYTES
from clpips.models.images.errors import TruncatedImageError, UnknownFormatError
from clpips.models.images.outline import Outline


def read_avif(content: bytes) -> Outline:
    """The file's outline. Raises `TruncatedImageError`, and `UnknownFormatError` where Pillow is built without AVIF."""
    try:
        from PIL import _avif
    except ImportError as error:
        raise UnknownFormatError(
            "the image is AVIF, and the installed Pillow reads none; install a wheel of Pillow 12 or newer, or send PNG"
        ) from error
    try:
        decoder: Any = _avif.AvifDecoder(content, "auto", 1)
        (width, height), _, mode, profile, _, orientation, _ = decoder.get_info()
    except MemoryError:
        raise
    except Exception as error:
        raise TruncatedImageError("the AVIF image is truncated or damaged; send the whole file") from error

    def frame() -> Image.Image:
        pixels: bytes = decoder.get_frame(0)[0]
        return Image.frombytes(mode, (width, height), pixels)

    usable = profile if profile and len(profile) <= MAX_PROFILE_BYTES else None
    return Outline(width, height, frame, orientation, usable)
