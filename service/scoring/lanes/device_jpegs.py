"""JPEGs that a lane's device decodes: what goes there as bytes, and what comes of it."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from clpips.models.engines.contract import Image, JpegDecoder
from clpips.models.images.jpeg import plain_jpeg_size


class Undecoded(NamedTuple):
    """An image as it was sent."""

    content: bytes
    resolution: int | None
    max_pixels: int
    wanted: Callable[[], bool]  # whether somebody still waits for it
    longest: int | None = None  # side of its thumbnail, where one is to be made


class Decoded(NamedTuple):
    """An image's pixels."""

    pixels: Image
    original: tuple[int, int]  # height and width of the picture in its file
    lane: Any = None  # the `Lane` on whose device they lie; None in main memory
    thumbnail: bytes | None = None  # a WebP file, where one was asked for and the host has decoded the image


def decoded_on_device(jpegs: JpegDecoder, images: Sequence[Undecoded]) -> list[Decoded | None]:
    """What the device decodes of files for one resolution; None for those that the host must decode."""
    found = jpegs.decode([one.content for one in images], images[0].resolution, images[0].max_pixels)
    sizes = [plain_jpeg_size(one.content) for one in images]  # those of plain files, which are upright
    return [
        None if pixels is None or size is None else Decoded(pixels, (size[1], size[0]))
        for pixels, size in zip(found, sizes, strict=True)
    ]
