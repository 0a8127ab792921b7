"""Images at the scoring resolution: resized as Pillow does it, or scored at native size."""

import numpy as np
import pytest
from PIL import Image

from clpips.models.images.decoding import load_image
from clpips.models.images.errors import TooManyPixelsError, TooSmallError
from clpips.models.images.resize import require_native_size, require_resolution, resize
from tests.support.pictures import encode, npy, picture


@pytest.mark.parametrize("size", [(512, 512), (300, 200), (97, 256), (31, 700), (20, 20)])
def test_resizing_is_pillows_antialiased_bicubic(size: tuple[int, int]) -> None:
    pixels = picture(10, *size)
    expected = np.asarray(Image.fromarray(pixels).resize((256, 256), Image.Resampling.BICUBIC))
    assert np.array_equal(load_image(encode(pixels), 256), expected)


def test_an_image_at_the_scoring_resolution_is_left_alone() -> None:
    pixels = picture(11, 256)
    assert load_image(npy(pixels), 256) is not pixels
    assert np.array_equal(load_image(npy(pixels), 256), pixels)


def test_native_size_leaves_the_image_alone() -> None:
    pixels = picture(12, 41, 333)
    assert np.array_equal(load_image(encode(pixels), None), pixels)


def test_a_side_too_small_for_the_network_is_refused_at_native_size() -> None:
    assert load_image(encode(picture(15, 31, 40)), None).shape == (31, 40, 3)
    with pytest.raises(TooSmallError, match="40×30 pixels"):
        load_image(encode(picture(15, 30, 40)), None)


def test_a_resolution_too_small_for_the_network_is_refused() -> None:
    assert resize(picture(15, 64), 31).shape == (31, 31, 3)
    with pytest.raises(TooSmallError, match="resolution of 30"):
        resize(picture(15, 64), 30)


def test_a_size_that_is_refused_names_no_backbone_since_another_may_be_served() -> None:
    with pytest.raises(TooSmallError, match="for the backbone's stages"):
        require_resolution(8)
    with pytest.raises(TooSmallError, match="for the backbone's stages"):
        require_native_size(np.zeros((8, 64, 3), np.uint8))


@pytest.mark.parametrize("resolution", [9460, 10**11])
def test_a_resolution_of_more_pixels_than_a_file_may_have_is_refused(resolution: int) -> None:
    with pytest.raises(TooManyPixelsError, match="9459 or less"):
        load_image(encode(picture(15, 64)), resolution)
