"""JPEG segments: which files are *plain*, and may be given to a decoder other than Pillow.

A plain file means one thing to every decoder: 8-bit baseline or progressive, grey or YCbCr, upright, of no colour
profile, and whole. What is odd about any other file is judged where all others are decoded.
"""

from typing import Final

from PIL import ExifTags, Image

from clpips.models.images.bounds import MAX_SCANS
from clpips.models.images.formats import JPEG

END: Final = b"\xff\xd9"
MOST_SEGMENTS: Final = 1000  # a file with more before its pixels is not plain
MOST_BYTES: Final = 2**24  # a longer file is not searched for its end, and not plain
FRAMES: Final = {0xC0, 0xC2}  # baseline and progressive, Huffman-coded
OTHER_FRAMES: Final = {0xC1, 0xC3, 0xC5, 0xC6, 0xC7, 0xC9, 0xCA, 0xCB, 0xCD, 0xCE, 0xCF}
SCAN: Final = 0xDA
SAMPLINGS: Final = {0x11, 0x21, 0x12, 0x22, 0x41}  # luma's, four bits each way, over chroma's 0x11: 4:4:4 to 4:1:1
EXIF: Final = b"Exif\x00\x00"


def plain_jpeg_size(content: bytes) -> tuple[int, int] | None:
    """Width and height of a plain JPEG; None where the file is anything else, cut off or followed by more bytes.

    >>> import io
    >>> file = io.BytesIO()
    >>> Image.new("RGB", (640, 480)).save(file, "JPEG")
    >>> plain_jpeg_size(file.getvalue()), plain_jpeg_size(file.getvalue()[:-1])
    ((640, 480), None)
    """
    if not content.startswith(JPEG) or len(content) > MOST_BYTES:
        return None
    size: tuple[int, int] | None = None
    place = 2
    for _ in range(MOST_SEGMENTS):
        head = content[place : place + 4]
        if len(head) < 4 or head[0] != 0xFF:
            return None
        marker, length = head[1], int.from_bytes(head[2:], "big")
        end = place + 2 + length
        if length < 2 or end > len(content):
            return None
        segment = content[place + 4 : end]
        if marker in OTHER_FRAMES or (marker in FRAMES and size is not None):
            return None
        if marker in FRAMES:
            size = _size(segment)
            if size is None:
                return None
        elif marker == SCAN:
            # Among coded pixels a byte 0xFF is followed by 0 or a restart, so the first end is the file's.
            few = content.count(b"\xff\xda", end) < MAX_SCANS
            return size if few and content.find(END, end) == len(content) - len(END) else None
        elif not _harmless(marker, segment):
            return None
        place = end
    return None


def _size(segment: bytes) -> tuple[int, int] | None:
    """Width and height, where samples have 8 bits and the components are grey or YCbCr in a usual sampling."""
    if len(segment) < 6 or segment[0] != 8:
        return None
    height, width, components = int.from_bytes(segment[1:3], "big"), int.from_bytes(segment[3:5], "big"), segment[5]
    if not (width and height) or len(segment) != 6 + 3 * components:
        return None
    if components == 3:
        names, samplings = segment[6::3], segment[7::3]
        if names != b"\x01\x02\x03" or samplings[0] not in SAMPLINGS or samplings[1:] != b"\x11\x11":
            return None
    elif components != 1 or segment[7] != 0x11:
        return None
    return width, height


def _harmless(marker: int, segment: bytes) -> bool:
    """Whether a segment before the pixels leaves them as they are, upright and in YCbCr."""
    if marker == 0xEE and segment.startswith(b"Adobe"):
        return len(segment) >= 12 and segment[11] == 1  # 0 is RGB, 2 is YCCK
    if marker == 0xE1 and segment.startswith(EXIF):
        return _upright(segment)
    if marker == 0xE1:
        return b"rientation" not in segment  # XMP
    if marker == 0xE2:
        return not segment.startswith((b"MPF\x00", b"ICC_PROFILE\x00"))  # more pictures follow; colours change
    return 0xE0 <= marker <= 0xEF or marker in {0xFE, 0xDB, 0xC4, 0xDD}  # applications, comment, tables, restarts


def _upright(exif: bytes) -> bool:
    try:
        found = Image.Exif()
        found.load(exif)
        return bool(found.get(ExifTags.Base.Orientation, 1) == 1)
    except Exception:  # noqa: BLE001  damaged in one of many ways
        return False
