"""Both engines against the lpips package, against each other, and the properties that a distance has."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from clpips.models.engines.contract import Engine, EngineError
from clpips.models.engines.opening import open_engine
from clpips.models.engines.several import compare_images, embed_images
from clpips.models.metric.backbone import MIN_SIDE, TOTAL_CHANNELS
from clpips.models.metric.backbone_file import BackboneError
from clpips.models.metric.distance import distance_by_family, distance_by_group, distance_by_layer, weigh
from clpips.models.metric.families import (
    ALEX_LAYOUT,
    ALEXNET,
    CONTENT,
    FAMILIES,
    GROUPS,
    NETWORK_PLACES,
    PLACES,
    Z_LENGTH,
)
from clpips.models.metric.weights_files import load_weights
from tests.support.pictures import picture, variation

SIZES = [(64, 64), (256, 256), (97, 131), (31, 45), (163, 201)]
WEIGHTS = load_weights("lpips").values


@pytest.fixture(scope="module", params=["onnx", "winograd", pytest.param("torch", marks=pytest.mark.torch)])
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    opened = open_engine("onnx", convolution="winograd") if request.param == "winograd" else open_engine(request.param)
    yield opened
    opened.close()


def pairs(count: int, height: int, width: int, seed: int = 0) -> tuple[NDArray[np.uint8], NDArray[np.uint8]]:
    """Targets and candidates, uint8 `(count, height, width, 3)`, from alike to unrelated."""
    targets = np.stack([picture(seed + index, height, width) for index in range(count)])
    strengths = np.linspace(0, 1, count)
    candidates = [variation(t, seed + i, s) for i, (t, s) in enumerate(zip(targets, strengths, strict=True))]
    return targets, np.stack(candidates)


def distances(engine: Engine, targets: NDArray[np.uint8], candidates: NDArray[np.uint8]) -> NDArray[np.float32]:
    return weigh(engine.compare(engine.embed(targets), engine.embed(candidates)), WEIGHTS)


@pytest.mark.torch
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("count", [1, 9])
def test_distances_are_those_of_the_lpips_package(engine: Engine, size: tuple[int, int], count: int) -> None:
    import torch

    from loadtest.kit.reference import load_lpips

    targets, candidates = pairs(count, *size, seed=3)
    with torch.inference_mode():
        tensors = [torch.from_numpy(images).permute(0, 3, 1, 2) / 127.5 - 1 for images in (targets, candidates)]
        expected = load_lpips()(*tensors).flatten().numpy()
    assert np.abs(distances(engine, targets, candidates) - expected).max() <= 1e-6


@pytest.mark.torch
@pytest.mark.parametrize("size", SIZES)
def test_both_engines_agree(size: tuple[int, int]) -> None:
    targets, candidates = pairs(5, *size)
    first, second = (distances(open_engine(name), targets, candidates) for name in ("onnx", "torch"))
    assert np.abs(first - second).max() <= 1e-5


def test_identical_images_are_at_distance_zero(engine: Engine) -> None:
    image = picture(1, 80)[np.newaxis]
    assert distances(engine, image, image.copy())[0] == 0


def test_the_distance_is_symmetric_and_never_negative(engine: Engine) -> None:
    targets, candidates = pairs(6, 64, 80)
    forth, back = distances(engine, targets, candidates), distances(engine, candidates, targets)
    assert np.array_equal(forth, back)
    assert (engine.compare(engine.embed(targets), engine.embed(candidates)) >= 0).all()
    assert (forth[1:] > 0).all()


def test_a_distance_does_not_depend_on_what_else_is_in_the_batch(engine: Engine) -> None:
    targets, candidates = pairs(11, 64, 64)
    together = distances(engine, targets, candidates)
    alone = [distances(engine, targets[i : i + 1], candidates[i : i + 1])[0] for i in range(len(targets))]
    assert np.abs(together - np.array(alone)).max() <= 1e-6


def test_black_and_white_have_finite_distances(engine: Engine) -> None:
    black, white = np.zeros((1, 64, 64, 3), np.uint8), np.full((1, 64, 64, 3), 255, np.uint8)
    assert np.isfinite(distances(engine, black, white)).all()


def test_the_smallest_image_is_scored(engine: Engine) -> None:
    targets, candidates = pairs(2, MIN_SIDE, MIN_SIDE)
    assert np.isfinite(distances(engine, targets, candidates)).all()


def test_no_images_give_no_features_and_no_pairs_no_distances(engine: Engine) -> None:
    assert len(engine.embed(np.empty((0, 64, 64, 3), np.uint8))) == 0
    assert engine.compare([], []).shape == (0, Z_LENGTH)


def test_features_say_what_they_cost(engine: Engine) -> None:
    (features,) = engine.embed(picture(1, 64)[np.newaxis])
    sizes = sum(c * h * w for c, h, w in ((64, 15, 15), (192, 7, 7), (384, 3, 3), (256, 3, 3), (256, 3, 3)))
    assert features.nbytes == 4 * (sizes + 2 * TOTAL_CHANNELS)  # the maps, and their statistics


def test_layer_shares_add_up_to_the_distance(engine: Engine) -> None:
    targets, candidates = pairs(4, 64, 64)
    z = engine.compare(engine.embed(targets), engine.embed(candidates))
    assert np.allclose(distance_by_layer(z, WEIGHTS).sum(axis=1), weigh(z, WEIGHTS), atol=1e-6)


def test_family_shares_add_up_to_the_distance(engine: Engine) -> None:
    targets, candidates = pairs(4, 64, 64)
    weights = load_weights("balanced").values
    z = compare_images(engine, embed_images(engine, targets), embed_images(engine, candidates))
    families = distance_by_family(z, weights)
    content = [place for place, family in enumerate(FAMILIES) if family.backbone == CONTENT]
    assert np.allclose(families.sum(axis=1), weigh(z, weights), atol=1e-6)
    layers = distance_by_layer(z, weights).sum(axis=1) + families[:, content].sum(axis=1)
    assert np.allclose(layers, weigh(z, weights), atol=1e-6)
    groups = distance_by_group(z, weights)
    for layer, expected in enumerate(distance_by_layer(z, weights).T):
        of_layer = [GROUPS.index(group) for group in ALEX_LAYOUT.layer_groups(layer)]
        assert np.allclose(groups[:, of_layer].sum(axis=1), expected, atol=1e-6)


@pytest.mark.torch
@pytest.mark.parametrize("size", SIZES)
def test_families_are_those_of_float64_on_the_maps_of_the_lpips_package(engine: Engine, size: tuple[int, int]) -> None:
    import torch

    from loadtest.kit.reference import load_lpips

    targets, candidates = pairs(3, *size, seed=5)
    metric: Any = load_lpips()
    sides = []
    with torch.inference_mode():
        for images in (targets, candidates):
            taps = metric.net(metric.scaling_layer(torch.from_numpy(images).permute(0, 3, 1, 2) / 127.5 - 1))
            maps = [tap.double() / (tap.double().square().sum(1, keepdim=True).sqrt() + 1e-10) for tap in taps]
            sides.append([one.flatten(2).numpy() for one in maps])  # (n, c, h*w)
    expected = {
        "aligned": [((a - b) ** 2).mean(axis=2) for a, b in zip(*sides, strict=True)],
        "mean": [(a.mean(axis=2) - b.mean(axis=2)) ** 2 for a, b in zip(*sides, strict=True)],
        "std": [(a.std(axis=2) - b.std(axis=2)) ** 2 for a, b in zip(*sides, strict=True)],
    }
    z = engine.compare(engine.embed(targets), engine.embed(candidates))
    for name, layers in expected.items():
        assert np.abs(z[:, PLACES[name]] - np.concatenate(layers, axis=1)).max() <= 1e-6, name
    weights = load_weights("balanced").values
    reference = np.concatenate([np.concatenate(layers, axis=1) for layers in expected.values()], axis=1)
    assert np.abs(weigh(z, weights) - reference @ weights[NETWORK_PLACES[ALEXNET]]).max() <= 1e-6


def test_families_that_are_not_asked_for_are_zero_and_the_others_the_same(engine: Engine) -> None:
    targets, candidates = pairs(3, 64, 64)
    sides = engine.embed(targets), engine.embed(candidates)
    every = engine.compare(*sides)
    for families in (frozenset({"aligned"}), frozenset({"std"}), frozenset({"mean", "aligned"})):
        z = engine.compare(*sides, families=families)
        for name, place in PLACES.items():
            assert np.array_equal(z[:, place], every[:, place] if name in families else np.zeros_like(z[:, place]))


@pytest.mark.parametrize("level", [0, 117, 255])
def test_a_flat_image_has_finite_statistics_and_is_at_zero_from_itself(engine: Engine, level: int) -> None:
    image = np.full((1, 64, 64, 3), level, np.uint8)
    flat, again, other = engine.embed(np.concatenate([image, image, picture(1, 64)[np.newaxis]]))
    z = engine.compare([flat, flat], [again, other])
    assert np.isfinite(z).all()
    assert not z[0].any()
    assert (z >= 0).all()


def test_every_row_may_have_weights_of_its_own(engine: Engine) -> None:
    targets, candidates = pairs(3, 64, 64)
    z = engine.compare(engine.embed(targets), engine.embed(candidates))
    rows = np.stack([WEIGHTS, 2 * WEIGHTS, 0 * WEIGHTS])
    assert np.allclose(weigh(z, rows), weigh(z, WEIGHTS) * [1, 2, 0])


def test_fast_has_no_onnx_engine() -> None:
    with pytest.raises(EngineError, match="choose the engine torch"):
        open_engine("onnx", precision="fast")


def test_a_missing_backbone_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BackboneError, match=r"nowhere\.safetensors"):
        open_engine("onnx", backbone=tmp_path / "nowhere.safetensors")


def test_onnx_on_a_machine_without_cuda_says_what_to_install() -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has the CUDA provider; the message is for those that have not")
    with pytest.raises(EngineError, match=r"pip install '\.\[gpu\]'"):
        open_engine("onnx", device="cuda")


def test_onnx_runtime_neither_marks_this_machine_nor_reports_on_it(tmp_path: Path) -> None:
    code = "from clpips.models.engines.opening import open_engine; open_engine('onnx', 'cpu').close()"
    environment = {"PATH": os.environ["PATH"], "HOME": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    subprocess.run([sys.executable, "-c", code], env=environment, cwd=Path(__file__).parent.parent, check=True)
    # It would leave the identifier that it reports under, and what it has yet to send.
    assert list(tmp_path.iterdir()) == []


def test_an_engine_falls_back_to_the_cpu_only_when_told_to(caplog: pytest.LogCaptureFixture) -> None:
    import onnxruntime

    if "CUDAExecutionProvider" in onnxruntime.get_available_providers():
        pytest.skip("this ONNX Runtime has the CUDA provider; there is nothing to fall back from")
    with caplog.at_level("WARNING", logger="clpips.models.engines"):
        engine = open_engine("onnx", device="cuda", fallback=True)
    assert engine.device == "cpu"
    assert "pip install '.[gpu]'" in caplog.text


def test_images_may_come_one_by_one(engine: Engine) -> None:
    targets, candidates = pairs(3, 64, 64)
    assert np.array_equal(
        engine.compare(engine.embed(list(targets)), engine.embed(list(candidates))),
        engine.compare(engine.embed(targets), engine.embed(candidates)),
    )


def test_a_prepared_engine_says_how_many_bytes_of_features_may_be_kept(engine: Engine) -> None:
    assert engine.prepare(64, 2, 12_345_678) == 12_345_678
    assert engine.prepare(64, 2) > 100_000_000
