"""Colour profiles: pixels come out in sRGB; plain sRGB and damaged profiles change nothing, and are looked at once."""

import io
import logging
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageCms

from clpips.models.images import profiles
from clpips.models.images.decoding import decode
from clpips.models.images.profiles import Transforms, changes, to_srgb
from tests.support.pictures import encode, picture

SRGB = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
PIXELS = picture(9, 48)

# Colourants of RGB spaces, adapted to D50 (rows: X, Y, Z), and the exponents of their curves.
ADOBE_RGB = ([[0.6097, 0.2053, 0.1492], [0.3111, 0.6257, 0.0632], [0.0195, 0.0609, 0.7446]], 563 / 256)
WIDE = ([[0.5151, 0.2920, 0.1571], [0.2412, 0.6922, 0.0666], [-0.0011, 0.0419, 0.7841]], 2.2)
SRGB_MATRIX = np.array([[0.4361, 0.3851, 0.1431], [0.2225, 0.7169, 0.0606], [0.0139, 0.0971, 0.7142]])


def fixed(number: float) -> bytes:
    return round(number * 65536).to_bytes(4, "big", signed=True)


def profile_of(space: bytes, tags: dict[bytes, bytes], version: int = 2) -> bytes:
    """An ICC profile for a display."""
    start = 128 + 4 + 12 * len(tags)
    table, data = len(tags).to_bytes(4, "big"), b""
    for name, content in tags.items():
        table += name + (start + len(data)).to_bytes(4, "big") + len(content).to_bytes(4, "big")
        data += content + bytes(-len(content) % 4)
    head = bytearray(128)
    head[0:4] = (start + len(data)).to_bytes(4, "big")
    head[8:12] = bytes([version, 0, 0, 0])
    head[12:16], head[16:20], head[20:24], head[36:40] = b"mntr", space, b"XYZ ", b"acsp"
    head[68:80] = fixed(0.9642) + fixed(1.0) + fixed(0.8249)
    return bytes(head) + table + data


def rgb_profile(matrix: list[list[float]], exponent: float) -> bytes:
    curve = b"curv\0\0\0\0\0\0\0\1" + round(exponent * 256).to_bytes(2, "big")
    tags = {b"wtpt": b"XYZ \0\0\0\0" + fixed(0.9642) + fixed(1.0) + fixed(0.8249)}
    for number, name in enumerate((b"rXYZ", b"gXYZ", b"bXYZ")):
        tags[name] = b"XYZ \0\0\0\0" + b"".join(fixed(row[number]) for row in matrix)
    return profile_of(b"RGB ", tags | dict.fromkeys((b"rTRC", b"gTRC", b"bTRC"), curve))


def grey_profile(exponent: float) -> bytes:
    curve = b"curv\0\0\0\0\0\0\0\1" + round(exponent * 256).to_bytes(2, "big")
    return profile_of(b"GRAY", {b"wtpt": b"XYZ \0\0\0\0" + fixed(0.9642) + fixed(1.0) + fixed(0.8249), b"kTRC": curve})


def encoded(linear: NDArray[np.float64]) -> NDArray[np.float64]:
    """sRGB's curve: linear light in [0, 1] → levels in [0, 255]."""
    linear = np.clip(linear, 0, 1)
    return 255 * np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)


def in_srgb(pixels: NDArray[np.uint8], matrix: list[list[float]], exponent: float) -> NDArray[np.float64]:
    """What levels of an RGB space are in sRGB, by the definition of both."""
    light = (pixels / 255.0) ** exponent @ np.array(matrix).T  # (h, w, xyz)
    return encoded(light @ np.linalg.inv(SRGB_MATRIX).T)


