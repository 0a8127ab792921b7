"""Step: how exact both precisions are on the device, of LPIPS, and of `balanced`, which runs both networks.

    python -m loadtest.device.exactness

The reference computes in float64 on the CPU: for LPIPS it is the package itself.
"""

import sys

import numpy as np
import torch
from numpy.typing import NDArray

from clpips.models.engines.contract import Engine, Precision
from clpips.models.engines.pytorch.content import ContentNetwork
from clpips.models.engines.pytorch.engine import TorchEngine
from clpips.models.engines.several import compare_images, embed_images
from clpips.models.images.resize import resize
from clpips.models.metric.backbone_file import load_content
from clpips.models.metric.content import CONTENT_SIDE
from clpips.models.metric.distance import weigh
from clpips.models.metric.families import CONTENT, NETWORK_PLACES
from clpips.models.metric.weights_files import load_weights
from loadtest.device.rows import emit, require_device
from loadtest.kit.exactness import BOUNDS, SPEARMAN, check, distances_in_float64, related, spearman

PRECISIONS: tuple[Precision, ...] = ("exact", "fast")
SIDE = 64  # of the pictures, as in `check`
STEP = 3  # of the pictures, `balanced` is checked on every third: float64 is slow in grouped convolutions


def balanced_in_float64(images: NDArray[np.uint8], pairs: NDArray[np.intp]) -> NDArray[np.float64]:
    """Distances `(n,)` of `balanced` of pairs `(n, 2)` of images `(m, h, w, 3)`, both networks in float64."""
    weights = load_weights("balanced").values.astype(np.float64)  # (z,)
    rows = list(images)
    targets, candidates = ([rows[one] for one in side] for side in pairs.T)
    alexnet = distances_in_float64(targets, candidates, weights[None].astype(np.float32))[:, 0]
    squares = np.stack([resize(image, CONTENT_SIDE) for image in images])  # (m, s, s, 3)
    with torch.inference_mode():
        maps = ContentNetwork(load_content(), torch.float64)(torch.from_numpy(squares))[0].numpy()  # (m, 1280, h, w)
    both = np.stack([maps.mean(axis=(2, 3)), maps.std(axis=(2, 3))], axis=1)  # (m, 2, 1280)
    statistics = both / np.linalg.norm(both, axis=2, keepdims=True)
    z = ((statistics[pairs[:, 0]] - statistics[pairs[:, 1]]) ** 2).reshape(len(pairs), -1)  # (n, 2560)
    distances: NDArray[np.float64] = alexnet + z @ weights[NETWORK_PLACES[CONTENT]]
    return distances


def main() -> int:
    device = require_device()
    engines: dict[str, Engine] = {f"torch {one}": TorchEngine(device, one) for one in PRECISIONS}
    for row in check(engines):
        _say("lpips", engines[row["engine"]], row["largest_difference"], row["spearman"])
    images = related(SIDE)[0][::STEP]
    pairs = np.array([(first, second) for first in range(len(images)) for second in range(first)])  # (66, 2)
    expected = balanced_in_float64(images, pairs)
    weights = load_weights("balanced").values
    for engine in engines.values():
        features = embed_images(engine, images)
        z = compare_images(engine, [features[one] for one in pairs[:, 0]], [features[one] for one in pairs[:, 1]])
        found = weigh(z, weights)
        _say("balanced", engine, float(np.abs(found - expected).max()), spearman(found, expected))
    return 0


def _say(metric: str, engine: Engine, difference: float, order: float) -> None:
    bound = BOUNDS[engine.precision]
    emit(f"{metric}, {engine.precision}: largest difference from float64", difference, most=bound, anywhere=True)
    emit(f"{metric}, {engine.precision}: Spearman", order, least=SPEARMAN, anywhere=True)


if __name__ == "__main__":
    sys.exit(main())
