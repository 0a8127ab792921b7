"""Masks: a region counts, the rest does not, on every layer's grid by area."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from PIL import Image

from clpips.models.engines.contract import Engine, EngineName
from clpips.models.engines.opening import open_engine
from clpips.models.images.errors import ImageError, PixelTypeError, TooManyPixelsError, TruncatedImageError
from clpips.models.images.mask_files import load_mask
from clpips.models.metric.content import content_statistics
from clpips.models.metric.families import ALEXNET, CONTENT, FAMILIES_OF, NETWORK_PLACES, NETWORKS, PLACES
from clpips.models.metric.masked import masked_content_distances, masked_distances
from clpips.models.metric.masks import BLOCK_ROWS, Mask, MaskError, region
from clpips.models.metric.spatial import heat_map
from clpips.models.metric.weights_files import load_weights
from tests.support.pictures import encode, npy, picture, variation

sides = st.integers(1, 40)


def maps_of(engine: Engine, images: list[Any]) -> list[Any]:
    """Features whose maps can be read: those of the engine of the default install."""
    return list(engine.embed(images))


@given(sides, sides, st.integers(1, 12), st.integers(1, 12), st.integers(0, 99))
def test_a_position_counts_with_the_mean_of_the_mask_over_its_part(
    height: int, width: int, rows: int, columns: int, seed: int
) -> None:
    values = np.random.default_rng(seed).integers(0, 256, (height, width), np.uint8)
    values[0, 0] = 1
    shares = Mask(values).shares(rows, columns)
    fine = values.repeat(rows, 0).repeat(columns, 1).astype(float)  # each cell is a whole number of these
    means = fine.reshape(rows, height, columns, width).mean(axis=(1, 3))
    np.testing.assert_allclose(shares, means / means.sum(), atol=1e-6)


def test_a_mask_of_many_rows_is_summed_block_by_block() -> None:
    values = np.random.default_rng(0).integers(0, 256, (3 * BLOCK_ROWS + 5, 40), np.uint8)
    shares = Mask(values).shares(7, 10)
    fine = values.repeat(7, 0).astype(float)  # each cell is a whole number of these rows, and of four columns
    means = fine.reshape(7, len(values), 10, 4).mean(axis=(1, 3))
    np.testing.assert_allclose(shares, means / means.sum(), atol=1e-6)
    np.testing.assert_array_equal(Mask(values).on([(7, 10)]).shares(7, 10), shares)


def test_a_mask_of_one_value_counts_as_none(engine: Engine) -> None:
    target = picture(1, 96)
    a, b = maps_of(engine, [target, variation(target, 2, 0.5)])
    within = masked_distances(a.taps, b.taps, Mask(np.full((96, 96), 100, np.uint8)))
    np.testing.assert_allclose(within, engine.compare([a], [b])[0], atol=1e-6)
    assert region(np.full((96, 96), 255, np.uint8)) is None


def test_what_a_mask_hides_makes_no_difference(engine: Engine) -> None:
    target = picture(1, 256)
    candidate = target.copy()
    candidate[:, 192:] = picture(2, 256)[:, 192:]
    hidden = np.full((256, 256), 255, np.uint8)
    hidden[:, 96:] = 0  # and what the positions beside it see of the change
    a, b = maps_of(engine, [target, candidate])
    within = masked_distances(a.taps, b.taps, Mask(hidden))
    shown = masked_distances(a.taps, b.taps, Mask(255 - hidden))
    for name in FAMILIES_OF[ALEXNET]:
        assert within[PLACES[name]].sum() < 1e-3 * shown[PLACES[name]].sum()


def test_content_statistics_are_those_of_the_region() -> None:
    rng = np.random.default_rng(0)
    maps = rng.random((2, 1280, 6, 6), np.float32)
    mask = np.zeros((60, 60), np.uint8)
    mask[:30, 20:] = 255
    found = masked_content_distances(maps[0], maps[1], Mask(mask))
    expected = content_statistics(np.ascontiguousarray(maps[:, :, :3, 2:]))
    np.testing.assert_allclose(found[NETWORK_PLACES[CONTENT]], np.square(expected[0] - expected[1]).ravel(), atol=1e-9)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (np.zeros((8, 8), np.uint8), "0 everywhere"),
        (np.ones((8, 8), np.float32), "float32"),
        (np.ones((8, 8, 3), np.uint8), r"\(8, 8, 3\)"),
        (np.ones((8, 8), np.uint16), "uint16"),
        (np.ones((0, 8), np.uint8), r"\(0, 8\)"),
    ],
)
def test_a_mask_that_is_none_is_refused_and_named(values: NDArray[np.generic], said: str) -> None:
    with pytest.raises(MaskError, match=said):
        region(values)


@pytest.mark.parametrize("name", ["onnx", pytest.param("torch", marks=pytest.mark.torch)])
def test_an_engine_compares_and_locates_within_a_mask(name: EngineName) -> None:
    engine = open_engine(name, "cpu")
    target = picture(1, 96)
    pair = [target, variation(target, 2, 0.5)]
    mask = Mask(np.random.default_rng(0).integers(0, 256, (96, 96), np.uint8))
    even = Mask(np.full((96, 96), 128, np.uint8))
    for network in NETWORKS:
        a, b = engine.embed(pair, network=network)
        np.testing.assert_allclose(engine.compare_within(a, b, even), engine.compare([a], [b])[0], atol=1e-6)
        assert not engine.compare_within(a, a, mask).any()
        assert engine.compare_within(a, b, mask, frozenset()).sum() == 0
    a, b = engine.embed(pair)
    weights = load_weights().values[PLACES["aligned"]]
    values = heat_map(engine.locate(a, b, weights, mask), 96, 96)
    part = engine.compare_within(a, b, mask)[PLACES["aligned"]] @ weights
    assert values.mean(dtype=np.float64) == pytest.approx(part, abs=1e-6)
    engine.close()


# --- files ------------------------------------------------------------------------------------------------------------

GREY = np.random.default_rng(1).integers(0, 256, (20, 30), np.uint8)


@pytest.mark.parametrize("content", [npy(GREY), encode(Image.fromarray(GREY)), npy(np.asfortranarray(GREY))])
def test_a_mask_comes_as_a_grey_image_or_an_array(content: bytes) -> None:
    found = load_mask(content, (20, 30))
    assert found is not None
    np.testing.assert_array_equal(found.values, GREY)


@pytest.mark.parametrize(
    ("content", "error", "said"),
    [
        (b"", ImageError, "no bytes|empty"),
        (encode(picture(1, 20, 30)), PixelTypeError, "has colours"),
        (npy(picture(1, 20, 30)), PixelTypeError, r"uint8 \(20, 30, 3\)"),
        (npy(GREY.astype(np.float32)), PixelTypeError, "float32"),
        (npy(GREY)[:-1], TruncatedImageError, "600 bytes"),
        (encode(Image.fromarray(GREY.astype(np.uint16) << 8)), PixelTypeError, "16 bits"),
        (npy(GREY[:10]), MaskError, "30×10 pixels and its target 30×20"),
        (npy(np.zeros_like(GREY)), MaskError, "0 everywhere"),
        (encode(Image.new("L", (2000, 2000))), TooManyPixelsError, "the limit is 1,000"),
        (npy(np.zeros((100, 100), np.uint8)), TooManyPixelsError, "the limit is 1,000"),
    ],
)
def test_a_hostile_mask_has_an_error_with_a_name(content: bytes, error: type[Exception], said: str) -> None:
    with pytest.raises(error, match=said):
        load_mask(content, (20, 30), max_pixels=1000)
