"""What is decoded, how it becomes 8-bit RGB at the scoring resolution, and what is refused."""

import io
import struct
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from clpips.models.images.decoding import EncodedImage, decode
from clpips.models.images.errors import (
    EmptyImageError,
    ImageError,
    PixelTypeError,
    TooManyPixelsError,
    TruncatedImageError,
    UnknownFormatError,
)
from clpips.models.images.formats import FORMATS
from tests.support.pictures import encode, npy, picture

LOSSLESS: dict[str, dict[str, Any]] = {
    "PNG": {},
    "WEBP": {"lossless": True},
    "BMP": {},
    "TIFF": {"compression": "tiff_lzw"},
}
LOSSY: dict[str, dict[str, Any]] = {"JPEG": {"quality": 95}, "AVIF": {"quality": 95}, "GIF": {}}


@pytest.mark.parametrize("name", LOSSLESS)
def test_lossless_formats_give_back_every_pixel(name: str) -> None:
    pixels = picture(1, 40, 56)
    assert np.array_equal(decode(encode(pixels, name, **LOSSLESS[name])), pixels)


@pytest.mark.parametrize("name", LOSSY)
def test_lossy_formats_give_what_pillow_gives(name: str) -> None:
    content = encode(picture(2, 40, 56), name, **LOSSY[name])
    expected = np.asarray(Image.open(io.BytesIO(content)).convert("RGB"))
    assert np.array_equal(decode(content), expected)


def test_every_format_that_is_named_is_tested() -> None:
    assert {*LOSSLESS, *LOSSY} == set(FORMATS)


def test_the_first_frame_of_an_animation_counts() -> None:
    frames = [Image.fromarray(picture(seed, 40)) for seed in (4, 5)]
    content = encode(frames[0], "PNG", save_all=True, append_images=frames[1:])
    assert np.array_equal(decode(content), picture(4, 40))


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(orientation: int) -> None:
    upright = picture(6, 32, 48)
    turns = {1: 0, 2: 0, 3: 2, 4: 2, 5: 1, 6: 1, 7: 3, 8: 3}
    mirrored = orientation in {2, 4, 5, 7}
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = np.rot90(upright, turns[orientation]) if not mirrored else np.rot90(upright[:, ::-1], turns[orientation])
    content = encode(Image.fromarray(np.ascontiguousarray(stored)), "PNG", exif=exif)
    assert np.array_equal(decode(content), upright)


