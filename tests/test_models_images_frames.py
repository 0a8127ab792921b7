"""Files of several pictures: the first one counts, on white where it does not cover the canvas."""

import struct

import numpy as np
from PIL import Image

from clpips.models.images.decoding import decode
from tests.support.pictures import encode, picture

PIXELS = picture(11, 40, 56)


def test_of_a_file_of_several_pictures_the_first_counts() -> None:
    frames = [Image.fromarray(picture(seed, 40)) for seed in (4, 5)]
    first = decode(encode(frames[0], "JPEG"))
    np.testing.assert_array_equal(decode(encode(frames[0], "MPO", save_all=True, append_images=frames[1:])), first)
    np.testing.assert_array_equal(decode(encode(frames[0], "JPEG") + encode(frames[1], "JPEG")), first)


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
