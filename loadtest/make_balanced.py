"""Make the weights `balanced`, the loudness of channels, and the table of typical distances, from natural images.

    python -m loadtest.make_balanced FOLDER... [--out models/data/weights/balanced.safetensors] [--loudness FILE]

All channels of a family weigh the same; each family adds the same to the mean distance over all pairs of a folder's
images, every folder counting alike; and that mean distance is LPIPS's. A channel's loudness is the root mean square of
its distance (`models/metric/loudness.py` reads it). Printed are the rows of the two tables of
`models/metric/typical.py`: of the same mean, and of how families' sums are spread around it.
"""

import argparse
import hashlib
from collections.abc import Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clpips.models.engines.opening import open_engine
from clpips.models.engines.several import compare_images, embed_images
from clpips.models.images.decoding import load_image
from clpips.models.metric.backbone import DEFAULT_RESOLUTION
from clpips.models.metric.distance import weigh
from clpips.models.metric.families import FAMILIES, GROUPS, PLACES, Z_LENGTH
from clpips.models.metric.loudness import NATURAL_LOUDNESS, save_loudness
from clpips.models.metric.typical import LEVEL_SHARES
from clpips.models.metric.weights import LayerWeights, combine_families
from clpips.models.metric.weights_files import SHIPPED_WEIGHTS, load_weights, save_weights

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp"}
MAX_PIXELS = 100_000_000
CREATED = "2026-11-27T00:00:00+00:00"  # fixed: the same images make the same file


def channel_means(
    contents: list[bytes],
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Over all pairs: mean of `z` and of its square, `(6016,)` each; and each family's sum, `(pairs, families)`."""
    engine = open_engine("onnx", "cpu")
    features = embed_images(engine, [load_image(content, DEFAULT_RESOLUTION, MAX_PIXELS) for content in contents])
    total, squares = np.zeros(Z_LENGTH), np.zeros(Z_LENGTH)  # (z,) each
    sums = []
    pairs = list(combinations(range(len(features)), 2))
    for first in range(len(features) - 1):
        rest = features[first + 1 :]
        z = compare_images(engine, [features[first]] * len(rest), rest).astype(np.float64)  # (n, z)
        total += z.sum(axis=0)
        squares += np.square(z).sum(axis=0)
        sums.append(np.stack([z[:, place].sum(axis=1) for place in PLACES.values()], axis=1))  # (n, families)
    engine.close()
    return total / len(pairs), squares / len(pairs), np.concatenate(sums)


def quantiles(sets: Sequence[NDArray[np.float64]]) -> NDArray[np.float64]:
    """Quantiles at `LEVEL_SHARES` of some numbers, `(n,)` in each set, every set counting alike."""
    values = np.concatenate(sets)
    weights = np.concatenate([np.full(len(each), 1 / len(each)) for each in sets])
    order = np.argsort(values)
    shares = np.cumsum(weights[order]) / len(sets)
    return np.interp(LEVEL_SHARES, shares, values[order])


def balanced(mean: NDArray[np.float64], lpips: NDArray[np.float32]) -> NDArray[np.float32]:
    """Weights, float32 `(6016,)`, under which families are alike at the mean `z`, `(6016,)`, and as far as `lpips`."""
    share = float(weigh(mean[np.newaxis].astype(np.float32), lpips)[0]) / len(FAMILIES)  # a family's part of a distance
    return combine_families(
        {
            name: np.full(place.stop - place.start, share / mean[place].sum(), np.float32)
            for name, place in PLACES.items()
        }
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("folders", type=Path, nargs="+", metavar="FOLDER")
    parser.add_argument("--out", type=Path, default=SHIPPED_WEIGHTS / "balanced.safetensors")
    parser.add_argument("--loudness", type=Path, default=NATURAL_LOUDNESS)
    arguments = parser.parse_args()
    sets = [
        [path.read_bytes() for path in sorted(folder.iterdir()) if path.suffix.lower() in SUFFIXES]
        for folder in arguments.folders
    ]
    contents = [content for each in sets for content in each]
    digest = hashlib.sha256("".join(sorted(hashlib.sha256(one).hexdigest() for one in contents)).encode()).hexdigest()
    means, squares, sums = zip(*(channel_means(each) for each in sets), strict=True)
    mean = np.mean(means, axis=0)  # (z,)
    for family in FAMILIES:
        layers = [mean[group.place].mean() for group in GROUPS if group.family == family.name]
        print(f'    "{family.name}": ({", ".join(f"{value:.3e}" for value in layers)}{"," * (len(layers) == 1)}),')
    for number, (name, place) in enumerate(PLACES.items()):
        levels = quantiles([each[:, number] / mean[place].sum() for each in sums])
        print(f'    "{name}": ({", ".join(f"{value:.3f}" for value in levels)}),')
    counts = " and ".join(str(len(each)) for each in sets)
    weights = LayerWeights(
        balanced(mean, load_weights("lpips").values),
        name="balanced",
        recipe=f"balanced: families alike in mean distance over all pairs of {counts} images, sha256 {digest}",
        created=CREATED,
    )
    save_weights(weights, arguments.out)
    loudness = np.sqrt(np.mean(squares, axis=0))  # (z,)
    save_loudness(loudness.astype(np.float32), arguments.loudness)
    for path in (arguments.out, arguments.loudness):
        print(f"wrote {path}, sha256 {hashlib.sha256(path.read_bytes()).hexdigest()}")


if __name__ == "__main__":
    main()
