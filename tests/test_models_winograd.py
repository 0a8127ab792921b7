"""Winograd's convolutions: the same features as direct ones, whatever the size of the images and their company."""

from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from clpips.models.engines.contract import Engine, EngineError
from clpips.models.engines.onnx_alexnet import RUN_IMAGES, WINOGRAD_PIXELS
from clpips.models.engines.opening import open_engine
from clpips.models.engines.winograd.choosing import WORTH, Choice, measured
from clpips.models.engines.winograd.tiles import FIVE, THREE, Tiling, places
from clpips.models.metric.distance import weigh
from clpips.models.metric.weights_files import load_weights
from tests.support.pictures import picture, variation

SIDE = 256
WEIGHTS = {name: load_weights(name).values for name in ("lpips", "balanced")}


@pytest.fixture(scope="module")
def winograd() -> Iterator[Engine]:
    engine = open_engine("onnx", "cpu", convolution="winograd", threads=2)
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def direct() -> Iterator[Engine]:
    engine = open_engine("onnx", "cpu", convolution="direct")
    yield engine
    engine.close()


def same_bits(left: Sequence[Any], right: Sequence[Any]) -> bool:
    """Whether two lists of features have the same maps and statistics, to the bit."""
    return all(
        np.array_equal(a, b)
        for one, other in zip(left, right, strict=True)
        for a, b in zip([*one.taps, one.statistics], [*other.taps, other.statistics], strict=True)
    )


