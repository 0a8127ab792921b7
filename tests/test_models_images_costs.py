"""What a file costs to decode: long texts do not matter, and what costs more than it looks is refused or not light."""

import zlib

import numpy as np
import pytest
from PIL import Image

from clpips.models.images.decoding import EncodedImage, decode
from clpips.models.images.errors import TooCostlyError, TooManyPixelsError
from loadtest.hostile import making
from loadtest.hostile.making import chunk, png
from tests.support.pictures import encode, npy, picture

PIXELS = picture(11, 40, 56)


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


def test_a_light_file_is_known_by_its_first_bytes() -> None:
    profile = Image.new("RGB", (40, 40))
    assert EncodedImage(encode(PIXELS)).light
    assert EncodedImage(npy(PIXELS)).light
    assert not EncodedImage(encode(profile, "PNG", icc_profile=b"x")).light
    assert not EncodedImage(encode(Image.fromarray(PIXELS).convert("L"))).light
    assert not EncodedImage(encode(PIXELS, "JPEG")).light
    assert not EncodedImage(png(4096, 2048, bytes((3 * 4096 + 1) * 2048))).light


def test_a_jpeg_of_more_restarts_than_blocks_is_refused() -> None:
    content = encode(picture(3, 64), "JPEG", restart_marker_blocks=1)
    assert decode(content).shape == (64, 64, 3)
    restarts = b"".join(b"\xff" + bytes([0xD0 + number % 8]) for number in range(8))
    count = sum(content.count(b"\xff" + bytes([0xD0 + number])) for number in range(8))
    rest = restarts[2 * (count % 8) :] + restarts * 20
    with pytest.raises(TooCostlyError, match="restarts in a scan"):
        decode(content[:-2] + rest + content[-2:])
