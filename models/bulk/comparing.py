"""Distances of the pairs of a shard, with what each layer and each family adds.

Where positions count, pairs are compared by the engine. Where statistics alone do, that is a matrix product: the
squared differences of n pairs `(n, k)` with the weights, a column for each sum that is asked for; and for all pairs of
two lists of images the products of the lists' statistics themselves, since Σ w (a − b)² = Σ w a² + Σ w b² − 2 Σ w a b.

Products have one shape, filled up with zeros: a pair's distance then does not depend on which pairs stand beside it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from clpips.models.bulk.feature_store import Known
from clpips.models.engines.contract import Engine
from clpips.models.engines.several import ImageFeatures, compare_images
from clpips.models.metric.backbone import CHANNELS
from clpips.models.metric.distance import distance_by_family, distance_by_layer, weigh
from clpips.models.metric.families import ALEXNET, FAMILIES, FAMILIES_OF, GROUPS, Z_LENGTH, networks_of
from clpips.models.metric.tiles import TILE
from clpips.models.metric.weights import LayerWeights

PRODUCT_ROWS: Final = 64  # pairs, or images a side, of a matrix product
RUN: Final = 16  # pairs that the engine compares at a time
LAYERS: Final = len(CHANNELS)
SUMS: Final = 1 + LAYERS + len(FAMILIES)  # of a pair: its distance, its layers, its families


@dataclass(frozen=True)
class Sums:
    """Of n pairs the distance, and what layers and families add: float32 `(n, 11)`."""

    values: NDArray[np.float32]

    @property
    def distances(self) -> NDArray[np.float32]:
        return self.values[:, 0]

    @property
    def layers(self) -> NDArray[np.float32]:
        return self.values[:, 1 : 1 + LAYERS]

    @property
    def families(self) -> NDArray[np.float32]:
        return self.values[:, 1 + LAYERS :]


class Comparison:
    """Weights, and the engine that compares what they weigh."""

    def __init__(self, engine: Engine, weights: LayerWeights) -> None:
        self._engine = engine
        self._weights = weights.values
        self._families = weights.families
        self._statistics = "aligned" not in weights.families
        if self._statistics:
            self._columns, self._pieces = _columns(weights)

    def pairs(self, targets: Sequence[Known], candidates: Sequence[Known]) -> Sums:
        """The sums of n pairs of equally large images."""
        if not targets:
            return Sums(np.zeros((0, SUMS), np.float32))
        if self._statistics:
            rows: list[Any] = [[one.statistics for one in side] for side in (targets, candidates)]
            return Sums(self._product(np.stack(rows[0]), np.stack(rows[1])))
        z = compare_images(self._engine, _features(targets), _features(candidates), self._families)  # (n, 6016)
        return Sums(self._summed(z))

    def block(self, targets: Sequence[Known], candidates: Sequence[Known]) -> NDArray[np.float32]:
        """The sums of every target with every candidate, all equally large: float32 `(t, c, 11)`."""
        if self._statistics:
            sides: list[Any] = [np.stack([one.statistics for one in side]) for side in (targets, candidates)]  # type: ignore[misc]
            found = self._all_pairs(sides[0], sides[1])
            found[[[one.digest == other.digest for other in candidates] for one in targets]] = 0
            return found
        found = np.zeros((len(targets), len(candidates), SUMS), np.float32)
        for top in range(0, len(targets), TILE):
            for left in range(0, len(candidates), TILE):
                own, others = _features(targets[top : top + TILE]), _features(candidates[left : left + TILE])
                z = np.zeros((len(own), len(others), Z_LENGTH), np.float32)
                for name in networks_of(self._families):
                    both: list[list[Any]] = [[one[name] for one in side] for side in (own, others)]
                    z += self._engine.compare_all(both[0], both[1], self._families & FAMILIES_OF[name])
                sums = self._summed(z.reshape(-1, Z_LENGTH)).reshape(*z.shape[:2], SUMS)
                found[top : top + TILE, left : left + TILE] = sums
        return found

    def _summed(self, z: NDArray[np.float32]) -> NDArray[np.float32]:
        """`(n, 11)` of `z` `(n, 6016)`: the numbers that every other way to a distance gives."""
        parts = [weigh(z, self._weights)[:, np.newaxis]]
        parts += [distance_by_layer(z, self._weights), distance_by_family(z, self._weights)]
        return np.concatenate(parts, axis=1)

    def _product(self, targets: NDArray[np.float32], candidates: NDArray[np.float32]) -> NDArray[np.float32]:
        """`(n, 11)` of statistics `(n, k)` of both sides."""
        count = len(targets)
        sums = np.empty((count, SUMS), np.float32)
        squares = np.zeros((PRODUCT_ROWS, targets.shape[1]))  # (64, k)
        for start in range(0, count, PRODUCT_ROWS):
            part = slice(start, min(start + PRODUCT_ROWS, count))
            size = part.stop - part.start
            squares[:size] = np.square(targets[part] - candidates[part])
            squares[size:] = 0
            sums[part] = (squares @ self._columns)[:size]  # (64, k) @ (k, 11)
        return sums

    def _all_pairs(self, targets: NDArray[np.float32], candidates: NDArray[np.float32]) -> NDArray[np.float32]:
        """`(t, c, 11)` of statistics `(t, k)`, `(c, k)`."""
        found = np.zeros((len(targets), len(candidates), SUMS), np.float32)
        sides = [_padded(each) for each in (targets, candidates)]  # (64 m, k), float64
        for top in range(0, len(sides[0]), PRODUCT_ROWS):
            for left in range(0, len(sides[1]), PRODUCT_ROWS):
                own, others = sides[0][top : top + PRODUCT_ROWS], sides[1][left : left + PRODUCT_ROWS]
                tile = np.zeros((PRODUCT_ROWS, PRODUCT_ROWS, SUMS))
                for place, columns in self._pieces:
                    weights = self._columns[place, 0]  # (c,)
                    a, b = own[:, place] * weights, others[:, place]  # (64, c)
                    squared = np.vecdot(a, own[:, place])[:, np.newaxis] + np.vecdot(b * weights, b)
                    part = np.maximum(squared - 2 * (a @ b.T), 0)  # (64, 64)
                    for column in columns:
                        tile[:, :, column] += part
                area = found[top : top + PRODUCT_ROWS, left : left + PRODUCT_ROWS]
                area[:] = tile[: area.shape[0], : area.shape[1]]
        return found


def _features(images: Sequence[Known]) -> list[ImageFeatures]:
    return [one.features for one in images if one.features is not None]


def _padded(rows: NDArray[np.float32]) -> NDArray[np.float64]:
    """`(n, k)` as `(64 m, k)`, float64, with rows of zeros behind."""
    size = -(-len(rows) // PRODUCT_ROWS) * PRODUCT_ROWS
    padded = np.zeros((size, rows.shape[1]))
    padded[: len(rows)] = rows
    return padded


def _columns(weights: LayerWeights) -> tuple[NDArray[np.float64], list[tuple[slice, list[int]]]]:
    """The weights of the statistics that count, `(k, 11)`: for the distance, for each layer, and for each family.

    With them, group by group, their places among the k and the sums that they add to.
    """
    blocks: list[NDArray[np.float64]] = []
    pieces = []
    start = 0
    for number, family in enumerate(FAMILIES):
        for group in (each for each in GROUPS if each.family == family.name and family.name in weights.families):
            columns = [0, 1 + LAYERS + number] + ([1 + group.layer] if family.backbone == ALEXNET else [])
            values = weights.values[group.place].astype(np.float64)  # (c,)
            block = np.zeros((len(values), SUMS))
            block[:, columns] = values[:, np.newaxis]
            blocks.append(block)
            pieces.append((slice(start, start + len(values)), columns))
            start += len(values)
    return np.concatenate(blocks), pieces
