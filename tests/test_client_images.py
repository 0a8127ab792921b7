"""What people hold becomes what is sent: to the pixels that the service would have made, or refused with what to do."""

import io
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clpips_client import BadImagesError, Picture, Unit
from clpips_client.pictures import pictures_of
from clpips_client.pixels import is_tensor
from clpips_client.resizing import resized
from clpips_client.showing import png
from clpips_client.splitting import pictures_at
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from clpips.models.images.decoding import decode, load_image
from clpips.models.images.resize import resize
from tests.support.pictures import Pixels, encode, picture

PIXELS = picture(1, 40, 50)


def scored(sent: Picture, resolution: int | None = None) -> Pixels:
    """The pixels that the service scores of what is sent."""
    assert sent.content is not None
    return decode(sent.content) if resolution is None else load_image(sent.content, resolution)


def one(thing: Any, resolution: int | None = None) -> Picture:
    (found,) = pictures_of([thing], resolution)
    return found


def refusal(thing: Any) -> str:
    with pytest.raises(BadImagesError) as caught:
        pictures_of([thing], 256)
    assert caught.value.indices == [0]
    assert caught.value.status is None
    return str(caught.value)


def test_a_file_is_sent_as_it_is(tmp_path: Path) -> None:
    content = encode(PIXELS, "JPEG")
    path = tmp_path / "a.jpg"
    path.write_bytes(content)
    for held in (path, str(path), content, bytearray(content), memoryview(content)):
        assert one(held, 8).content == content


@pytest.mark.parametrize("grey", [PIXELS[:, :, 0], PIXELS[:, :, :1]], ids=["HW", "HW1"])
def test_grey_has_three_equal_channels(grey: Pixels) -> None:
    assert np.array_equal(scored(one(grey)), np.repeat(PIXELS[:, :, :1], 3, axis=2))


def test_lists_and_batches_and_lists_of_batches_keep_their_order() -> None:
    batch = np.stack([picture(seed, 32) for seed in range(4)])
    expected = [one(image).name for image in batch]
    for held in (batch, list(batch), [batch[:2], batch[2], [batch[3]]], (image for image in batch)):
        assert [each.name for each in pictures_of(held, None)] == expected


@given(
    arrays.arrays(np.uint8, st.tuples(st.integers(1, 90), st.integers(1, 90), st.just(3))), st.sampled_from([32, 64])
)
def test_what_is_resized_here_are_the_services_own_pixels_to_the_bit(pixels: Pixels, resolution: int) -> None:
    sent = one(pixels, resolution)
    assert np.array_equal(scored(sent, resolution), resize(pixels, resolution))


def test_a_large_array_is_resized_before_it_is_sent_and_a_small_one_is_not() -> None:
    assert scored(one(picture(1, 512), 64)).shape == (64, 64, 3)
    assert scored(one(picture(1, 32), 64)).shape == (32, 32, 3)
    assert scored(one(picture(1, 512), None)).shape == (512, 512, 3)


