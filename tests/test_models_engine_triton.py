"""The GPU's kernels and graphs: compiled on an NVIDIA GPU (CLPIPS_TEST_GPU=1), interpreted by Triton on the CPU."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from numpy.typing import NDArray

from clpips.models.metric.backbone_file import load_backbone
from tests.conftest import ON_GPU
from tests.support.pictures import picture

pytest.importorskip("torch", reason="needs PyTorch: pip install -e '.[torch]'")
pytest.importorskip("triton", reason="needs Triton: pip install triton (it comes with PyTorch for CUDA)")

import torch

from clpips.models.engines.pytorch.cuda_graphs import GraphEmbedder
from clpips.models.engines.pytorch.engine import TorchEngine
from clpips.models.engines.pytorch.kernels import PlainKernels
from clpips.models.engines.pytorch.layout import layout_of
from clpips.models.engines.pytorch.network import AlexNetTaps
from clpips.models.engines.pytorch.slots import SlotPool, TorchFeatures
from clpips.models.engines.pytorch.triton_launching import POSITIONS_AN_ITEM, TritonKernels, plan_items

DEVICE = "cuda" if ON_GPU else "cpu"
SIZES = [(31, 31), (45, 70), (64, 64)]
DTYPES = [torch.float32, torch.float16, torch.bfloat16]
gpu = pytest.mark.gpu


def pictures(count: int, height: int, width: int) -> torch.Tensor:
    return torch.from_numpy(np.stack([picture(seed, height, width) for seed in range(count)])).to(DEVICE)


def poisoned(count: int, height: int, width: int, dtype: torch.dtype) -> list[TorchFeatures]:
    """Features in which every element that is not written shows."""
    layout = layout_of(height, width)
    return [
        TorchFeatures(layout, torch.full((layout.elements,), torch.nan, dtype=dtype, device=DEVICE))
        for _ in range(count)
    ]


@pytest.fixture(scope="module", params=DTYPES, ids=str)
def dtype(request: pytest.FixtureRequest) -> torch.dtype:
    value: torch.dtype = request.param
    return value


@pytest.fixture(scope="module")
def kernels(dtype: torch.dtype) -> TritonKernels:
    return TritonKernels(DEVICE, dtype)


@pytest.fixture(scope="module")
def plain(dtype: torch.dtype) -> PlainKernels:
    return PlainKernels(DEVICE, dtype)


@pytest.fixture(autouse=True)
def _no_gradients() -> Iterator[None]:
    with torch.inference_mode():
        yield


def close(first: torch.Tensor, second: torch.Tensor, dtype: torch.dtype) -> bool:
    """Equal but for the last bit or two of the dtype."""
    tolerance = 4 * torch.finfo(dtype).eps
    return torch.allclose(first.float(), second.float(), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("size", SIZES)
def test_blocks_are_those_of_plain_pytorch(
    kernels: TritonKernels, plain: PlainKernels, dtype: torch.dtype, size: tuple[int, int]
) -> None:
    images = pictures(2, *size)
    assert close(kernels.blocks(images), plain.blocks(images), dtype)


@pytest.mark.parametrize("size", SIZES)
def test_features_are_those_of_plain_pytorch(
    kernels: TritonKernels, plain: PlainKernels, dtype: torch.dtype, size: tuple[int, int]
) -> None:
    network = AlexNetTaps(load_backbone(), dtype).to(DEVICE)
    maps = network(plain.blocks(pictures(2, *size)))
    got, expected = poisoned(2, *size, dtype), poisoned(2, *size, dtype)
    kernels.store(maps, got)
    plain.store(maps, expected)
    assert all(close(one.buffer, other.buffer, dtype) for one, other in zip(got, expected, strict=True))


@pytest.mark.parametrize("size", SIZES)
def test_comparisons_are_those_of_float64(kernels: TritonKernels, dtype: torch.dtype, size: tuple[int, int]) -> None:
    features = poisoned(3, *size, dtype)
    for one in features:
        one.buffer.copy_(torch.rand(len(one.buffer)))
    targets, candidates = [features[0], features[0], features[1]], [features[1], features[2], features[1]]
    expected = [
        torch.cat([(a.double() - b.double()).square().mean(0) for a, b in zip(t.taps(), c.taps(), strict=True)])
        for t, c in zip(targets, candidates, strict=True)
    ]
    z = kernels.compare(targets, candidates)
    assert torch.allclose(z.double(), torch.stack(expected), rtol=1e-6, atol=1e-9)
    assert not z[2].any()


def test_a_pair_has_the_same_bits_in_any_batch(kernels: TritonKernels, dtype: torch.dtype) -> None:
    features = poisoned(4, 64, 64, dtype)
    for one in features:
        one.buffer.copy_(torch.rand(len(one.buffer)))
    together = kernels.compare(features, features[::-1])
    alone = [kernels.compare([a], [b])[0] for a, b in zip(features, features[::-1], strict=True)]
    assert torch.equal(together, torch.stack(alone))


@pytest.mark.parametrize("size", SIZES)
def test_statistics_are_those_of_float64(
    kernels: TritonKernels, plain: PlainKernels, dtype: torch.dtype, size: tuple[int, int]
) -> None:
    features = poisoned(3, *size, dtype)
    features[0].buffer.copy_(torch.rand(len(features[0].buffer)))
    features[1].buffer.copy_(0.5 + 1e-2 * torch.rand(len(features[1].buffer)))  # a small spread about a large mean
    features[2].buffer.fill_(0.3)
    for one in features:
        one.statistics.fill_(torch.nan)
    expected = torch.stack(
        [
            torch.stack([torch.cat([tap.double().mean(0) for tap in one.taps()]), torch.cat(deviations)])
            for one in features
            for deviations in [[tap.double().std(0, correction=0) for tap in one.taps()]]
        ]
    )  # (n, 2, c)
    for measure in (kernels.measure, plain.measure):
        measure(features)
        found = torch.stack([one.statistics for one in features])
        assert torch.allclose(found[:2].double(), expected[:2], rtol=1e-6, atol=1e-7)
        assert torch.allclose(found[2].double(), expected[2], atol=1e-6)


def test_distances_of_statistics_are_squared_differences(kernels: TritonKernels, plain: PlainKernels) -> None:
    features = poisoned(3, 31, 31, torch.float32)
    for one in features:
        one.statistics.copy_(torch.rand(one.statistics.shape))
    targets, candidates = [features[0], features[0], features[1]], [features[1], features[2], features[1]]
    z = kernels.compare_statistics(targets, candidates)
    assert torch.equal(z, plain.compare_statistics(targets, candidates))
    assert torch.equal(z[0], (features[0].statistics - features[1].statistics).square().flatten())
    assert not z[2].any()


def test_an_image_has_the_same_statistics_in_any_batch(kernels: TritonKernels, dtype: torch.dtype) -> None:
    features = poisoned(4, 64, 64, dtype)
    for one in features:
        one.buffer.copy_(torch.rand(len(one.buffer)))
    kernels.measure(features)
    together = [one.statistics.clone() for one in features]
    for one in features:
        kernels.measure([one])
    assert all(torch.equal(one.statistics, before) for one, before in zip(features, together, strict=True))


@pytest.mark.parametrize("size", [(31, 31), (256, 256), (300, 511), (2048, 2048)])
def test_every_element_is_compared_once(size: tuple[int, int]) -> None:
    layout = layout_of(*size)
    items, blocks = plan_items(layout)
    covered = np.zeros(layout.elements, np.uint8)
    for start, channels, positions in items:
        assert positions <= POSITIONS_AN_ITEM
        covered[(start + np.arange(positions)[:, None] * channels + np.arange(64)).ravel()] += 1
    assert (covered == 1).all()
    assert [first for first, _, _ in blocks] == np.cumsum([0] + [count for _, count, _ in blocks])[:-1].tolist()
    assert len(blocks) * 64 == 1152


class TestGraphs:
    side = 40
    dtype = torch.float32

    def embedder(self, largest: int) -> GraphEmbedder:
        network = AlexNetTaps(load_backbone(), self.dtype).to(DEVICE)
        return GraphEmbedder(network, TritonKernels(DEVICE, self.dtype), self.side, largest, DEVICE)

    def images(self, count: int) -> list[NDArray[np.uint8]]:
        return [picture(seed, self.side) for seed in range(count)]

    def expected(self, count: int) -> list[torch.Tensor]:
        return [one.buffer for one in TorchEngine(DEVICE).embed(self.images(count))]

    @pytest.mark.parametrize("count", [1, 3, 4])
    def test_a_padded_batch_has_the_features_of_its_images(self, count: int) -> None:
        features = poisoned(count, self.side, self.side, self.dtype)
        self.embedder(4).embed(self.images(count), [], features)
        for one, other in zip(features, self.expected(count), strict=True):
            assert torch.allclose(one.buffer, other, atol=1e-5)

    def test_padding_is_written_nowhere_else(self) -> None:
        pool = SlotPool(layout_of(self.side, self.side), 6, self.dtype, DEVICE)
        slots = [pool.take() for _ in range(6)]
        features = [slot for slot in slots if slot is not None]
        for one in features:
            one.buffer.fill_(torch.nan)
        embedder = self.embedder(4)
        embedder.embed(self.images(3), [], features[:3])
        assert all(torch.isfinite(one.buffer).all() for one in features[:3])
        assert all(torch.isnan(one.buffer).all() for one in features[3:])

    def test_batches_in_a_row_do_not_disturb_each_other(self) -> None:
        embedder = self.embedder(2)
        features = poisoned(7, self.side, self.side, self.dtype)
        images = self.images(7)
        for start in (0, 2, 3, 5):  # more than there are lanes, of both sizes
            end = 3 if start == 2 else start + 2
            embedder.embed(images[start:end], [], features[start:end])
        for one, other in zip(features, self.expected(7), strict=True):
            assert torch.allclose(one.buffer, other, atol=1e-5)

    def test_pixels_that_lie_on_the_device_follow_those_that_do_not(self) -> None:
        features = poisoned(3, self.side, self.side, self.dtype)
        images = self.images(3)
        landed = [torch.from_numpy(image).to(DEVICE) for image in images[1:]]
        embedder = self.embedder(4)
        embedder.embed(images[:1], landed, features)
        for one, other in zip(features, self.expected(3), strict=True):
            assert torch.allclose(one.buffer, other, atol=1e-5)
        embedder.embed([], landed, features[:2])
        assert torch.allclose(features[0].buffer, self.expected(2)[1], atol=1e-5)

    def test_pixels_that_cannot_be_written_to_are_taken(self) -> None:
        (image,) = self.images(1)
        image.setflags(write=False)
        features = poisoned(1, self.side, self.side, self.dtype)
        self.embedder(1).embed([image], [], features)
        assert torch.isfinite(features[0].buffer).all()


@pytest.mark.skipif(sys.platform != "linux", reason="needs Triton's compiler for NVIDIA GPUs, which is for Linux")
def test_kernels_compile_for_hopper_to_wide_loads_without_spilling() -> None:
    environment = {name: value for name, value in os.environ.items() if name != "TRITON_INTERPRET"}
    run = subprocess.run(
        [sys.executable, "-m", "tests.support.hopper"],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert run.returncode == 0, run.stderr
    reports = json.loads(run.stdout)
    assert {report["kernel"] for report in reports} == {
        "blocks_kernel",
        "store_kernel",
        "compare_kernel",
        "finish_kernel",
        "measure_kernel",
        "finish_measure_kernel",
        "statistics_kernel",
    }
    for report in reports:
        assert report["stack"] == report["local"] == 0, report
        if report["kernel"] in {"store_kernel", "compare_kernel", "measure_kernel"}:
            assert report["wide_loads"] == report["tile_loads"] > 0, report


@gpu
def test_the_gpu_engine_agrees_with_the_cpu() -> None:
    images = [picture(seed, 256) for seed in range(8)]
    reference = TorchEngine("cpu")
    expected = reference.compare(reference.embed(images[:4]), reference.embed(images[4:]))
    for precision, bound in (("exact", 1e-6), ("fast", 1e-4)):
        engine = TorchEngine("cuda", precision)  # type: ignore[arg-type]
        engine.prepare(256, 8, 100_000_000)
        z = engine.compare(engine.embed(images[:4]), engine.embed(images[4:]))
        assert np.abs(z - expected).max() <= bound
        engine.close()
