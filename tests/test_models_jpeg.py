"""Which JPEGs are plain: whole, upright, 8-bit, grey or YCbCr; every other file is Pillow's."""

import struct
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from clpips.models.images.jpeg import plain_jpeg_size
from tests.support.pictures import encode, picture

PIXELS = picture(0, 40, 56)
PLAIN = encode(PIXELS, "JPEG")


def with_segment(marker: int, payload: bytes) -> bytes:
    """The plain file with one segment more, behind its first marker."""
    return PLAIN[:2] + struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload + PLAIN[2:]


def with_frame(change: tuple[int, int]) -> bytes:
    """The plain file with another byte at a place of its frame: 0 is the precision, 5 the number of components."""
    place, value = change
    start = PLAIN.index(b"\xff\xc0") + 4 + place
    return PLAIN[:start] + bytes([value]) + PLAIN[start + 1 :]


def oriented(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x112] = orientation
    return encode(PIXELS, "JPEG", exif=exif)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"progressive": True},
        {"subsampling": "4:4:4"},
        {"subsampling": "4:2:2"},
        {"subsampling": "4:2:0"},
        {"optimize": True},
        {"comment": b"made by a test"},
        {"restart_marker_rows": 1},
    ],
    ids=str,
)
def test_what_encoders_write_is_plain(options: dict[str, Any]) -> None:
    assert plain_jpeg_size(encode(PIXELS, "JPEG", **options)) == (56, 40)


def test_grey_is_plain() -> None:
    assert plain_jpeg_size(encode(Image.fromarray(PIXELS).convert("L"), "JPEG")) == (56, 40)


def test_upright_exif_is_plain_and_any_other_is_not() -> None:
    assert plain_jpeg_size(oriented(1)) == (56, 40)
    assert [plain_jpeg_size(oriented(orientation)) for orientation in range(2, 9)] == [None] * 7


@pytest.mark.parametrize(
    "content",
    {
        "nothing": b"",
        "PNG": encode(PIXELS),
        "the first bytes alone": b"\xff\xd8\xff",
        "bytes behind the end": PLAIN + b"\x00",
        "another picture behind the end": PLAIN + PLAIN,
        "CMYK": encode(Image.fromarray(PIXELS).convert("CMYK"), "JPEG"),
        "RGB components": encode(PIXELS, "JPEG", keep_rgb=True),
        "Adobe's mark of RGB": with_segment(0xEE, b"Adobe\x00\x64" + bytes(4) + b"\x00"),
        "orientation in XMP": with_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\x00<x tiff:Orientation='6'/>"),
        "damaged EXIF": with_segment(0xE1, b"Exif\x00\x00MM\x00\x2a\xff\xff\xff\xff"),
        "a colour profile": encode(PIXELS, "JPEG", icc_profile=b"a profile, which is applied on the host"),
        "more pictures": with_segment(0xE2, b"MPF\x00"),
        "12 bits": with_frame((0, 12)),
        "no height": with_frame((2, 0)),
        "a sampling that is rare": with_frame((7, 0x24)),
        "arithmetic coding": PLAIN.replace(b"\xff\xc0", b"\xff\xc9", 1),
        "lossless": PLAIN.replace(b"\xff\xc0", b"\xff\xc3", 1),
        "two frames": with_segment(0xC0, PLAIN[PLAIN.index(b"\xff\xc0") + 4 :][:15]),
    }.values(),
)
def test_anything_else_is_not(content: bytes) -> None:
    assert plain_jpeg_size(content) is None


def test_adobes_mark_of_ycbcr_is_plain() -> None:
    assert plain_jpeg_size(with_segment(0xEE, b"Adobe\x00\x64" + bytes(4) + b"\x01")) == (56, 40)


@given(st.integers(0, len(PLAIN) - 1))
def test_a_truncated_file_is_never_plain(length: int) -> None:
    assert plain_jpeg_size(PLAIN[:length]) is None


@given(st.binary(max_size=200))
@settings(max_examples=300)
def test_hostile_bytes_are_no_error(rest: bytes) -> None:
    assert plain_jpeg_size(b"\xff\xd8\xff" + rest) is None or rest.endswith(b"\xff\xd9")
