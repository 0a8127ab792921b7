"""The orientation of a picture counts wherever it stands in the file, and only where it is one."""

import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from clpips.models.images.decoding import decode
from loadtest.hostile.making import chunk
from tests.support.pictures import encode, picture

PIXELS = picture(11, 40, 56)
TURNED = Image.fromarray(np.ascontiguousarray(np.rot90(PIXELS)))  # orientation 6 turns it back


def exif_block(tags: list[tuple[int, int, int, bytes]], order: str = "<") -> bytes:
    """A TIFF of tags: number, type, count, four bytes of value."""
    entries = b"".join(struct.pack(order + "HHI", *tag[:3]) + tag[3] for tag in tags)
    head = (b"II" if order == "<" else b"MM") + struct.pack(order + "HI", 42, 8)
    return head + struct.pack(order + "H", len(tags)) + entries + b"\0\0\0\0"


def oriented(order: str = "<", kind: int = 3) -> tuple[int, int, int, bytes]:
    """A tag of orientation 6."""
    return (0x0112, kind, 1, struct.pack(order + {1: "Bxxx", 3: "Hxx", 4: "I"}[kind], 6))


@pytest.mark.parametrize("kind", range(1, 14))
@pytest.mark.parametrize("tag", [0x010F, 0x011A, 0x0128, 0x0132, 0x0213, 0x8769, 0x8825, 0x9286, 0xA005])
def test_a_tag_beside_it_never_hides_an_orientation(tag: int, kind: int) -> None:
    block = exif_block(sorted([oriented(), (tag, kind, 1, b"\x07\x01\x02\x03")]))
    content = encode(TURNED, "PNG", exif=b"Exif\0\0" + block)
    np.testing.assert_array_equal(decode(content), PIXELS)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [1, 3, 4])
def test_an_orientation_counts_as_a_number_of_any_size(order: str, kind: int) -> None:
    content = encode(TURNED, "PNG", exif=b"Exif\0\0" + exif_block([oriented(order, kind)], order))
    np.testing.assert_array_equal(decode(content), PIXELS)


def test_of_several_orientations_in_one_tag_the_first_counts() -> None:
    block = exif_block([(0x0112, 3, 2, struct.pack("<HH", 6, 1))])
    np.testing.assert_array_equal(decode(encode(TURNED, "PNG", exif=b"Exif\0\0" + block)), PIXELS)


@pytest.mark.parametrize("late", [False, True])
@pytest.mark.parametrize("where", ["eXIf", "eXIf with its name", "tEXt", "zTXt", "iTXt"])
def test_a_png_may_have_it_anywhere(where: str, late: bool) -> None:
    block = exif_block([oriented()])
    text = b"\nexif\n%8d\n%s\n" % (len(block) + 6, (b"Exif\0\0" + block).hex().encode())
    xmp = b'XML:com.adobe.xmp\0\0\0\0\0<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
    written = {
        "eXIf": chunk(b"eXIf", block),
        "eXIf with its name": chunk(b"eXIf", b"Exif\0\0" + block),
        "tEXt": chunk(b"tEXt", b"Raw profile type exif\0" + text),
        "zTXt": chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(text)),
        "iTXt": chunk(b"iTXt", xmp),
    }[where]
    content = encode(TURNED, "PNG")
    place = len(content) - 12 if late else 33
    np.testing.assert_array_equal(decode(content[:place] + written + content[place:]), PIXELS)


@pytest.mark.parametrize("prefix", [b"", b"Exif\0\0"])
def test_a_webp_may_have_it_with_or_without_its_name(prefix: bytes) -> None:
    content = encode(TURNED, "WEBP", lossless=True, exif=b"Exif\0\0" + exif_block([oriented()]))
    block = exif_block([oriented()])
    body = content[12:].replace(
        b"EXIF" + struct.pack("<I", len(block)) + block,
        b"EXIF" + struct.pack("<I", len(prefix + block)) + prefix + block,
    )
    content = b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body
    np.testing.assert_array_equal(decode(content), PIXELS)


def test_metadata_that_the_head_of_a_webp_denies_do_not_count() -> None:
    content = encode(PIXELS, "WEBP", lossless=True, exif=b"Exif\0\0" + exif_block([oriented()]))
    flags = content.index(b"VP8X") + 8
    denied = content[:flags] + bytes([content[flags] & ~0x08]) + content[flags + 1 :]
    np.testing.assert_array_equal(decode(denied), PIXELS)
    assert not np.array_equal(decode(content), PIXELS)


def test_what_lies_behind_the_end_of_a_webp_does_not_turn_it() -> None:
    content = encode(PIXELS, "WEBP", lossless=True, exif=b"Exif\0\0" + exif_block([oriented()]))
    exif = content.index(b"EXIF")
    shorter = content[:4] + struct.pack("<I", exif - 8) + content[8:]
    np.testing.assert_array_equal(decode(shorter), PIXELS)
    assert not np.array_equal(decode(content), PIXELS)


def test_an_orientation_that_is_none_counts_for_nothing() -> None:
    for value in (0, 9, 65535):
        block = exif_block([(0x0112, 3, 1, struct.pack("<Hxx", value))])
        np.testing.assert_array_equal(decode(encode(PIXELS, "PNG", exif=b"Exif\0\0" + block)), PIXELS)
