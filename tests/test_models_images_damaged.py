"""Damaged files: whatever is cut off, missing or changed, they are refused or show all their pixels."""

import itertools
import re
from typing import Any

import numpy as np
import pytest
from PIL import Image

from clpips.models.images.decoding import decode
from clpips.models.images.errors import ImageError, TruncatedImageError
from loadtest.hostile.making import chunk, png, scans_apart
from loadtest.hostile.mutations import fault_of, mutations, samples
from tests.support.pictures import encode, picture


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


@pytest.mark.parametrize("scans", [1, 2])
def test_a_jpeg_that_lacks_the_scans_of_components_is_refused(scans: int) -> None:
    shown = Image.fromarray(picture(9, 64))
    whole = decode(scans_apart(shown)).astype(int)
    assert np.abs(whole - decode(encode(shown, "JPEG", quality=95, subsampling=0))).mean() < 5
    with pytest.raises(TruncatedImageError, match=f"scans of {scans} of its 3 components alone"):
        decode(scans_apart(shown, scans))


def test_a_progressive_jpeg_may_leave_out_what_its_later_scans_refine() -> None:
    content = encode(picture(9, 64), "JPEG", quality=95, progressive=True)
    first, second = (found.start() for found in itertools.islice(re.finditer(rb"\xff\xda", content), 2))
    assert decode(content[:second] + b"\xff\xd9").shape == (64, 64, 3)
    with pytest.raises(TruncatedImageError, match="components"):
        decode(content[:first] + content[second:])


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


@pytest.mark.parametrize("name", samples())
def test_random_mutations_give_pixels_or_an_error_that_says_something(name: str) -> None:
    for content in mutations(name, samples()[name], 150, seed=1):
        assert fault_of(content) == ""
