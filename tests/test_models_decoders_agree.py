"""Whatever Pillow, imgread and pypng agree on is what we give; docs/images.md says what we give where they do not."""

import io
import warnings
from typing import Any

import numpy as np
import png
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from clpips.models.images.decoding import decode
from tests.support.pictures import encode

Shown = NDArray[np.uint8] | None  # RGB `(h, w, 3)`; None where a decoder refuses, or shows alpha

MODES = st.sampled_from(["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "CMYK"])
SIDES = st.integers(1, 40)


def by_pillow(content: bytes) -> Shown:
    """Pillow's pixels where there is neither alpha nor 16 bits, of which it has ideas of its own."""
    with Image.open(io.BytesIO(content)) as image:
        if image.has_transparency_data or image.mode.startswith("I"):
            return None
        return np.asarray(image.convert("RGB"))


def by_imgread(content: bytes) -> Shown:
    """imgread's pixels; of files with alpha it gives the colours alone."""
    imgread = pytest.importorskip("imgread", reason="needs imgread: pip install -e '.[decode]'")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says which of its decoders it tried first
        try:
            pixels: NDArray[np.uint8] = imgread.load_numpy_from_bytes(content)
        except (ValueError, OSError, RuntimeError):
            return None
    return pixels


def by_pypng(content: bytes) -> Shown:
    """pypng's pixels on white, the high byte of 16 bits; None where the file is no PNG."""
    if not content.startswith(b"\x89PNG"):
        return None
    width, height, rows, told = png.Reader(bytes=content).asDirect()
    samples = np.vstack([*map(np.asarray, rows)]).reshape(height, width, told["planes"]).astype(np.uint32)
    if told["bitdepth"] == 16:
        samples >>= 8
    else:
        samples = samples * 255 // (2 ** told["bitdepth"] - 1)
    colours = samples[..., :-1] if told["alpha"] else samples
    colours = np.repeat(colours, 3, axis=2) if told["greyscale"] else colours
    if told["alpha"]:
        alpha = samples[..., -1:]
        if not np.isin(alpha, (0, 255)).all():
            return None  # every decoder rounds as it likes
        colours = np.where(alpha == 0, 255, colours)
    return colours.astype(np.uint8)


def picture_of(mode: str, height: int, width: int, seed: int) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 4), np.uint8)
    if mode == "I;16":
        return Image.fromarray(pixels[..., 0].astype(np.uint16) << 8 | pixels[..., 1])
    image = Image.fromarray(pixels[..., :3])
    if mode in {"LA", "RGBA"}:
        image.putalpha(Image.fromarray(pixels[..., 3]))
    return image.quantize(64) if mode == "P" else image.convert(mode)


def assert_as_others(content: bytes, *, two: bool = True) -> None:
    """Ours is what all decoders show that show anything, where they agree."""
    shown = [pixels for pixels in (by_pillow(content), by_imgread(content), by_pypng(content)) if pixels is not None]
    if len(shown) < 1 + two or any(not np.array_equal(shown[0], other) for other in shown[1:]):
        return
    np.testing.assert_array_equal(decode(content), shown[0])


@given(mode=MODES, height=SIDES, width=SIDES, seed=st.integers(0, 99), level=st.integers(0, 9))
@settings(max_examples=200, deadline=None)
def test_a_png_shows_what_all_decoders_show(mode: str, height: int, width: int, seed: int, level: int) -> None:
    if mode != "CMYK":
        assert_as_others(encode(picture_of(mode, height, width, seed), "PNG", compress_level=level))


@given(data=st.data(), height=SIDES, width=SIDES, seed=st.integers(0, 99))
@settings(max_examples=300, deadline=None)
def test_a_png_of_any_depth_colour_and_transparency_shows_what_pypng_shows(
    data: st.DataObject, height: int, width: int, seed: int
) -> None:
    colour = data.draw(st.sampled_from(["grey", "rgb", "palette", "grey+alpha", "rgb+alpha"]))
    depth = data.draw(st.sampled_from({"grey": [1, 2, 4, 8, 16], "palette": [1, 2, 4, 8]}.get(colour, [8, 16])))
    rng = np.random.default_rng(seed)
    planes = {"grey": 1, "rgb": 3, "palette": 1, "grey+alpha": 2, "rgb+alpha": 4}[colour]
    most = 2 ** min(depth, 3)  # few levels, so that the transparent one occurs
    samples = rng.integers(0, most, (height, width, planes))
    samples[..., -1] *= (2**depth - 1) // (most - 1) if "alpha" in colour else 1
    options: dict[str, Any] = {}
    if colour in {"grey", "rgb"} and data.draw(st.booleans()):
        options["transparent"] = [int(level) for level in samples[0, 0]] if planes == 3 else int(samples[0, 0, 0])
    if colour == "palette":
        alpha = data.draw(st.booleans())
        entries = rng.integers(0, 256, (2**depth, 3)).tolist()
        options["palette"] = [tuple(entry) + ((255 * int(rng.integers(2)),) if alpha else ()) for entry in entries]
    writer = png.Writer(
        width,
        height,
        bitdepth=depth,
        greyscale=colour.startswith("grey"),
        alpha="alpha" in colour,
        interlace=data.draw(st.booleans()),
        **options,
    )
    file = io.BytesIO()
    writer.write(file, samples.reshape(height, -1).tolist())
    shown = by_pypng(file.getvalue())
    assert shown is not None or "alpha" in colour
    if shown is not None:
        np.testing.assert_array_equal(decode(file.getvalue()), shown)


@given(
    mode=st.sampled_from(["L", "RGB"]),
    height=SIDES,
    width=SIDES,
    seed=st.integers(0, 99),
    quality=st.integers(1, 100),
    subsampling=st.integers(0, 2),
    progressive=st.booleans(),
)
@settings(max_examples=150, deadline=None)
def test_a_jpeg_shows_what_all_decoders_show(
    mode: str, height: int, width: int, seed: int, quality: int, subsampling: int, progressive: bool
) -> None:
    image = picture_of(mode, height, width, seed)
    content = encode(image, "JPEG", quality=quality, subsampling=subsampling, progressive=progressive)
    assert_as_others(content)
    np.testing.assert_array_equal(decode(content), np.asarray(Image.open(io.BytesIO(content)).convert("RGB")))


@given(
    mode=st.sampled_from(["L", "RGB", "1", "P"]),
    height=SIDES,
    width=SIDES,
    seed=st.integers(0, 99),
    name=st.sampled_from(["TIFF", "BMP", "GIF", "WEBP"]),
)
@settings(max_examples=200, deadline=None)
def test_other_formats_show_what_all_decoders_show(mode: str, height: int, width: int, seed: int, name: str) -> None:
    options = {"lossless": True} if name == "WEBP" else {}
    assert_as_others(encode(picture_of(mode, height, width, seed), name, **options), two=False)
