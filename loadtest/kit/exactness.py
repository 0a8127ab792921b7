"""How exactly the engines compute: distances of many pairs against `lpips` in float64, and half precision's price."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from clpips.models.engines.contract import Engine
from clpips.models.engines.pytorch.kernels import PlainKernels
from clpips.models.engines.pytorch.layout import layout_of
from clpips.models.engines.pytorch.network import AlexNetTaps
from clpips.models.engines.pytorch.slots import TorchFeatures
from clpips.models.metric.backbone import EPSILON, GAIN, OFFSET
from clpips.models.metric.backbone_file import load_backbone
from clpips.models.metric.distance import weigh
from clpips.models.metric.families import PLACES
from clpips.models.metric.nets import CONVOLUTIONS
from clpips.models.metric.weights_files import load_weights
from loadtest.kit.reference import load_lpips

Pixels = NDArray[np.uint8]  # (n, h, w, 3)
WEIGHTS = load_weights("lpips").values
BOUNDS = {"exact": 1e-5, "fast": 2e-3}  # largest difference from float64; `fast` also keeps the order:
SPEARMAN = 0.9999
PICTURES, PAIRS = 36, 600


def scenes(count: int, side: int, seed: int = 0) -> Pixels:
    """Pictures with the smoothness and the grain of photographs."""
    rng = np.random.default_rng(seed)
    pictures = []
    for _ in range(count):
        field = np.zeros((side, side, 3))
        for cells in (3, 9, 27):
            coarse = Image.fromarray(rng.integers(0, 256, (cells, cells, 3), dtype=np.uint8))
            field += np.asarray(coarse.resize((side, side), Image.Resampling.BICUBIC)) / np.sqrt(cells)
        field = (field - field.min()) / np.ptp(field) * 255 + rng.normal(0, 4, field.shape)
        pictures.append(field.clip(0, 255).astype(np.uint8))
    return np.stack(pictures)


def related(side: int) -> tuple[Pixels, NDArray[np.intp]]:
    """Pictures, and 600 pairs of them `(600, 2)`, from near copies to strangers."""
    originals = scenes(PICTURES, side)
    blends = np.linspace(0, 1, PICTURES).reshape(-1, 1, 1, 1)
    images = (originals * (1 - blends) + originals[::-1] * blends).round().astype(np.uint8)
    pairs = np.array([(first, second) for first in range(PICTURES) for second in range(first)])
    return images, pairs[:PAIRS]


def spearman(first: NDArray[np.floating], second: NDArray[np.floating]) -> float:
    """Spearman's rank correlation of two series `(n,)`; equal values share their mean rank."""
    return float(np.corrcoef(_ranks(first), _ranks(second))[0, 1])


def _ranks(values: NDArray[np.floating]) -> NDArray[np.float64]:
    _, places, counts = np.unique(values, return_inverse=True, return_counts=True)
    ranks: NDArray[np.float64] = (counts.cumsum() - (counts - 1) / 2)[places]
    return ranks


def as_lpips(images: Pixels, device: str, dtype: torch.dtype) -> torch.Tensor:
    return torch.from_numpy(images).to(device).permute(0, 3, 1, 2).to(dtype) / 127.5 - 1


def check(engines: dict[str, Engine]) -> list[dict[str, Any]]:
    """Distances of 600 pairs, from near copies to strangers, against `lpips` in float64 on the CPU."""
    images, pairs = related(64)
    with torch.inference_mode():
        every = as_lpips(images, "cpu", torch.float64)
        expected = load_lpips().double()(every[pairs[:, 0]], every[pairs[:, 1]]).flatten().numpy()
    report = []
    for name, engine in engines.items():
        features = engine.embed(images)
        z = engine.compare([features[i] for i in pairs[:, 0]], [features[i] for i in pairs[:, 1]])
        found = weigh(z, WEIGHTS)
        difference, order = float(np.abs(found - expected).max()), spearman(found, expected)
        holds = difference <= BOUNDS[engine.precision] and order >= SPEARMAN
        report.append({"engine": name, "largest_difference": difference, "spearman": order, "holds": holds})
    return report


def check_half() -> list[dict[str, Any]]:
    """The network in both half precisions, on the CPU whatever computes in them in use, against float32."""
    images, pairs = related(256)
    exact = _distances(torch.float32, images, pairs)
    report = []
    for dtype in (torch.float16, torch.bfloat16):
        found = _distances(dtype, images, pairs)
        difference, order = float(np.abs(found - exact).max()), spearman(found, exact)
        report.append({"dtype": str(dtype).removeprefix("torch."), "largest_difference": difference, "spearman": order})
    return report


@torch.inference_mode()
def _distances(dtype: torch.dtype, images: Pixels, pairs: NDArray[np.intp]) -> NDArray[np.float32]:
    network, kernels, layout = AlexNetTaps(load_backbone(), dtype), PlainKernels("cpu", dtype), layout_of(256, 256)
    features = [TorchFeatures(layout, torch.empty(layout.elements, dtype=dtype)) for _ in images]
    kernels.store(network(kernels.blocks(torch.from_numpy(images))), features)
    z = kernels.compare([features[one] for one in pairs[:, 0]], [features[one] for one in pairs[:, 1]])
    return weigh(z.numpy(), WEIGHTS[PLACES["aligned"]])


def distances_in_float64(
    targets: Sequence[Pixels], candidates: Sequence[Pixels], weights: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Distances `(n, k)` of n pairs of images `(h, w, 3)` by each of k rows of weights `(k, z)`, all of it in float64.

    Of the weights those of AlexNet's families count. An array that stands in several pairs is embedded once.
    """
    images = {id(image): image for side in (targets, candidates) for image in side}
    embedded = {key: _maps_in_float64(image) for key, image in images.items()}
    z = []
    for pair in zip(targets, candidates, strict=True):
        a, b = (embedded[id(image)] for image in pair)  # of each tap (c, h'*w')
        families = (
            [((x - y) ** 2).mean(axis=1) for x, y in zip(a, b, strict=True)],
            [(x.mean(axis=1) - y.mean(axis=1)) ** 2 for x, y in zip(a, b, strict=True)],
            [(x.std(axis=1) - y.std(axis=1)) ** 2 for x, y in zip(a, b, strict=True)],
        )
        z.append(np.concatenate([layer for layers in families for layer in layers]))
    return np.stack(z) @ weights[:, : len(z[0])].T.astype(np.float64)


@torch.inference_mode()
def _maps_in_float64(image: Pixels) -> list[NDArray[np.float64]]:
    tensors = {name: torch.from_numpy(tensor).double() for name, tensor in load_backbone().tensors.items()}
    gain, offset = (torch.tensor(values, dtype=torch.float64).reshape(1, 3, 1, 1) for values in (GAIN, OFFSET))
    x = torch.from_numpy(image).permute(2, 0, 1)[None].double() * gain + offset
    maps = []
    for key, _, _, _, stride, padding, pooled in CONVOLUTIONS:
        x = torch.nn.functional.max_pool2d(x, 3, 2) if pooled else x
        x = torch.relu(torch.nn.functional.conv2d(x, tensors[f"{key}.weight"], tensors[f"{key}.bias"], stride, padding))
        unit = x / (x.square().sum(1, keepdim=True).sqrt() + EPSILON)
        maps.append(unit[0].flatten(1).numpy())
    return maps