def test_without_pillow_pixels_are_sent_whole() -> None:
    code = (
        "import sys; sys.modules['PIL'] = None\n"
        "import numpy as np\nfrom clpips_client.resizing import resized\n"
        "print(resized(np.zeros((512, 512, 3), np.uint8), 64).shape)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "(512, 512, 3)"
    assert resized(np.zeros((512, 512, 3), np.uint8), 64).shape == (64, 64, 3)


def turned(image: Image.Image) -> bytes:
    exif = image.getexif()
    exif[0x0112] = 6
    return encode(image, "PNG", exif=exif)


RGB = Image.fromarray(PIXELS)
ALPHA = Image.fromarray(np.dstack([PIXELS, PIXELS[:, :, 0]]))


@pytest.mark.parametrize(
    "content",
    [
        encode(RGB),
        encode(RGB, "JPEG"),
        encode(RGB.convert("L")),
        encode(RGB.convert("1")),
        encode(RGB.quantize(16)),
        encode(ALPHA),
        encode(ALPHA.convert("LA")),
        encode(ALPHA.quantize(16)),
        encode(RGB.convert("CMYK"), "TIFF"),
        encode(RGB, transparency=tuple(int(level) for level in PIXELS[0, 0])),
        turned(RGB),
    ],
    ids=["RGB", "JPEG", "L", "1", "P", "RGBA", "LA", "PA", "CMYK", "transparency", "orientation"],
)
def test_an_opened_image_counts_for_what_its_file_does(content: bytes) -> None:
    with Image.open(io.BytesIO(content)) as image:
        assert np.array_equal(scored(one(image)), decode(content))


def test_a_profile_of_an_opened_image_goes_with_it() -> None:
    from PIL import ImageCms

    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    content = encode(RGB, "PNG", icc_profile=profile)
    with Image.open(io.BytesIO(content)) as image:
        sent = one(image, 32)
    assert sent.content is not None
    with Image.open(io.BytesIO(sent.content)) as arrived:
        assert arrived.info["icc_profile"] == profile


def test_floats_are_taken_where_levels_prove_that_they_are_in_unit_range() -> None:
    for floats in (PIXELS / 255, (PIXELS / 255).astype(np.float32), (PIXELS / 255).astype(np.float16)):
        assert np.array_equal(scored(one(floats)), PIXELS)


@given(arrays.arrays(np.uint8, (4, 4, 3)))
def test_no_image_in_another_range_is_taken_for_one_in_unit_range(levels: Pixels) -> None:
    for floats in (levels / 127.5 - 1, levels.astype(np.float32)):
        with pytest.raises(BadImagesError):
            pictures_of([floats], None)


def test_floats_that_prove_nothing_need_to_be_stated() -> None:
    floats = np.linspace(0, 1, 40 * 50 * 3, dtype=np.float32).reshape(40, 50, 3)
    assert "clpips_client.Unit(x)" in refusal(floats)
    assert np.array_equal(scored(one(Unit(floats))), np.rint(floats * 255).astype(np.uint8))


@pytest.mark.parametrize(
    ("thing", "advice"),
    [
        (PIXELS / 127.5 - 1, "Unit((x + 1) / 2)"),
        (Unit(PIXELS / 127.5 - 1), "Unit((x + 1) / 2)"),
        (PIXELS.astype(np.float32), "x.round().astype('uint8')"),
        (np.full((8, 8, 3), np.nan), "not finite"),
        (PIXELS.astype(np.int64), "x.astype('uint8')"),
        (PIXELS > 9, "x.astype('uint8') * 255"),
        (PIXELS.transpose(2, 0, 1), "x.transpose(1, 2, 0)"),
        (PIXELS.transpose(2, 0, 1)[None], "x.transpose(0, 2, 3, 1)"),
        (np.zeros((8, 8, 2), np.uint8), "1, 3 or 4 channels"),
        (np.zeros((0, 8, 3), np.uint8), "no pixels"),
        (np.zeros(8, np.uint8), "an image is (H, W, 3)"),
        (Unit("a.png"), "Unit is for arrays"),
        (Image.fromarray(PIXELS[:, :, 0].astype(np.float32)), "image.convert('L')"),
        ("nowhere.png", "No such file"),
        (7, "give a path"),
        (None, "give a path"),
    ],
)
def test_what_could_be_mistaken_is_refused_with_what_to_do(thing: Any, advice: str) -> None:
    assert advice in refusal(thing)


def test_all_bad_images_are_named_by_their_places() -> None:
    with pytest.raises(BadImagesError) as caught:
        pictures_at([("/target", ["nowhere.png"]), ("/candidates/{}", [PIXELS, 7, PIXELS, None])], None)
    assert [fault.pointer for fault in caught.value.faults] == ["/target", "/candidates/1", "/candidates/3"]
    assert caught.value.indices == [1, 3]


def test_png_thumbnails_are_png() -> None:
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(png(PIXELS)))), PIXELS)


def test_nothing_is_a_tensor_where_torch_is_not_imported() -> None:
    code = (
        "import sys, clpips_client.pixels as p; print(p.is_tensor([1]), 'torch' in sys.modules, 'PIL' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["False", "False", "False"]


@pytest.mark.torch
class TestTensors:
    def test_channels_may_come_first_or_last_alone_or_in_a_batch(self) -> None:
        import torch

        last = torch.from_numpy(np.stack([PIXELS, PIXELS[::-1].copy()]))  # as ComfyUI has them, (B, H, W, C)
        first = last.permute(0, 3, 1, 2)
        assert is_tensor(last)
        expected = [one(PIXELS).name, one(PIXELS[::-1]).name]
        for batch in (last, first, last / 255, first / 255, (last / 255).half(), list(first)):
            assert [each.name for each in pictures_of(batch, None)] == expected

    def test_a_shape_that_can_be_either_needs_to_be_stated(self) -> None:
        import torch

        strip = torch.from_numpy(picture(1, 40, 50)[:3, :, :]).permute(0, 2, 1)[:, :, :3] / 255  # (3, 3, 3)
        assert "say which" in refusal(strip)
        assert scored(one(Unit(strip, layout="CHW"))).shape == (3, 3, 3)

    def test_bfloat16_and_gradients_are_no_hindrance(self) -> None:
        import torch

        floats = torch.rand(3, 16, 16, dtype=torch.bfloat16).requires_grad_()
        assert scored(one(Unit(floats))).shape == (16, 16, 3)