def pairs_of_all_kinds(count: int, side: int = SIDE) -> tuple[list[NDArray[np.uint8]], list[NDArray[np.uint8]]]:
    """Targets and candidates: a grey level apart, a pixel apart, noisy, saturated, flat, strangers, noise."""
    rng = np.random.default_rng(0)
    targets, candidates = [], []
    for seed in range(count):
        image, other = picture(seed, side), picture(seed + 1000, side)
        saturated = np.where(image > 128, 255, 0).astype(np.uint8)
        pixel = image.copy()
        pixel[side // 2, side // 2] ^= 1
        noise = rng.integers(0, 256, image.shape, dtype=np.uint8)
        kinds = [
            (image, np.clip(image.astype(int) + 1, 0, 255).astype(np.uint8)),
            (image, pixel),
            (image, variation(image, seed, 0.1)),
            (image, saturated),
            (saturated, np.where(other > 128, 255, 0).astype(np.uint8)),
            (np.full_like(image, 255), image),
            (np.full_like(image, seed % 255), np.full_like(image, seed % 255 + 1)),
            (image, other),
            (image, noise),
            (rng.integers(0, 256, image.shape, dtype=np.uint8), noise),
        ]
        targets += [target for target, _ in kinds]
        candidates += [candidate for _, candidate in kinds]
    return targets, candidates


@pytest.mark.torch
def test_distances_are_those_of_float64() -> None:
    from loadtest.kit.exactness import distances_in_float64

    targets, candidates = pairs_of_all_kinds(1, side=192)
    engine = open_engine("onnx", "cpu", convolution="winograd")
    z = engine.compare(engine.embed(targets), engine.embed(candidates))
    engine.close()
    reference = distances_in_float64(targets, candidates, np.stack(list(WEIGHTS.values())))  # (n, 2)
    for (name, weights), expected in zip(WEIGHTS.items(), reference.T, strict=True):
        found = weigh(z, weights)
        assert np.abs(found - expected).max() <= 1e-6, name
        order = np.argsort(expected)
        for nearer, farther in pairwise(order):
            assert found[nearer] < found[farther] or expected[farther] - expected[nearer] <= 1e-6, name


@settings(max_examples=12, deadline=None)
@given(
    height=st.integers(120, 300),
    width=st.integers(120, 300),
    seed=st.integers(0, 2**32 - 1),
    contrast=st.sampled_from([0, 1, 20, 255]),
    strength=st.sampled_from([0.0, 0.01, 0.3, 1.0]),
)
def test_both_ways_to_convolve_give_the_same_distances(
    winograd: Engine, direct: Engine, height: int, width: int, seed: int, contrast: int, strength: float
) -> None:
    target = (picture(seed % 1000, height, width).astype(int) * contrast // 255).astype(np.uint8)
    noise = np.random.default_rng(seed).integers(0, 256, target.shape, dtype=np.uint8)
    candidate = (target * (1 - strength) + noise * strength).round().astype(np.uint8)
    first, second = (engine.compare(engine.embed([target]), engine.embed([candidate])) for engine in (winograd, direct))
    for weights in WEIGHTS.values():
        assert abs(weigh(first, weights)[0] - weigh(second, weights)[0]) <= 1e-6
    if np.array_equal(target, candidate):
        assert not first.any()


@pytest.mark.parametrize("size", [(256, 256), (161, 230), (400, 300)])
def test_bits_do_not_depend_on_the_batch_nor_on_its_neighbours(winograd: Engine, size: tuple[int, int]) -> None:
    images = [picture(seed, *size) for seed in range(2 * RUN_IMAGES + 1)]
    together = winograd.embed(images)
    assert same_bits(together, [winograd.embed([image])[0] for image in images])  # on all cores
    assert same_bits(together, [winograd.embed([image], more=True)[0] for image in images])  # on one
    assert same_bits(together[::-1], winograd.embed(images[::-1]))
    assert same_bits(together[:2], winograd.embed(images[:2]))


def test_images_outside_of_its_sizes_are_convolved_directly(winograd: Engine, direct: Engine) -> None:
    for side in (64, 128):
        assert side**2 not in WINOGRAD_PIXELS
        images = [picture(seed, side) for seed in range(3)]
        assert same_bits(winograd.embed(images), direct.embed(images))
    assert 256**2 in WINOGRAD_PIXELS
    image = [picture(0, 256)]
    assert not same_bits(winograd.embed(image), direct.embed(image))


def test_an_engine_says_how_it_convolves(winograd: Engine, direct: Engine) -> None:
    assert (winograd.convolution, direct.convolution) == ("winograd", "direct")
    assert (winograd.batch, direct.batch) == (2, 1)


def test_what_is_measured_decides_and_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level("INFO", logger="clpips.models.engines"):
        engine = open_engine("onnx", "cpu", convolution="auto")
    (message,) = [record.getMessage() for record in caplog.records if "convolutions" in record.getMessage()]
    assert message.startswith({"winograd": "Winograd's", "direct": "direct"}[engine.convolution])
    engine.close()


@pytest.mark.parametrize(("gain", "taken"), [(0.9, False), (WORTH - 0.05, False), (WORTH + 0.05, True), (2.0, True)])
def test_winograd_is_taken_where_it_is_enough_faster(*, gain: float, taken: bool) -> None:
    now = 0.0

    def work(seconds: float, images: Sequence[object]) -> None:
        nonlocal now
        now += seconds * len(images)

    choice = measured(lambda images: work(gain, images), lambda images: work(1.0, images), clock=lambda: now)
    assert choice == pytest.approx(Choice(gain * 1000, 1000))
    assert choice.winograd is taken


@pytest.mark.torch
def test_winograd_is_for_one_engine() -> None:
    with pytest.raises(EngineError, match="for the engine onnx on the CPU, and this is torch on cpu"):
        open_engine("torch", "cpu", convolution="winograd")


@pytest.mark.torch
@pytest.mark.parametrize("tiling", [THREE, FIVE])
@settings(max_examples=30, deadline=None)
@given(images=st.integers(1, 3), height=st.integers(1, 13), width=st.integers(1, 13), seed=st.integers(0, 2**32 - 1))
def test_tiles_and_transforms_are_a_convolution(
    tiling: Tiling, images: int, height: int, width: int, seed: int
) -> None:
    from clpips.models.export.winograd_matrices import transforms

    rng = np.random.default_rng(seed)
    maps = rng.normal(size=(images, height, width))
    taps = rng.normal(size=(tiling.kernel, tiling.kernel))
    matrices = transforms(tiling)
    found = places(tiling, images, height, width)
    rows = np.append(maps.reshape(-1), 0.0)  # the last is the padding
    products = (matrices.filters @ taps.reshape(-1))[:, np.newaxis] * (matrices.inputs @ rows[found.inputs])
    result = (matrices.outputs @ products).reshape(-1)[found.outputs].reshape(maps.shape)

    half = tiling.kernel // 2
    padded = np.pad(maps, ((0, 0), (half, half), (half, half)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, taps.shape, axis=(1, 2))
    assert np.allclose(result, np.einsum("nhwij,ij->nhw", windows, taps), atol=1e-10)
