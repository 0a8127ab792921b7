"""The Python API: distances of arrays, as the command line has them of files, with typed results."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from clpips.models import Metric
from clpips.models.api import Distance, HeatMap, Ranked
from clpips.models.engines.contract import Engine, EngineError
from clpips.models.images.errors import PixelTypeError, TooSmallError
from clpips.models.metric.distance import weigh
from clpips.models.metric.masks import MaskError
from clpips.models.metric.weights import WeightsError
from clpips.models.metric.weights_files import load_weights, save_weights
from tests.support.pictures import picture, variation

TARGET = picture(1, 96)
NEAR, FAR = (variation(TARGET, 2, strength) for strength in (0.1, 0.8))


@pytest.fixture
def metric(engine: Engine) -> Metric:
    return Metric(load_weights("lpips"), engine, resolution=None)


@pytest.fixture(scope="module")
def balanced() -> Iterator[Metric]:
    with Metric.load("balanced") as metric:
        yield metric


def test_a_distance_is_the_weighted_sum_of_channel_distances(metric: Metric, engine: Engine) -> None:
    a, b = engine.embed([TARGET, NEAR])
    expected = weigh(engine.compare([a], [b]), load_weights("lpips").values)[0]
    found = metric.distance(TARGET, NEAR)
    assert isinstance(found, Distance)
    assert found.value == expected
    assert found.families == pytest.approx(
        {"aligned": expected, "mean": 0, "std": 0, "content_mean": 0, "content_std": 0}, abs=1e-7
    )


def test_candidates_are_ranked_and_equal_ones_keep_their_order(metric: Metric) -> None:
    ranking = metric.rank(TARGET, [FAR, NEAR, TARGET, NEAR])
    assert [row.index for row in ranking] == [2, 1, 3, 0]
    assert [row.rank for row in ranking] == [1, 2, 3, 4]
    assert ranking[0] == Ranked(1, 2, 0.0)
    assert metric.rank(TARGET, []) == []


def test_embeddings_stand_for_images(balanced: Metric) -> None:
    embedded = balanced.embed([TARGET, picture(3, 40, 70), FAR])
    assert [one.size for one in embedded] == [(256, 256)] * 3
    assert balanced.distance(embedded[0], embedded[2]) == balanced.distance(TARGET, FAR)
    assert balanced.rank(embedded[0], [FAR, embedded[1]]) == balanced.rank(TARGET, [FAR, picture(3, 40, 70)])


def test_an_embedding_that_lacks_a_network_is_refused_and_told(balanced: Metric) -> None:
    image = picture(0, 64)
    lpips = Metric(load_weights("lpips"), balanced.engine)
    lacking = lpips.embed([image])[0]
    for compare in (balanced.distance, balanced.heatmap):
        with pytest.raises(ValueError, match=r"'balanced' use efficientnet-lite0, .* let this metric embed the image"):
            compare(image, lacking)
    assert lpips.distance(balanced.embed([image])[0], lacking).value == 0


def test_a_heat_map_says_what_it_does_not_show(balanced: Metric) -> None:
    found = balanced.heatmap(TARGET, FAR)
    assert isinstance(found, HeatMap)
    assert found.values.shape == (256, 256)
    assert found.values.mean(dtype=np.float64) == pytest.approx(found.distance.families["aligned"], abs=1e-6)
    assert found.unplaced == pytest.approx(1 - found.distance.families["aligned"] / found.distance.value)
    assert balanced.heatmap(TARGET, TARGET).unplaced == 0


def test_a_matrix_has_the_distances_of_all_pairs(metric: Metric) -> None:
    distances = metric.matrix([TARGET, NEAR, FAR])
    assert distances[0, 2] == np.float32(metric.distance(TARGET, FAR).value)
    np.testing.assert_array_equal(distances, distances.T)
    assert not distances.diagonal().any()


def test_a_mask_says_what_of_the_target_counts(balanced: Metric) -> None:
    left = np.zeros((96, 96), np.uint8)
    left[:, :48] = 255
    changed = TARGET.copy()
    changed[:, 64:] = FAR[:, 64:]
    assert balanced.distance(TARGET, changed, left).value < 0.3 * balanced.distance(TARGET, changed).value
    assert balanced.distance(TARGET, changed, np.full_like(left, 255)) == balanced.distance(TARGET, changed)
    within = balanced.heatmap(TARGET, FAR, mask=left)
    assert within.values.mean(dtype=np.float64) == pytest.approx(within.distance.families["aligned"], abs=1e-6)
    assert not within.values[:, 176:].any()
    with pytest.raises(MaskError, match="0 everywhere"):
        balanced.rank(TARGET, [FAR], np.zeros_like(left))


@pytest.mark.parametrize("resolution", [256, None])
@pytest.mark.parametrize("embedded", [False, True])
def test_a_mask_is_as_large_as_the_picture_whatever_the_resolution(
    engine: Engine, resolution: int | None, embedded: bool
) -> None:
    metric = Metric(load_weights("lpips"), engine, resolution)
    target, candidate = metric.embed([TARGET, FAR]) if embedded else (TARGET, FAR)
    for rows, columns in ((96, 95), (95, 96), (256, 256)):
        other = np.eye(rows, columns, dtype=np.uint8)
        for ask in (metric.distance, metric.heatmap):
            with pytest.raises(MaskError, match=f"{columns}×{rows} pixels and its target 96×96"):
                ask(target, candidate, mask=other)
    assert metric.distance(target, candidate, np.eye(96, dtype=np.uint8)).value > 0


@pytest.mark.parametrize("mask", [[[255]], Image.new("L", (96, 96)), "mask.png"])
def test_a_mask_that_is_no_array_is_refused_and_named(metric: Metric, mask: Any) -> None:
    with pytest.raises(MaskError, match=rf"uint8 \(h, w\), this is a {type(mask).__name__}"):
        metric.distance(TARGET, FAR, mask)


def test_an_embedding_that_says_too_little_is_refused(metric: Metric, balanced: Metric) -> None:
    of_alexnet_alone = metric.embed([TARGET])
    with pytest.raises(ValueError, match="let this metric embed the image"):
        balanced.rank(of_alexnet_alone[0], [FAR])
    with pytest.raises(ValueError, match="let this metric embed the image"):
        balanced.matrix([FAR, *of_alexnet_alone])
    with Metric.load("lpips") as plain:
        target, candidate = balanced.embed([TARGET, FAR])
        assert plain.distance(target, candidate) == plain.distance(TARGET, FAR)  # one that says more is taken


def test_words_that_it_does_not_know_are_refused(metric: Metric) -> None:
    with pytest.raises(ValueError, match="no upsampling 'cubic'; choose one of nearest, bilinear"):
        metric.heatmap(TARGET, FAR, upsample=cast("Any", "cubic"))
    with pytest.raises(EngineError, match="no engine 'jax'; choose one of auto, onnx, torch"):
        Metric.load(engine=cast("Any", "jax"))
    with pytest.raises(EngineError, match="no device 'tpu'; choose auto, cpu, cuda"):
        Metric.load(device="tpu")


@pytest.mark.parametrize("image", [Image.new("RGB", (96, 96)), "target.png", TARGET.tolist()])
def test_what_is_no_array_is_refused_and_named(metric: Metric, image: Any) -> None:
    with pytest.raises(PixelTypeError, match=rf"in RGB, this is a {type(image).__name__}"):
        metric.distance(TARGET, image)


@pytest.mark.parametrize("image", [TARGET[:0], TARGET[:, :0]])
def test_an_image_without_pixels_is_refused_at_any_resolution(balanced: Metric, image: NDArray[Any]) -> None:
    with pytest.raises(TooSmallError, match="it has none"):
        balanced.distance(TARGET, image)


@pytest.mark.parametrize(
    "image", [TARGET.astype(np.float32) / 255, TARGET[..., 0], TARGET.transpose(2, 0, 1), TARGET[np.newaxis]]
)
def test_another_type_or_shape_is_refused_and_named(metric: Metric, image: NDArray[Any]) -> None:
    with pytest.raises(PixelTypeError, match=r"uint8 \(h, w, 3\) in RGB, this is"):
        metric.distance(TARGET, image)


def test_at_native_size_images_must_be_equally_large_and_large_enough(metric: Metric) -> None:
    with pytest.raises(ValueError, match="96×96 and 96×80"):
        metric.distance(TARGET, TARGET[:, :80])
    with pytest.raises(TooSmallError):
        metric.embed([TARGET[:20]])


def test_weights_come_by_name_or_from_a_file(tmp_path: Path) -> None:
    save_weights(load_weights("balanced"), tmp_path / "mine.safetensors")
    with Metric.load(tmp_path / "mine.safetensors") as mine:
        assert mine.weights.name == "balanced"
    with pytest.raises(WeightsError, match="give a file, or one of the shipped"):
        Metric.load("nobody")


def test_the_rooms_do_not_pay_for_the_api() -> None:
    code = "import clpips.models, sys; sys.exit('numpy' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
