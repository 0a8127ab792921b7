"""Files that are easily got wrong: orientation wherever it stands, missing pixels, frames, masks, texts, others."""

import io
import itertools
import re
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from PIL import Image

from clpips.models.images.decoding import EncodedImage, decode
from clpips.models.images.errors import (
    ImageError,
    PixelTypeError,
    TooCostlyError,
    TooManyPixelsError,
    TruncatedImageError,
    UnknownFormatError,
)
from loadtest.hostile import making
from loadtest.hostile.making import chunk, png, segment
from loadtest.hostile.mutations import fault_of, mutations, samples
from tests.support.pictures import encode, npy, picture

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


# --- orientation ------------------------------------------------------------------------------------------------------


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


# --- pixels that are missing ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rows", [0, 1, 39])
@pytest.mark.parametrize(("colour", "channels"), [(0, 1), (2, 3), (3, 1), (4, 2), (6, 4)])
def test_a_png_whose_rows_end_early_is_refused(rows: int, colour: int, channels: int) -> None:
    palette = chunk(b"PLTE", bytes(range(1, 31))) if colour == 3 else b""
    row = b"\0" + bytes([9] * 40 * channels)
    assert decode(png(40, 40, row * 40, 8, colour, palette)).shape == (40, 40, 3)
    with pytest.raises(TruncatedImageError, match="damaged"):
        decode(png(40, 40, row * rows, 8, colour, palette))


@pytest.mark.parametrize("colour", [0, 2, 6])
def test_a_png_whose_last_rows_are_black_is_whole(colour: int) -> None:
    channels = {0: 1, 2: 3, 6: 4}[colour]
    rows = (b"\0" + bytes([200] * 40 * channels)) * 20 + (b"\0" + bytes(40 * channels)) * 20
    assert decode(png(40, 40, rows, 8, colour))[0, 0, 0] == (212 if colour == 6 else 200)  # on white where it has alpha


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 3}, {"subsampling": 0}])
@pytest.mark.parametrize("share", [0.3, 0.6, 0.9])
def test_a_jpeg_whose_pixels_end_early_is_refused(options: dict[str, Any], share: float) -> None:
    content = encode(picture(2, 120), "JPEG", quality=95, **options)
    with pytest.raises(TruncatedImageError, match="missing"):
        decode(content[: int(len(content) * share)].rstrip(b"\xff") + b"\xff\xd9")


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("side", [193, 196, 200, 203, 208])  # sides of which the last block of 16² shows 1 to 16 pixels
@pytest.mark.parametrize("share", [0.9, 0.97])
def test_a_jpeg_that_lacks_few_pixels_is_refused_whatever_its_size(mode: str, side: int, share: float) -> None:
    content = encode(Image.fromarray(picture(9, side)).convert(mode), "JPEG", quality=90)
    with pytest.raises(TruncatedImageError, match="missing"):
        decode(content[: int(len(content) * share)].rstrip(b"\xff") + b"\xff\xd9")


@pytest.mark.parametrize("missing", [slice(-1, None), slice(-3, None), slice(-8, None), slice(10, 11), slice(10, 18)])
def test_a_jpeg_that_lacks_whole_restarts_is_refused(missing: slice) -> None:
    content = encode(picture(9, 200), "JPEG", quality=90, restart_marker_blocks=4)
    places = [found.start() for found in re.finditer(rb"\xff[\xd0-\xd7]", content)] + [len(content) - 2]
    restarts = [content[begin:end] for begin, end in itertools.pairwise(places)]
    assert decode(content[: places[0]] + b"".join(restarts) + b"\xff\xd9").shape == (200, 200, 3)
    del restarts[missing]
    with pytest.raises(TruncatedImageError, match="missing"):
        decode(content[: places[0]] + b"".join(restarts) + b"\xff\xd9")


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_blocks": 3}, {"optimize": True}])
@pytest.mark.parametrize("side", [1, 7, 8, 9, 16, 17, 64])
def test_a_flat_jpeg_is_whole(options: dict[str, Any], side: int) -> None:
    for colour in ("white", "black", "teal", (128, 128, 128)):
        image = Image.new("RGB", (side, side), colour)
        content = encode(image, "JPEG", **options)
        assert decode(content).shape == (side, side, 3)


@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP", "AVIF", "BMP", "TIFF", "GIF"])
def test_cut_off_anywhere_a_file_is_refused_or_shows_the_same(name: str) -> None:
    content = encode(picture(3, 24), name)
    whole = decode(content)
    for length in range(1, len(content), 3):
        try:
            shown = decode(content[:length])
        except ImageError:
            continue
        np.testing.assert_array_equal(shown, whole)


@pytest.mark.parametrize("name", ["PNG", "JPEG", "WEBP", "AVIF", "BMP", "TIFF", "GIF"])
def test_bytes_behind_the_file_do_not_matter(name: str) -> None:
    content = encode(picture(3, 40), name)
    np.testing.assert_array_equal(decode(content + bytes(range(256)) * 3), decode(content))


