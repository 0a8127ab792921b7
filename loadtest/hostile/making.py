"""Files made by hand: those that cost far more than they look, and the parts that formats are made of."""

import io
import struct
import zlib
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
Tag = tuple[int, int, Sequence[int] | bytes]  # number, type, values


def picture(side: int, seed: int = 0) -> Image.Image:
    """Colours that change smoothly, with some noise."""
    rng = np.random.default_rng(seed)
    coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), np.uint8)).resize((side, side), Image.Resampling.BICUBIC)
    noise = rng.integers(-8, 9, (side, side, 3))
    return Image.fromarray(np.clip(np.asarray(coarse) + noise, 0, 255).astype(np.uint8))


def encode(image: Image.Image, name: str, **options: Any) -> bytes:
    """The image as a file of a format."""
    stream = io.BytesIO()
    image.save(stream, name, **options)
    return stream.getvalue()


def chunk(kind: bytes, body: bytes = b"") -> bytes:
    """A chunk of a PNG, with its checksum."""
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def png(width: int, height: int, rows: bytes, depth: int = 8, colour: int = 2, before: bytes = b"") -> bytes:
    """A PNG of filtered rows; `before` are chunks that stand before the pixels."""
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    return PNG_SIGNATURE + chunk(b"IHDR", header) + before + chunk(b"IDAT", zlib.compress(rows, 9)) + chunk(b"IEND")


def segment(marker: int, body: bytes) -> bytes:
    """A segment of a JPEG."""
    return bytes([0xFF, marker]) + struct.pack(">H", len(body) + 2) + body


