"""Numerical parity: how far the exported metric's distances are from the PyTorch engine's."""

from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from clpips.models.engines.onnx_runtime import load_runtime
from clpips.models.engines.pytorch.engine import TorchEngine
from clpips.models.engines.several import compare_images, embed_images
from clpips.models.metric.backbone_file import Backbone
from clpips.models.metric.distance import weigh

SIZES: Final = ((64, 64), (256, 256), (97, 131))  # height and width in pixels


@dataclass(frozen=True)
class Parity:
    """How far two ways to the same distances are apart, over `pairs` pairs of `size`."""

    size: tuple[int, int]  # height and width in pixels
    pairs: int
    largest_difference: float


def measure_parity(
    graph: Path, backbone: Backbone, weights: NDArray[np.float32], pairs: int = 8, seed: int = 0
) -> list[Parity]:
    """Compare distances of the exported metric with the PyTorch engine's (float32, CPU), at each of `SIZES`.

    `graph` is the whole metric as `export_onnx` wrote it, `weights` float32 `(6016,)`. Images are smooth random fields
    with noise, and their partners blended with others, so that distances cover the range that real pairs have.
    """
    session = load_runtime().InferenceSession(graph, providers=["CPUExecutionProvider"])
    engine = TorchEngine(backbone=backbone)
    rng = np.random.default_rng(seed)
    report = []
    for height, width in SIZES:
        target, other = (_random_images(rng, pairs, height, width) for _ in range(2))  # (n, h, w, 3)
        share = np.linspace(0.02, 1, pairs).reshape(-1, 1, 1, 1)  # (n, 1, 1, 1)
        candidate = (target * (1 - share) + other * share).round().astype(np.uint8)  # (n, h, w, 3)
        (exported,) = session.run(["distances"], {"target": target, "candidate": candidate, "weights": weights})  # (n,)
        z = compare_images(engine, embed_images(engine, target), embed_images(engine, candidate))  # (n, 6016)
        difference = float(np.abs(exported - weigh(z, weights)).max())
        report.append(Parity((height, width), pairs, difference))
    engine.close()
    return report


def _random_images(rng: np.random.Generator, count: int, height: int, width: int) -> NDArray[np.uint8]:
    coarse = rng.integers(0, 256, (count, -(-height // 16), -(-width // 16), 3))  # (n, h/16, w/16, 3)
    smooth = coarse.repeat(16, axis=1).repeat(16, axis=2)[:, :height, :width]  # (n, h, w, 3)
    noisy = smooth + rng.normal(0, 20, smooth.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)
