"""Make the weights `balanced`, and the table of typical distances, from a folder of natural images.

    python -m loadtest.make_balanced FOLDER [--out models/data/weights/balanced.safetensors]

All channels of a family weigh the same; each family adds the same to the mean distance over all pairs of the images;
and that mean distance is LPIPS's. Printed are the rows of `models/metric/typical.py`.
"""

import argparse
import hashlib
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clpips.models.engines.opening import open_engine
from clpips.models.images.decoding import load_image
from clpips.models.metric.backbone import DEFAULT_RESOLUTION
from clpips.models.metric.distance import weigh
from clpips.models.metric.families import FAMILIES, GROUPS, PLACES, Z_LENGTH
from clpips.models.metric.weights import LayerWeights, combine_families
from clpips.models.metric.weights_files import SHIPPED_WEIGHTS, load_weights, save_weights

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp"}
MAX_PIXELS = 100_000_000
CREATED = "2026-11-27T00:00:00+00:00"  # fixed: the same images make the same file


def mean_distances(contents: list[bytes]) -> NDArray[np.float64]:
    """`z`, `(3456,)`, averaged over all pairs of the images."""
    engine = open_engine("onnx", "cpu")
    features = engine.embed([load_image(content, DEFAULT_RESOLUTION, MAX_PIXELS) for content in contents])
    total = np.zeros(Z_LENGTH)  # (z,)
    pairs = list(combinations(range(len(features)), 2))
    for first in range(len(features) - 1):
        rest = features[first + 1 :]
        total += engine.compare([features[first]] * len(rest), rest).sum(axis=0, dtype=np.float64)
    engine.close()
    return total / len(pairs)


def balanced(mean: NDArray[np.float64], lpips: NDArray[np.float32]) -> NDArray[np.float32]:
    """Weights, float32 `(3456,)`, under which families are alike at the mean `z`, `(3456,)`, and as far as `lpips`."""
    share = float(weigh(mean[np.newaxis].astype(np.float32), lpips)[0]) / len(FAMILIES)  # a family's part of a distance
    return combine_families(
        {
            name: np.full(place.stop - place.start, share / mean[place].sum(), np.float32)
            for name, place in PLACES.items()
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folder", type=Path, metavar="FOLDER")
    parser.add_argument("--out", type=Path, default=SHIPPED_WEIGHTS / "balanced.safetensors")
    arguments = parser.parse_args()
    paths = sorted(path for path in arguments.folder.iterdir() if path.suffix.lower() in SUFFIXES)
    contents = [path.read_bytes() for path in paths]
    digest = hashlib.sha256("".join(sorted(hashlib.sha256(one).hexdigest() for one in contents)).encode()).hexdigest()
    mean = mean_distances(contents)
    for family in FAMILIES:
        layers = [mean[group.place].mean() for group in GROUPS if group.family == family.name]
        print(f'    "{family.name}": ({", ".join(f"{value:.3e}" for value in layers)}),')
    weights = LayerWeights(
        balanced(mean, load_weights("lpips").values),
        name="balanced",
        recipe=f"balanced: families alike in mean distance over all pairs of {len(paths)} images, sha256 {digest}",
        created=CREATED,
    )
    save_weights(weights, arguments.out)
    print(f"wrote {arguments.out}, sha256 {hashlib.sha256(arguments.out.read_bytes()).hexdigest()}")


if __name__ == "__main__":
    main()
