"""BMP as it comes: palettes, masks of any bits, rows from the top, and runs."""

import struct
import tracemalloc

import numpy as np
import pytest

from clpips.models.images.decoding import decode
from clpips.models.images.errors import PixelTypeError, TruncatedImageError
from loadtest.hostile import making


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


def test_masks_of_a_bmp_are_applied_to_some_rows_at_a_time() -> None:
    rows, masks = bytes(4 * 2**19 * 2), (0xF800, 0x07E0, 0x001F)
    content = bmp(16, rows, masks=masks, height=2**19)
    content = content[:18] + struct.pack("<ii", 2048, 1024) + content[26:]
    tracemalloc.start()
    try:
        assert decode(content).shape == (1024, 2048, 3)
        assert tracemalloc.get_traced_memory()[1] < 12 * 2**21  # bytes, the pixels alone take 3 × 2²¹
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("masks", [(0xF0F0, 0x0F00, 0x000F), (0xFF0000, 0x07E0, 0x001F)])
def test_masks_of_a_bmp_that_its_pixels_do_not_have_are_refused(masks: tuple[int, ...]) -> None:
    with pytest.raises(PixelTypeError, match="a mask with gaps, or of more bits than its pixels"):
        decode(bmp(16, bytes(32), masks=masks))


def test_a_bmp_may_begin_with_its_topmost_row() -> None:
    rows = bytes(range(48))
    np.testing.assert_array_equal(decode(bmp(24, rows, height=-4)), decode(bmp(24, rows))[::-1])


def test_runs_of_a_bmp_draw_what_they_say_and_leave_the_rest_white() -> None:
    runs = b"\x03\x05\x00\x00" + b"\x00\x04\x01\x02\x03\x04" + b"\x00\x00" + b"\x00\x02\x01\x00\x02\x09" + b"\x00\x01"
    shown = decode(making.runs(4, 4, runs))[::-1, :, 0].tolist()
    assert shown == [[5, 5, 5, 255], [1, 2, 3, 4], [255, 9, 9, 255], [255] * 4]
    with pytest.raises(TruncatedImageError, match="runs end"):
        decode(making.runs(4, 4, b"\x03\x05\x00\x00"))