def test_of_a_file_of_several_pictures_the_first_counts() -> None:
    frames = [Image.fromarray(picture(seed, 40)) for seed in (4, 5)]
    first = decode(encode(frames[0], "JPEG"))
    np.testing.assert_array_equal(decode(encode(frames[0], "MPO", save_all=True, append_images=frames[1:])), first)
    np.testing.assert_array_equal(decode(encode(frames[0], "JPEG") + encode(frames[1], "JPEG")), first)


# --- frames, masks, runs ----------------------------------------------------------------------------------------------


def test_what_the_first_frame_of_an_animation_does_not_cover_is_white() -> None:
    palette = Image.fromarray(PIXELS).quantize(32)
    content = bytearray(encode(palette, "GIF"))
    content[6:10] = struct.pack("<HH", 80, 70)
    shown = decode(bytes(content))
    assert shown.shape == (70, 80, 3)
    np.testing.assert_array_equal(shown[:40, :56], np.asarray(palette.convert("RGB")))
    assert (shown[40:] == 255).all()
    assert (shown[:, 56:] == 255).all()


def test_a_webp_animation_begins_on_white() -> None:
    frames = [Image.fromarray(picture(seed, 40)) for seed in (4, 5)]
    content = bytearray(encode(frames[0], "WEBP", save_all=True, append_images=frames[1:], lossless=True))
    assert content[12:16] == b"VP8X"
    content[24:27] = (59).to_bytes(3, "little")  # a wider canvas
    shown = decode(bytes(content))
    assert shown.shape == (40, 60, 3)
    np.testing.assert_array_equal(shown[:, :40], picture(4, 40))
    assert (shown[:, 40:] == 255).all()


