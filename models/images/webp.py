"""WebP decoding: chunks of a RIFF container, and the first frame by Pillow."""

import io
import struct
from typing import Final

from PIL import Image

from clpips.models.images.bounds import MAX_CHUNKS, MAX_PIXEL_CHUNKS, MAX_PROFILE_BYTES
from clpips.models.images.errors import TruncatedImageError, require_at_most
from clpips.models.images.orientation import orientation_of
from clpips.models.images.outline import Outline

_HEAD: Final = 12  # bytes of "RIFF", a length, "WEBP"
_ANIMATED: Final = 0x02  # flags of the extended header
_ALPHA: Final = 0x10
_METADATA: Final = {b"ICCP": 0x20, b"EXIF": 0x08, b"XMP ": 0x04}  # flags of those that count, by their chunks


def read_webp(content: bytes) -> Outline:
    """The file's outline. Raises `TruncatedImageError` or `TooCostlyError`."""
    metadata: dict[bytes, bytes] = {}
    size: tuple[int, int] | None = None
    flags_at: int | None = None
    frames = others = 0
    place = _HEAD
    end = min(len(content), 8 + int.from_bytes(content[4:8], "little"))  # what lies behind is not the image's
    while place + 8 <= end:
        kind, length = struct.unpack_from("<4sI", content, place)
        body = memoryview(content)[place + 8 : place + 8 + length]
        frames, others = (frames + 1, others) if kind == b"ANMF" else (frames, others + 1)
        require_at_most(MAX_PIXEL_CHUNKS, frames, "frames")
        require_at_most(MAX_CHUNKS, others, "chunks beside its frames")
        if size is None:
            size = _size(kind, bytes(body[:10]))
            flags_at = place + 8 if kind == b"VP8X" else None
        elif flags_at is not None and content[flags_at] & _METADATA.get(kind, 0):
            metadata.setdefault(kind, bytes(body))
        place += 8 + length + length % 2
    if size is None:
        raise TruncatedImageError("the WebP image is truncated or damaged: it has no header; send the whole file")
    profile = metadata.get(b"ICCP")
    return Outline(
        *size,
        lambda: _by_pillow(content, flags_at),
        orientation_of(metadata.get(b"EXIF"), metadata.get(b"XMP ")),
        profile if profile and len(profile) <= MAX_PROFILE_BYTES else None,
    )


def _size(kind: bytes, head: bytes) -> tuple[int, int] | None:
    """Width and height, from the first chunk; None where it is none that begins an image, or cut short."""
    if kind == b"VP8X" and len(head) == 10:
        return int.from_bytes(head[4:7], "little") + 1, int.from_bytes(head[7:10], "little") + 1
    if kind == b"VP8L" and len(head) >= 5 and head[0] == 0x2F:
        bits = int.from_bytes(head[1:5], "little")
        return (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    if kind == b"VP8 " and len(head) == 10 and head[3:6] == b"\x9d\x01\x2a":
        width, height = struct.unpack_from("<HH", head, 6)
        return width & 0x3FFF, height & 0x3FFF
    return None


def _by_pillow(content: bytes, flags_at: int | None) -> Image.Image:
    if flags_at is not None and content[flags_at] & _ANIMATED:
        # What the first frame does not cover is transparent, also where the file says that it needs no alpha.
        flags = bytes([content[flags_at] | _ALPHA])
        content = content[:flags_at] + flags + content[flags_at + 1 :]
    image = Image.open(io.BytesIO(content), formats=("WEBP",))
    image.load()
    return image
