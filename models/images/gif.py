"""GIF decoding: the first frame, on the screen that the file describes.

Pillow gets the first frame alone, without comments and other frames. What the frame does not cover is transparent, as
browsers show it, and not the first colour of the palette.
"""

import io
import struct
from dataclasses import dataclass
from typing import Final

from PIL import Image

from clpips.models.images.bounds import MAX_BLOCKS
from clpips.models.images.errors import TruncatedImageError, require_at_most

_HEAD: Final = 13  # bytes of signature and screen
_EXTENSION: Final = 0x21
_IMAGE: Final = 0x2C
_CONTROL: Final = 0xF9  # the extension that says which colour is transparent


@dataclass(frozen=True, slots=True)
class GifFile:
    """What a GIF says of its first frame: left, top, right and bottom in a screen that holds it."""

    width: int
    height: int
    frame: tuple[int, int, int, int]
    decodable: bytes  # a GIF of this frame alone


def read_gif(content: bytes) -> GifFile:
    """What the file says. Raises `TruncatedImageError` or `TooCostlyError`."""
    if len(content) < _HEAD:
        raise _damaged("no whole head")
    width, height, flags = struct.unpack_from("<HHB", content, 6)
    place = _HEAD + _palette_bytes(flags)
    head = content[:place]
    control = b""
    blocks = 0
    while place < len(content):
        kind = content[place]
        if kind == _EXTENSION:
            end, blocks = _end_of_blocks(content, place + 2, blocks)
            if content[place + 1 : place + 2] == bytes([_CONTROL]):
                control = content[place:end]
            place = end
        elif kind == _IMAGE and place + 10 <= len(content):
            left, top, frame_width, frame_height, flags = struct.unpack_from("<HHHHB", content, place + 1)
            data = place + 10 + _palette_bytes(flags)
            end, _ = _end_of_blocks(content, data + 1, blocks)
            right, bottom = left + frame_width, top + frame_height
            size = max(width, right), max(height, bottom)
            frame = (left, top, right, bottom)
            return GifFile(*size, frame, head + control + content[place:end] + b";")
        elif kind == 0:  # some writers leave one behind a block
            place += 1
        else:
            break
    raise _damaged("no frame")


def open_gif(gif: GifFile) -> Image.Image:
    """The first frame as Pillow's image, with alpha where it does not cover the screen. Raises what Pillow raises."""
    image = Image.open(io.BytesIO(gif.decodable), formats=("GIF",))
    image.load()
    if gif.frame == (0, 0, *image.size):
        return image
    screen = Image.new("RGBA", image.size)
    screen.paste(image.crop(gif.frame).convert("RGBA"), gif.frame)
    return screen


def _palette_bytes(flags: int) -> int:
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _end_of_blocks(content: bytes, place: int, blocks: int) -> tuple[int, int]:
    """The place behind a row of blocks, each after its length, and how many blocks there have been by then."""
    while place < len(content) and (length := content[place]):
        place += 1 + length
        blocks += 1
        require_at_most(MAX_BLOCKS, blocks, "blocks")
    return min(place + 1, len(content)), blocks


def _damaged(what: str) -> TruncatedImageError:
    return TruncatedImageError(f"the GIF image is truncated or damaged: it has {what}; send the whole file")