def bmp(bits: int, rows: bytes, palette: bytes = b"", masks: tuple[int, ...] = (), height: int = 4) -> bytes:
    """A BMP, 4 pixels wide."""
    compression = 3 if masks else 0
    start = 54 + len(palette) + 4 * len(masks)
    head = struct.pack("<IiiHHIIiiII", 40, 4, height, 1, bits, compression, 0, 0, 0, len(palette) // 4, 0)
    masked = b"".join(struct.pack("<I", mask) for mask in masks)
    return b"BM" + struct.pack("<IHHI", start + len(rows), 0, 0, start) + head + masked + palette + rows


def test_a_bmp_palette_of_dark_greys_is_a_palette() -> None:
    palette = b"".join(bytes([level] * 3 + [0]) for level in range(16))
    shown = decode(bmp(4, bytes([0x01, 0x23, 0, 0, 0x45, 0x67, 0, 0, 0x89, 0xAB, 0, 0, 0xCD, 0xEF, 0, 0]), palette))
    np.testing.assert_array_equal(shown[..., 0], np.arange(16).reshape(4, 4)[::-1])


def test_a_bmp_of_8_bits_and_two_colours_has_8_bits() -> None:
    shown = decode(bmp(8, bytes([0, 1, 0, 1] * 4), b"\0\0\0\0\xff\xff\xff\0"))
    assert shown[0, :, 0].tolist() == [0, 255, 0, 255]


@pytest.mark.parametrize(
    ("bits", "masks", "value", "colour"),
    [
        (16, (0xF800, 0x07E0, 0x001F), 0xF800, (255, 0, 0)),
        (16, (0x7C00, 0x03E0, 0x001F), 0x03E0, (0, 255, 0)),
        (16, (0x0F00, 0x00F0, 0x000F), 0x000F, (0, 0, 255)),
        (32, (0x00FF0000, 0x0000FF00, 0x000000FF), 0x00102030, (16, 32, 48)),
        (32, (0x000000FF, 0x0000FF00, 0x00FF0000), 0x00102030, (48, 32, 16)),
        (32, (0x3FF00000, 0x000FFC00, 0x000003FF), 0x3FF00000, (255, 0, 0)),
    ],
)
def test_a_bmp_may_have_any_masks(bits: int, masks: tuple[int, ...], value: int, colour: tuple[int, ...]) -> None:
    shown = decode(bmp(bits, value.to_bytes(bits // 8, "little") * 16, masks=masks))
    assert tuple(shown[0, 0]) == colour


def test_a_bmp_may_begin_with_its_topmost_row() -> None:
    rows = bytes(range(48))
    np.testing.assert_array_equal(decode(bmp(24, rows, height=-4)), decode(bmp(24, rows))[::-1])


def test_runs_of_a_bmp_draw_what_they_say_and_leave_the_rest_white() -> None:
    runs = b"\x03\x05\x00\x00" + b"\x00\x04\x01\x02\x03\x04" + b"\x00\x00" + b"\x00\x02\x01\x00\x02\x09" + b"\x00\x01"
    shown = decode(making.runs(4, 4, runs))[::-1, :, 0].tolist()
    assert shown == [[5, 5, 5, 255], [1, 2, 3, 4], [255, 9, 9, 255], [255] * 4]
    with pytest.raises(TruncatedImageError, match="runs end"):
        decode(making.runs(4, 4, b"\x03\x05\x00\x00"))


# --- metadata ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", [b"zTXt", b"iTXt", b"tEXt"])
def test_a_text_of_any_size_does_not_matter(kind: bytes) -> None:
    texts = {
        b"zTXt": b"Comment\0\0" + zlib.compress(bytes(10**7)),
        b"iTXt": b"Comment\0\1\0\0\0" + zlib.compress(bytes(10**7)),
        b"tEXt": b"Comment\0" + b"x" * 2 * 10**6,
    }
    content = encode(PIXELS)
    np.testing.assert_array_equal(decode(content[:33] + chunk(kind, texts[kind]) + content[33:]), PIXELS)


def test_files_that_cost_more_than_they_look_are_refused_for_what_they_have() -> None:
    costly = {
        "chunks beside": png(8, 8, bytes(200), before=chunk(b"teSt") * 1100),
        "scans": making.many_scans(200, 64),
        "segments": making.many_segments(1100),
        "blocks": making.nested_gif(2**18 + 1),
        "pixels in runs": making.runs(4096, 4096, b"\0\1"),
    }
    for what, content in costly.items():
        with pytest.raises(TooCostlyError, match=what):
            decode(content)


@pytest.mark.parametrize("name", ["PNG", "BMP", ".npy"])
def test_a_side_that_is_too_long_is_refused_whatever_the_other(name: str) -> None:
    content = {
        "PNG": png(40_000, 1, bytes(120_001)),
        "BMP": making.bmp_head(40_000, 1),
        ".npy": npy(np.zeros((1, 40_000, 3), np.uint8)),
    }[name]
    with pytest.raises(TooManyPixelsError, match=r"40000×1 pixels, the limit of a side is 32,768"):
        decode(content)


# --- what it is instead -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "HEIC"),
        (b"\0\0\0\x18ftypisom\0\0\0\0isommp42", "film"),
        (b"\xff\x0a\0\0", "JPEG XL"),
        (b"\0\0\0\x0cJXL \r\n\x87\n", "JPEG XL"),
        (b"\0\0\0\x0cjP  \r\n\x87\n", "JPEG 2000"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"\xef\xbb\xbf<?xml version='1.0'?>\n<!-- by hand -->\n<svg/>", "SVG"),
        (b"%PDF-1.7", "PDF"),
        (b"  <!DOCTYPE html>", "HTML"),
        (b'{"error": "not found"}', "JSON"),
        (b"P6\n4 4\n255\n", "Netpbm"),
        (b"data:image/png;base64,iVBO", "data: URL"),
        (b"iVBORw0KGgoAAAANSUhEUg==", "base64"),
        (b"PK\x03\x04", "ZIP"),
        (b"RIFF\0\0\0\0WAVEfmt ", "sound"),
        (b"\0\0\1\0\1\0", "ICO"),
    ],
)  # fmt: skip
def test_what_is_no_image_that_is_read_is_named(content: bytes, words: str) -> None:
    with pytest.raises(UnknownFormatError) as refusal:
        decode(content + bytes(64))
    assert words in str(refusal.value)
    assert "send PNG, JPEG, WebP" in str(refusal.value)


def test_an_avif_is_one_whatever_its_first_brand() -> None:
    content = encode(PIXELS, "AVIF")
    other = content[:8] + b"mif1" + content[12:]
    np.testing.assert_array_equal(decode(other), decode(content))


def test_jpegs_that_are_not_read_are_named() -> None:
    content = encode(PIXELS, "JPEG")
    frame = content.index(b"\xff\xc0")
    two = segment(0xC0, content[frame + 4 : frame + 9] + b"\2" + bytes(6))
    for name, changed in {
        "12 bits": content[: frame + 4] + b"\x0c" + content[frame + 5 :],
        "lossless": content[: frame + 1] + b"\xc3" + content[frame + 2 :],
        "2 components": content[:frame] + two + content[frame + 19 :],
    }.items():
        with pytest.raises(PixelTypeError, match=name):
            decode(changed)


# --- anything ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", samples())
def test_random_mutations_give_pixels_or_an_error_that_says_something(name: str) -> None:
    for content in mutations(name, samples()[name], 150, seed=1):
        assert fault_of(content) == ""


def test_a_light_file_is_known_by_its_first_bytes() -> None:
    profile = Image.new("RGB", (40, 40))
    assert EncodedImage(encode(PIXELS)).light
    assert EncodedImage(npy(PIXELS)).light
    assert not EncodedImage(encode(profile, "PNG", icc_profile=b"x")).light
    assert not EncodedImage(encode(Image.fromarray(PIXELS).convert("L"))).light
    assert not EncodedImage(encode(PIXELS, "JPEG")).light
    assert not EncodedImage(png(4096, 2048, bytes((3 * 4096 + 1) * 2048))).light


def test_files_are_closed_over_and_decoded_again() -> None:
    image = EncodedImage(encode(PIXELS, "WEBP", lossless=True))
    np.testing.assert_array_equal(image.decode(), PIXELS)
    np.testing.assert_array_equal(EncodedImage(io.BytesIO(encode(PIXELS)).getvalue()).decode(), PIXELS)
