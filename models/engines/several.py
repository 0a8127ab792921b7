"""Several networks at once, for callers that have whole images at hand: each image's features by network, and `z`.

The service keeps and computes each network's features by themselves (`service/scoring/pipeline.py`).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from clpips.models.engines.contract import Engine, Features, Images
from clpips.models.metric.distance import weigh
from clpips.models.metric.families import (
    ALL_FAMILIES,
    ALL_NETWORKS,
    FAMILIES_OF,
    LAYOUTS,
    NETWORKS,
    Families,
    Networks,
    networks_of,
)
from clpips.models.metric.masks import Region
from clpips.models.metric.tiles import tile_rows

ImageFeatures = Mapping[str, Features]  # of one image, by network


def embed_images(engine: Engine, images: Images, networks: Networks = ALL_NETWORKS) -> list[ImageFeatures]:
    """Each image's features by each of these networks; images as `Engine.embed` takes them."""
    made = {name: engine.embed(images, network=name) for name in NETWORKS if name in networks}
    return [{name: features[place] for name, features in made.items()} for place in range(len(images))]


def compare_images(
    engine: Engine,
    targets: Sequence[ImageFeatures],
    candidates: Sequence[ImageFeatures],
    families: Families = ALL_FAMILIES,
    mask: Region | None = None,
) -> NDArray[np.float32]:
    """Channel distances of n pairs, within a mask if there is one, float32 `(n, z)`; families not asked for are 0.

    Raises `KeyError` where an image has no features of a network that the families need.
    """
    z = np.zeros((len(targets), LAYOUTS[engine.net.name].length), np.float32)  # (n, z)
    for name in NETWORKS:
        if name in networks_of(families):
            sides: list[list[Any]] = [[one[name] for one in side] for side in (targets, candidates)]
            own = families & FAMILIES_OF[name]
            if mask is None:
                z += engine.compare(sides[0], sides[1], own)
            else:
                for row, target, candidate in zip(z, *sides, strict=True):
                    row += engine.compare_within(target, candidate, mask, own)
    return z


def all_distances(
    engine: Engine, images: Sequence[ImageFeatures], weights: NDArray[np.float32], families: Families
) -> NDArray[np.float32]:
    """Distances `(n, n)` of n images from each other by weights `(z,)`: those of `compare_images`, to the bit.

    The diagonal is 0. Raises `KeyError` as `compare_images` does.
    """
    distances = np.zeros((len(images), len(images)), np.float32)
    length = LAYOUTS[engine.net.name].length
    for row in tile_rows(range(len(images))):
        for own, others in row:
            z = np.zeros((len(own), len(others), length), np.float32)  # (t, c, z)
            for name in networks_of(families):
                sides: list[list[Any]] = [[images[place][name] for place in side] for side in (own, others)]
                z += engine.compare_all(sides[0], sides[1], families & FAMILIES_OF[name])
            tile = weigh(z.reshape(-1, length), weights).reshape(z.shape[:2])  # (t, c)
            distances[np.ix_(own, others)] = tile
            distances[np.ix_(others, own)] = tile.T
    return distances


def nbytes_of(features: ImageFeatures) -> int:
    """Bytes of memory that keeping an image's features costs."""
    return sum(one.nbytes for one in features.values())
