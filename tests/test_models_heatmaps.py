"""Heat maps: their mean is the distance, bilinear ones are the `lpips` package's, and their colours are told apart."""

import io
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from clpips.models.engines.contract import Engine
from clpips.models.engines.opening import open_engine
from clpips.models.images.heat import INFERNO, heat_levels, heat_png, overlay_png
from clpips.models.metric.distance import weigh
from clpips.models.metric.families import PLACES
from clpips.models.metric.spatial import UPSAMPLINGS, Upsampling, heat_map
from clpips.models.metric.weights_files import load_weights
from tests.support.pictures import picture, variation

LPIPS = load_weights("lpips").values
BALANCED = load_weights("balanced").values
SIZES = [(64, 64), (256, 256), (97, 130), (31, 200)]


def located(engine: Engine, height: int, width: int, weights: NDArray[np.float32]) -> tuple[list[Any], float]:
    """A pair's map a layer, and the aligned part of its distance."""
    target = picture(1, height, width)
    a, b = engine.embed([target, variation(target, 2, 0.5)])
    aligned = PLACES["aligned"]
    part = weigh(engine.compare([a], [b])[:, aligned], weights[aligned])[0]
    return engine.locate(a, b, weights[aligned]), float(part)


@pytest.mark.parametrize("weights", [LPIPS, BALANCED], ids=["lpips", "balanced"])
@pytest.mark.parametrize("size", SIZES)
def test_the_mean_of_a_nearest_map_is_the_aligned_part_of_the_distance(
    engine: Engine, size: tuple[int, int], weights: NDArray[np.float32]
) -> None:
    layers, part = located(engine, *size, weights)
    values = heat_map(layers, *size)
    assert values.shape == size
    assert values.dtype == np.float32
    assert values.mean(dtype=np.float64) == pytest.approx(part, abs=1e-6)


@pytest.mark.torch
@pytest.mark.parametrize("size", SIZES)
def test_a_bilinear_map_is_the_one_of_the_package(engine: Engine, size: tuple[int, int]) -> None:
    import torch

    from loadtest.kit.reference import load_lpips

    target = picture(1, *size)
    pair = (target, variation(target, 2, 0.5))
    reference = load_lpips(spatial=True)
    inputs = [torch.from_numpy(one).permute(2, 0, 1)[None].float() / 127.5 - 1 for one in pair]
    expected = reference(*inputs)[0, 0].numpy()
    layers, _ = located(engine, *size, LPIPS)
    np.testing.assert_allclose(heat_map(layers, *size, "bilinear"), expected, atol=1e-5)


@pytest.mark.torch
def test_the_engines_have_the_same_map(engine: Engine) -> None:
    other = open_engine("torch", "cpu")
    for ours, theirs in zip(located(engine, 97, 130, LPIPS)[0], located(other, 97, 130, LPIPS)[0], strict=True):
        np.testing.assert_allclose(ours, theirs, atol=1e-5)
    other.close()


grids = st.tuples(st.integers(1, 12), st.integers(1, 12))


@settings(deadline=None)
@given(st.lists(grids, min_size=1, max_size=5), st.tuples(st.integers(12, 40), st.integers(12, 40)), st.integers(0, 99))
def test_a_map_of_any_size_keeps_the_means_of_its_layers(
    sizes: list[tuple[int, int]], pixels: tuple[int, int], seed: int
) -> None:
    layers = [np.random.default_rng(seed).random(size, np.float32) for size in sizes]
    values = heat_map(layers, *pixels)
    assert values.mean(dtype=np.float64) == pytest.approx(sum(one.mean(dtype=np.float64) for one in layers), abs=1e-6)
    assert values.min() >= 0


@pytest.mark.torch
@settings(deadline=None)
@given(grids, st.tuples(st.integers(12, 40), st.integers(12, 40)))
def test_bilinear_upsampling_is_pytorchs(size: tuple[int, int], pixels: tuple[int, int]) -> None:
    import torch

    layer = np.random.default_rng(0).random(size, np.float32)
    expected = torch.nn.functional.interpolate(torch.from_numpy(layer)[None, None], size=pixels, mode="bilinear")
    np.testing.assert_allclose(heat_map([layer], *pixels, "bilinear"), expected[0, 0].numpy(), atol=1e-5)


@pytest.mark.parametrize("upsampling", UPSAMPLINGS)
def test_identical_images_differ_nowhere(engine: Engine, upsampling: Upsampling) -> None:
    one, other = engine.embed([picture(1, 64)] * 2)
    assert not heat_map(engine.locate(one, other, LPIPS[PLACES["aligned"]]), 64, 64, upsampling).any()


def test_a_map_is_largest_where_the_images_differ(engine: Engine) -> None:
    target = picture(1, 256)
    candidate = target.copy()
    candidate[160:224, 32:96] = picture(2, 64)
    a, b = engine.embed([target, candidate])
    values = heat_map(engine.locate(a, b, LPIPS[PLACES["aligned"]]), 256, 256)
    assert values[160:224, 32:96].mean() > 10 * values[:128, 128:].mean()


# --- colours ----------------------------------------------------------------------------------------------------------


def lightness(colours: NDArray[np.uint8]) -> NDArray[np.float64]:
    """CIE L* of sRGB colours `(n, 3)`."""
    linear = np.where(colours <= 10, colours / 255 / 12.92, ((colours / 255 + 0.055) / 1.055) ** 2.4)
    luminance = linear @ [0.2126, 0.7152, 0.0722]
    return np.where(luminance > 0.008856, 116 * np.cbrt(luminance) - 16, 903.3 * luminance)


def test_equal_steps_on_the_colour_map_are_equal_steps_of_lightness() -> None:
    steps = np.diff(lightness(INFERNO)[::16])
    assert (steps > 0).all()
    assert steps.std() < 0.2 * steps.mean()


def test_the_colour_map_is_inferno() -> None:
    colormaps = pytest.importorskip("matplotlib").colormaps
    original = colormaps["inferno"](np.arange(256), bytes=True)[:, :3]
    assert np.abs(INFERNO.astype(int) - original).max() <= 2


def test_values_beyond_the_legend_have_its_last_colour_and_a_flat_map_is_dark() -> None:
    assert heat_levels(np.array([[0, 1, 5]], np.float32), 2.0).tolist() == [[0, 128, 255]]
    assert heat_levels(np.zeros((1, 2), np.float32), 0.0).tolist() == [[0, 0]]
    assert heat_levels(np.array([[0, 1]], np.float32), 5e-324).tolist() == [[0, 255]]


def test_a_picture_shows_each_value_in_its_colour() -> None:
    values = np.linspace(0, 1, 256, dtype=np.float32).reshape(16, 16)
    shown = np.asarray(Image.open(io.BytesIO(heat_png(values, 1.0))).convert("RGB"))
    np.testing.assert_array_equal(shown.reshape(-1, 3), INFERNO)


def test_an_overlay_goes_from_the_image_in_grey_to_the_map() -> None:
    image = picture(3, 40, 50)
    values = np.random.default_rng(0).random((40, 50), np.float32)
    clear, half, full = (
        np.asarray(Image.open(io.BytesIO(overlay_png(values, 1.0, image, opacity))), float) for opacity in (0, 0.5, 1)
    )
    assert np.ptp(clear, axis=2).max() == 0
    np.testing.assert_array_equal(full, INFERNO[heat_levels(values, 1.0)])
    np.testing.assert_allclose(half, (clear + full) / 2, atol=0.5)