def test_damaged_exif_does_not_cost_the_image() -> None:
    pixels = picture(6, 40)
    assert np.array_equal(decode(encode(pixels, "PNG", exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff")), pixels)


def test_alpha_is_composited_on_white() -> None:
    pixels = picture(7, 40)
    alpha = np.full((40, 40, 1), 0, np.uint8)
    alpha[:20] = 255
    decoded = decode(encode(Image.fromarray(np.concatenate([pixels, alpha], axis=2))))
    assert np.array_equal(decoded[:20], pixels[:20])
    assert (decoded[20:] == 255).all()


def test_half_transparent_grey_is_halfway_to_white() -> None:
    image = Image.merge("LA", [Image.new("L", (40, 40), 100), Image.new("L", (40, 40), 128)])
    assert abs(int(decode(encode(image))[0, 0, 0]) - 177) <= 1


def test_a_palette_with_a_transparent_colour_shows_white_there() -> None:
    image = Image.new("P", (40, 40), 1)
    image.putpalette([10, 20, 30, 40, 50, 60])
    image.paste(0, (0, 0, 20, 40))
    decoded = decode(encode(image, "PNG", transparency=0))
    assert decoded[0, 0].tolist() == [255, 255, 255]
    assert decoded[0, 39].tolist() == [40, 50, 60]


def test_a_grey_png_with_a_transparent_level_shows_white_there() -> None:
    grey = np.tile(np.arange(40, dtype=np.uint8), (40, 1))
    decoded = decode(encode(Image.fromarray(grey), "PNG", transparency=7))
    assert decoded[0, 7].tolist() == [255, 255, 255]
    assert decoded[0, 8].tolist() == [8, 8, 8]


def test_of_16_bit_grey_the_high_byte_is_kept() -> None:
    grey = np.arange(40 * 40, dtype=np.uint16).reshape(40, 40) * 40
    for name in ("PNG", "TIFF"):
        decoded = decode(encode(Image.fromarray(grey), name))
        assert np.array_equal(decoded[..., 0], grey >> 8)
        assert np.array_equal(decoded[..., 0], decoded[..., 2])


def test_of_16_bit_rgb_the_high_byte_is_kept() -> None:
    samples = (picture(8, 40).astype(np.uint16) << 8) + 77
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    header = struct.pack(">IIBBBBB", 40, 40, 16, 2, 0, 0, 0)
    content = (
        b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(rows)) + _chunk(b"IEND", b"")
    )
    assert np.array_equal(decode(content), picture(8, 40))


@pytest.mark.parametrize("mode", ["1", "L", "CMYK", "YCbCr"])
def test_other_colours_become_rgb_as_pillow_converts_them(mode: str) -> None:
    image = Image.fromarray(picture(9, 40)).convert(mode)
    assert np.array_equal(decode(encode(image, "TIFF")), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("mode", ["L", "CMYK"])
def test_grey_and_cmyk_jpeg_are_read(mode: str) -> None:
    content = encode(Image.fromarray(picture(9, 40)).convert(mode), "JPEG", quality=95)
    difference = decode(content).astype(int) - np.asarray(Image.fromarray(picture(9, 40)).convert(mode).convert("RGB"))
    assert np.abs(difference).mean() < 6


def test_an_empty_body_is_refused() -> None:
    with pytest.raises(EmptyImageError, match="0 bytes"):
        decode(b"")


@pytest.mark.parametrize("content", [b"hello", b"<svg xmlns='http://www.w3.org/2000/svg'/>", b"\0" * 1000, b"%PDF-1.7"])
def test_other_formats_are_refused_by_name(content: bytes) -> None:
    with pytest.raises(UnknownFormatError, match="PNG, JPEG, WebP, AVIF"):
        decode(content)


@pytest.mark.parametrize("name", [*LOSSLESS, *LOSSY])
@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_a_truncated_file_is_refused(name: str, share: float) -> None:
    content = encode(picture(13, 80), name)
    with pytest.raises(TruncatedImageError, match="truncated or damaged"):
        decode(content[: int(len(content) * share)])


def test_a_decompression_bomb_is_refused_by_its_header() -> None:
    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    bomb = b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", zlib.compress(b"\0" * 1000))
    with pytest.raises(TooManyPixelsError, match="pixels"):
        decode(bomb)


def test_the_limit_of_pixels_is_inclusive() -> None:
    content = encode(picture(14, 40, 50))
    assert decode(content, max_pixels=2000).shape == (40, 50, 3)
    with pytest.raises(TooManyPixelsError, match=r"50×40 = 2,000 pixels, the limit is 1,999"):
        decode(content, max_pixels=1999)
    with pytest.raises(TooManyPixelsError, match="limit is 1,999"):
        decode(npy(picture(14, 40, 50)), max_pixels=1999)


@pytest.mark.parametrize("mode", ["F", "I"])
def test_floats_and_32_bit_integers_are_refused_not_guessed_at(mode: str) -> None:
    with pytest.raises(PixelTypeError, match="8-bit or 16-bit"):
        decode(encode(Image.new(mode, (40, 40)), "TIFF"))


_SAMPLES = [encode(picture(17, 40), name) for name in FORMATS] + [npy(picture(17, 40))]


@settings(max_examples=400, deadline=None)
@given(sample=st.sampled_from(_SAMPLES), data=st.data())
def test_whatever_is_damaged_gives_pixels_or_an_image_error(sample: bytes, data: st.DataObject) -> None:
    damaged = bytearray(sample)
    for _ in range(data.draw(st.integers(1, 6))):
        damaged[data.draw(st.integers(0, len(damaged) - 1))] = data.draw(st.integers(0, 255))
    _decodes_or_refuses(bytes(damaged[: data.draw(st.integers(0, len(damaged)))]))


@settings(max_examples=200, deadline=None)
@given(head=st.sampled_from([sample[:16] for sample in _SAMPLES] + [b""]), tail=st.binary(max_size=200))
def test_arbitrary_bytes_give_pixels_or_an_image_error(head: bytes, tail: bytes) -> None:
    _decodes_or_refuses(head + tail)


@settings(max_examples=100, deadline=None)
@given(height=st.integers(1, 50), width=st.integers(1, 50), seed=st.integers(0, 2**16))
def test_png_and_npy_of_any_size_decode_to_the_same_pixels(height: int, width: int, seed: int) -> None:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)
    assert np.array_equal(decode(encode(pixels)), pixels)
    assert np.array_equal(decode(npy(pixels)), pixels)


def _decodes_or_refuses(content: bytes) -> None:
    try:
        pixels = decode(content, max_pixels=10_000)
    except ImageError:
        return
    assert pixels.dtype == np.uint8
    assert pixels.shape[2] == 3
    assert pixels.shape[0] * pixels.shape[1] <= 10_000


def _chunk(name: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def test_files_are_closed_over_and_decoded_again() -> None:
    pixels = picture(11, 40, 56)
    image = EncodedImage(encode(pixels, "WEBP", lossless=True))
    np.testing.assert_array_equal(image.decode(), pixels)
    np.testing.assert_array_equal(EncodedImage(io.BytesIO(encode(pixels)).getvalue()).decode(), pixels)