def tiff(tags: Sequence[Tag], data: bytes = b"", *, order: str = "<", big: bool = False) -> bytes:
    """A TIFF of one directory behind its data, which begin at byte 8 (16 in a BigTIFF)."""
    inline, form = (8, "Q") if big else (4, "I")
    head = (b"II" if order == "<" else b"MM") + (
        struct.pack(order + "HHH", 43, 8, 0) if big else struct.pack(order + "H", 42)
    )
    start = len(head) + inline + len(data)
    start += start % 2
    values_at = start + (8 if big else 2) + len(tags) * (4 + 2 * inline) + inline
    entries, values = b"", b""
    for number, kind, content in sorted(tags, key=lambda tag: tag[0]):
        letter = {1: "B", 2: "c", 3: "H", 4: "I", 7: "c", 13: "I", 16: "Q"}.get(kind, "B")
        packed = content if isinstance(content, bytes) else struct.pack(f"{order}{len(content)}{letter}", *content)
        size = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 7: 1, 12: 8, 13: 4, 16: 8}.get(kind, 1)
        field = packed.ljust(inline, b"\0")
        if len(packed) > inline:
            field = struct.pack(order + form, values_at + len(values))
            values += packed + b"\0" * (len(packed) % 2)
        entries += struct.pack(order + "HH" + form, number, kind, len(packed) // size) + field
    directory = struct.pack(order + ("Q" if big else "H"), len(tags)) + entries + bytes(inline) + values
    return (head + struct.pack(order + form, start) + data).ljust(start, b"\0") + directory


def long_png() -> bytes:
    """2²⁵ × 1 pixels in some kilobytes: a resize of it takes a gigabyte."""
    return png(2**25, 1, bytes(3 * 2**25 + 1))


def many_scans(scans: int, side: int = 512) -> bytes:
    """A progressive JPEG of one colour whose last scan comes so many times."""
    content = encode(Image.new("RGB", (side, side), "teal"), "JPEG", progressive=True)
    start = content.rindex(b"\xff\xda")
    return content[:start] + content[start:-2] * scans + content[-2:]


def many_segments(segments: int) -> bytes:
    """A JPEG with so many EXIF segments, each of a few bytes."""
    content = encode(picture(64), "JPEG")
    return content[:2] + segment(0xE1, b"Exif\x00\x00" + bytes(20)) * segments + content[2:]


def scans_apart(image: Image.Image, scans: int = 3) -> bytes:
    """A baseline JPEG of three components, each in a scan of its own, of which so many come."""
    parts = []
    for channel in image.convert("YCbCr").split():
        content = encode(channel, "JPEG", quality=95)
        frame, tables, start = content.index(b"\xff\xc0"), content.index(b"\xff\xdb"), content.index(b"\xff\xda")
        parts.append((content[tables:frame], content[frame + 19 - 6 : start], content[start + 10 : -2]))
    quantization, huffman, _ = parts[0]
    components = bytes([1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0])
    head = quantization + segment(0xC0, struct.pack(">BHHB", 8, image.height, image.width, 3) + components) + huffman
    coded = b"".join(segment(0xDA, bytes([1, k + 1, 0, 0, 63, 0])) + parts[k][2] for k in range(scans))
    return b"\xff\xd8" + head + coded + b"\xff\xd9"


def large_tile() -> bytes:
    """A TIFF of 64² pixels inside one tile of 16,384², deflated."""
    stream = zlib.compressobj(1)
    packed = b"".join(stream.compress(bytes(2**20)) for _ in range(3 * 16384 * 16384 // 2**20)) + stream.flush()
    return _rgb_tiff(64, 64, [(322, 4, [16384]), (323, 4, [16384]), (324, 4, [8]), (325, 4, [len(packed)])], packed)


def many_strips(strips: int) -> bytes:
    """A TIFF of 64² pixels whose directory refers to so many strips."""
    places = [(273, 4, struct.pack(f"<{strips}I", *[8] * strips)), (279, 4, struct.pack(f"<{strips}I", *[20] * strips))]
    return _rgb_tiff(64, 64, [*places, (278, 4, [1])], zlib.compress(bytes(192)))


def bmp_head(width: int, height: int) -> bytes:
    """The head of a BMP of 24 bits a pixel, without its pixels."""
    fields = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + fields


def runs(width: int, height: int, data: bytes) -> bytes:
    """A run-length-coded BMP with a palette of greys."""
    palette = b"".join(bytes([level, level, level, 0]) for level in range(256))
    start = 54 + len(palette)
    header = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 8, 1, len(data), 0, 0, 256, 0)
    return b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + header + palette + data


def slow() -> bytes:
    """A small file within all bounds that takes seconds to decode."""
    return many_scans(88, 2880)


def many_restarts(scans: int, side: int = 1024) -> bytes:
    """A progressive JPEG whose last scan comes so many times, with a restart behind each block of pixels."""
    content = encode(Image.new("RGB", (side, side), "teal"), "JPEG", progressive=True, restart_marker_blocks=1)
    start = content.rindex(b"\xff\xda")
    return content[:start] + content[start:-2] * scans + content[-2:]


def overlapping_strips(count: int, size: int) -> bytes:
    """A TIFF of one pixel a row, in facsimile, whose strips are all nearly the same bytes of the file."""
    sizes = struct.pack(f"<{count}I", *(size - number % 1000 for number in range(count)))
    tags: list[Tag] = [(256, 4, [1]), (257, 4, [count]), (258, 3, [1]), (259, 3, [4]), (262, 3, [1]), (278, 4, [1])]
    return tiff([*tags, (273, 4, struct.pack(f"<{count}I", *[8] * count)), (279, 4, sizes)], b"\xff" * size)


def many_values(count: int) -> bytes:
    """A TIFF of 64² pixels that says so many times how many bits a sample has."""
    tags: list[Tag] = [(256, 4, [64]), (257, 4, [64]), (258, 1, b"\x08" * count), (262, 3, [2]), (273, 4, [8])]
    return tiff([*tags, (277, 3, [3]), (278, 4, [64]), (279, 4, [64 * 64 * 3])], bytes(64 * 64 * 3))


def nested_gif(blocks: int) -> bytes:
    """A GIF with so many blocks of comments before its frame."""
    content = encode(picture(32).quantize(16), "GIF")
    start = 13 + (3 << (content[10] & 7) + 1)
    return content[:start] + (b"!\xfe\x01x\x00") * blocks + content[start:]


def _rgb_tiff(width: int, height: int, further: Sequence[Tag], data: bytes) -> bytes:
    tags: list[Tag] = [(256, 4, [width]), (257, 4, [height]), (258, 3, [8, 8, 8]), (259, 3, [8]), (262, 3, [2])]
    return tiff([*tags, (277, 3, [3]), *further], data)