@pytest.mark.parametrize("space", [ADOBE_RGB, WIDE], ids=["Adobe RGB", "wide"])
@pytest.mark.parametrize("name", ["PNG", "TIFF", "WEBP"])
def test_colours_of_another_space_come_out_in_srgb(name: str, space: tuple[list[list[float]], float]) -> None:
    muted = (PIXELS // 2 + 64).astype(np.uint8)  # within what sRGB can show
    options: dict[str, Any] = {"lossless": True} if name == "WEBP" else {}
    content = encode(muted, name, icc_profile=rgb_profile(*space), **options)
    assert np.abs(decode(content) - in_srgb(muted, *space)).max() <= 2
    assert np.abs(decode(content).astype(int) - muted).max() > 8  # whoever ignores it is far off


@pytest.mark.parametrize("name", ["JPEG", "AVIF"])
def test_lossy_formats_carry_profiles_too(name: str) -> None:
    muted = (PIXELS // 2 + 64).astype(np.uint8)
    with_profile = decode(encode(muted, name, icc_profile=rgb_profile(*ADOBE_RGB), quality=95))
    without = decode(encode(muted, name, quality=95))
    assert np.abs(with_profile - in_srgb(without, *ADOBE_RGB)).max() <= 2


def test_a_profile_in_many_segments_of_a_jpeg_is_one() -> None:
    profile = rgb_profile(*ADOBE_RGB)
    long = profile + bytes(200_000)  # behind what its head says it has: Pillow writes it into four segments
    muted = (PIXELS // 2 + 64).astype(np.uint8)
    short = decode(encode(muted, "JPEG", icc_profile=profile))
    np.testing.assert_array_equal(decode(encode(muted, "JPEG", icc_profile=long)), short)


def test_greys_of_another_curve_come_out_in_srgb() -> None:
    grey = np.tile(np.arange(0, 256, 5, dtype=np.uint8), (40, 1))
    shown = decode(encode(Image.fromarray(grey), "PNG", icc_profile=grey_profile(1.0)))
    assert np.abs(shown[..., 0] - encoded(grey / 255.0)).max() <= 1
    assert np.array_equal(shown[..., 0], shown[..., 2])


def test_alpha_is_composited_after_the_colours_are_converted() -> None:
    image = Image.fromarray(np.full((40, 40, 3), 100, np.uint8))
    image.putalpha(128)
    shown = decode(encode(image, "PNG", icc_profile=rgb_profile(*WIDE)))
    converted = in_srgb(np.full((1, 1, 3), 100, np.uint8), *WIDE)[0, 0, 0]
    assert abs(shown[0, 0, 0] - (converted * 128 + 255 * 127) / 255) <= 2


@pytest.mark.parametrize("mode", ["P", "L", "CMYK", "RGBA"])
def test_a_profile_of_other_colours_than_the_pixels_is_ignored(mode: str) -> None:
    image = Image.fromarray(PIXELS).convert(mode)
    name = "TIFF" if mode == "CMYK" else "PNG"
    plain = decode(encode(image, name))
    foreign = grey_profile(1.0) if mode != "L" else rgb_profile(*ADOBE_RGB)
    np.testing.assert_array_equal(decode(encode(image, name, icc_profile=foreign)), plain)


@pytest.mark.parametrize(
    "profile",
    [b"x", bytes(128), SRGB[:200], rgb_profile(*ADOBE_RGB)[:-40], profile_of(b"RGB ", {}), profile_of(b"Lab ", {})],
)
def test_a_profile_that_cannot_be_used_is_ignored_and_said_once(
    profile: bytes, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(profiles, "_transforms", Transforms())  # that of the process has seen other tests' profiles
    with caplog.at_level(logging.WARNING, "clpips.images"):
        for _ in range(3):
            np.testing.assert_array_equal(decode(encode(PIXELS, "PNG", icc_profile=profile)), PIXELS)
    assert [record.message for record in caplog.records if "ignored" in record.message] == [caplog.records[0].message]


def test_srgb_changes_nothing_by_whatever_name() -> None:
    assert not changes(SRGB, "RGB")
    assert changes(rgb_profile(*ADOBE_RGB), "RGB")
    image = Image.fromarray(PIXELS)
    assert to_srgb(image, SRGB) is image
    assert to_srgb(image, None) is image


def test_a_profile_that_is_too_large_is_ignored() -> None:
    content = encode(PIXELS, "PNG", icc_profile=rgb_profile(*ADOBE_RGB) + bytes(5 * 2**20))
    np.testing.assert_array_equal(decode(content), PIXELS)


def test_the_least_used_transforms_leave() -> None:
    transforms = Transforms(most=2)
    first = transforms.get(rgb_profile(*ADOBE_RGB), "RGB")
    assert first is not None
    assert transforms.get(rgb_profile(*ADOBE_RGB), "RGB") is first
    for exponent in (1.5, 1.6):
        transforms.get(rgb_profile(ADOBE_RGB[0], exponent), "RGB")
    assert transforms.get(rgb_profile(*ADOBE_RGB), "RGB") is not first


def test_a_bmp_of_version_5_may_embed_a_profile() -> None:
    muted = (PIXELS // 2 + 64).astype(np.uint8)
    stored = np.ascontiguousarray(muted[::-1, :, ::-1]).tobytes()
    profile = rgb_profile(*ADOBE_RGB)
    head = bytearray(124)
    head[0:4], head[4:8], head[8:12] = (
        (124).to_bytes(4, "little"),
        (48).to_bytes(4, "little"),
        (48).to_bytes(4, "little"),
    )
    head[12:16], head[56:60] = bytes([1, 0, 24, 0]), b"DEBM"
    head[112:120] = (124 + len(stored)).to_bytes(4, "little") + len(profile).to_bytes(4, "little")
    file = io.BytesIO(b"BM" + bytes(8) + (138).to_bytes(4, "little") + bytes(head) + stored + profile)
    assert np.abs(decode(file.getvalue()) - in_srgb(muted, *ADOBE_RGB)).max() <= 2
