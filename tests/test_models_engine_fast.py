"""Half precision: `fast` against `exact` over 600 pairs, from near copies to strangers."""

import logging

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.stats import spearmanr

from clpips.models.engines.contract import EngineError, EngineName
from clpips.models.engines.opening import open_engine
from clpips.models.metric.backbone_file import load_backbone
from clpips.models.metric.distance import weigh
from clpips.models.metric.families import PLACES
from clpips.models.metric.weights_files import load_weights
from tests.support.pictures import Pixels, picture, variation

pytest.importorskip("torch", reason="needs PyTorch: pip install -e '.[torch]'")

import torch

from clpips.models.engines.pytorch.engine import TorchEngine
from clpips.models.engines.pytorch.kernels import PlainKernels
from clpips.models.engines.pytorch.layout import layout_of
from clpips.models.engines.pytorch.network import AlexNetTaps
from clpips.models.engines.pytorch.precision import compute_dtype
from clpips.models.engines.pytorch.slots import TorchFeatures

WEIGHTS = load_weights("lpips").values
IMAGES = np.stack([variation(picture(seed, 64), 50 * step + seed, step / 5) for seed in range(10) for step in range(5)])
PAIRS = np.array([(i, j) for i in range(50) for j in range(i)])[::2][:600]


def half_distances(dtype: torch.dtype, images: Pixels, pairs: NDArray[np.intp]) -> NDArray[np.float32]:
    """Distances from the network in one dtype on the CPU, whatever device would compute in it."""
    network, kernels = AlexNetTaps(load_backbone(), dtype), PlainKernels("cpu", dtype)
    layout = layout_of(*images.shape[1:3])
    features = [TorchFeatures(layout, torch.empty(layout.elements, dtype=dtype)) for _ in images]
    with torch.inference_mode():
        kernels.store(network(kernels.blocks(torch.from_numpy(images))), features)
        z = kernels.compare([features[i] for i in pairs[:, 0]], [features[i] for i in pairs[:, 1]])
    return weigh(z.numpy(), WEIGHTS[PLACES["aligned"]])


@pytest.mark.parametrize(("dtype", "bound"), [(torch.bfloat16, 2e-3), (torch.float16, 2.5e-4)])
def test_fast_is_close_to_exact_and_keeps_the_order(dtype: torch.dtype, bound: float) -> None:
    exact = half_distances(torch.float32, IMAGES, PAIRS)
    fast = half_distances(dtype, IMAGES, PAIRS)
    assert len(exact) >= 500
    assert np.abs(fast - exact).max() <= bound
    assert spearmanr(exact, fast).statistic >= 0.9999


def test_the_engine_computes_what_the_network_does() -> None:
    engine = TorchEngine(precision="fast")
    features = engine.embed(IMAGES[:4])
    distances = weigh(engine.compare(features[:2], features[2:]), WEIGHTS)
    expected = half_distances(compute_dtype("cpu", "fast"), IMAGES[:4], np.array([(0, 2), (1, 3)]))
    assert distances == pytest.approx(expected, abs=1e-3)


def test_identical_images_are_at_distance_zero() -> None:
    engine = TorchEngine(precision="fast")
    (features,) = engine.embed(IMAGES[:1])
    assert not engine.compare([features], [features]).any()


def test_float16_saturates_and_never_gives_nan() -> None:
    network = AlexNetTaps(load_backbone(), torch.float16)
    with torch.inference_mode():
        maps = network(torch.full((1, 48, 17, 17), 60_000.0, dtype=torch.float16))
    assert all(torch.isfinite(one).all() for one in maps)


@pytest.fixture
def emulating(monkeypatch: pytest.MonkeyPatch) -> None:
    """A CPU that has no units for bfloat16."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True, "amx_tile": False})


@pytest.mark.usefixtures("emulating")
@pytest.mark.parametrize("name", ["auto", "torch"])
def test_a_cpu_without_bfloat16_is_refused_with_the_reason(name: EngineName) -> None:
    with pytest.raises(EngineError, match=r"slower than exact on this CPU.*choose precision exact"):
        open_engine(name, "cpu", precision="fast")


@pytest.mark.usefixtures("emulating")
@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_falling_back_to_such_a_cpu_is_exact(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, logger="clpips.models.engines.opening"):
        engine = open_engine("torch", "cuda", precision="fast", fallback=True)
    assert (engine.device, engine.precision) == ("cpu", "exact")
    assert any("going on with precision exact" in message for message in caplog.messages)
    engine.close()


def test_a_cpu_with_bfloat16_takes_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_tile": True})
    engine = open_engine("torch", "cpu", precision="fast")
    assert engine.precision == "fast"
    engine.close()


def test_gpus_take_float16_and_cpus_bfloat16() -> None:
    assert compute_dtype("cuda", "fast") == torch.float16
    assert compute_dtype("cpu", "fast") == torch.bfloat16
    assert compute_dtype("cuda", "exact") == torch.float32
