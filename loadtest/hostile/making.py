"""Files made by hand, where libraries write none like them: chunks, segments and directories of tags."""

import struct
import zlib
from collections.abc import Sequence

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"


def chunk(kind: bytes, content: bytes = b"") -> bytes:
    """A chunk of a PNG, with its checksum."""
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def png(
    width: int,
    height: int,
    rows: bytes,
    *,
    depth: int = 8,
    colour: int = 2,
    before: bytes = b"",
) -> bytes:
    """A PNG of filtered rows; `before` are chunks that stand before the pixels."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return PNG_SIGNATURE + chunk(b"IHDR", header) + before + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND")


def segment(marker: int, content: bytes) -> bytes:
    """A segment of a JPEG."""
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


Tag = tuple[int, int, int, bytes]  # number, type, count, the packed values


def tiff(tags: Sequence[Tag], tail: bytes = b"", *, order: str = "<") -> bytes:
    """A TIFF of one directory behind 8 bytes of head and `tail`, which begins at byte 8."""
    directory = 8 + len(tail) + len(tail) % 2
    values = directory + 2 + 12 * len(tags) + 4
    entries, outside = b"", b""
    for number, kind, count, packed in sorted(tags):
        field = packed.ljust(4, b"\0")
        if len(packed) > 4:
            field = struct.pack(order + "I", values + len(outside))
            outside += packed + b"\0" * (len(packed) % 2)
        entries += struct.pack(order + "HHI", number, kind, count) + field
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, directory)
    return head + tail + b"\0" * (len(tail) % 2) + struct.pack(order + "H", len(tags)) + entries + b"\0\0\0\0" + outside
