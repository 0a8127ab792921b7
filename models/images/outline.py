"""The outline of a file: what its head says of the image, before a pixel is decoded, and how to decode it."""

from collections.abc import Callable
from dataclasses import dataclass

from PIL import Image

from clpips.models.images.pixels import Pixels


@dataclass(frozen=True, slots=True)
class Outline:
    """What the head of a file says. `open` decodes the pixels as they are stored; it raises `ImageError` or whatever a
    decoder raises, which then means that the file is damaged."""

    width: int  # as stored, before the orientation is applied
    height: int
    open: Callable[[], Image.Image | Pixels]  # an array is RGB
    orientation: int = 1
    profile: bytes | None = None  # an ICC profile
    light: bool = False  # what decoding costs at worst follows from the head, and is little: it need not be ended
