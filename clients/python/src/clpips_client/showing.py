"""What notebooks show: thumbnails as `data:` URLs, in HTML that needs nothing else."""

import base64
import html
import importlib
import io
import struct
import zlib
from collections.abc import Sequence
from typing import Final

import numpy as np

from clpips_client.pictures import Picture
from clpips_client.pixels import Pixels

SIDE: Final = 128  # pixels of a thumbnail's longer side, at most
MOST: Final = 50  # thumbnails: a notebook keeps what it shows
NPY: Final = b"\x93NUMPY"
PNG: Final = b"\x89PNG\r\n\x1a\n"


def gallery(captions: Sequence[str], pictures: Sequence[Picture]) -> str:
    """Captions in a row, each below its picture where there is one."""
    cells = []
    for place, caption in enumerate(captions[: 1 + MOST]):
        picture = pictures[place] if place < len(pictures) else None
        small = thumbnail(picture.content) if picture is not None and picture.content else None
        shown = picture_html(small) if small else ""
        label = html.escape(picture.label) + "<br>" if picture is not None and picture.label else ""
        cells.append(
            f'<figure style="display:inline-block;margin:4px;text-align:center">{shown}'
            f"<figcaption>{label}{html.escape(caption)}</figcaption></figure>"
        )
    left_out = len(captions) - len(cells)
    return "<div>" + "".join(cells) + (f"<p>and {left_out} more</p>" if left_out else "") + "</div>"


def picture_html(content: bytes) -> str:
    """An `img` that holds a PNG."""
    return f'<img alt="" src="data:image/png;base64,{base64.b64encode(content).decode()}">'


def thumbnail(content: bytes) -> bytes | None:
    """A small PNG of an image as it is sent; None for a file where Pillow is not there, or cannot read it."""
    if content.startswith(NPY):
        pixels = np.load(io.BytesIO(content), allow_pickle=False)
        step = max(1, -(-max(pixels.shape[:2]) // SIDE))
        return png(pixels[::step, ::step])
    try:
        pillow = importlib.import_module("PIL.Image")
        image = pillow.open(io.BytesIO(content))
        image.draft("RGB", (SIDE, SIDE))  # a large JPEG is decoded small
        image = image.convert("RGB")
    except Exception:  # noqa: BLE001 - a notebook shows the ranking, whatever Pillow says of a file
        return None
    image.thumbnail((SIDE, SIDE))
    return png(np.asarray(image))


def png(pixels: Pixels) -> bytes:
    """A PNG of `(H, W, 3)` (ISO/IEC 15948): one chunk of rows without a filter."""
    height, width, _ = pixels.shape
    rows = np.zeros((height, 1 + 3 * width), np.uint8)  # a row begins with its filter, 0
    rows[:, 1:] = pixels.reshape(height, -1)
    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return PNG + _chunk(b"IHDR", head) + _chunk(b"IDAT", zlib.compress(rows.tobytes())) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
