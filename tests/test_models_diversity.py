"""Diversity of a set, and the tiles by which all its pairs are compared."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from clpips.models.metric.diversity import NORMAL_95, diversity
from clpips.models.metric.tiles import tile_rows


def distances_of(points: list[float]) -> NDArray[np.float32]:
    return np.abs(np.subtract.outer(points, points)).astype(np.float32)


@given(st.lists(st.floats(0, 1), min_size=3, max_size=12))
def test_the_interval_is_the_jackknifes(points: list[float]) -> None:
    found = diversity(distances_of(points))
    count = len(points)

    def mean(chosen: list[float]) -> float:
        return float(distances_of(chosen)[np.triu_indices(len(chosen), 1)].mean(dtype=np.float64))

    without = [mean(points[:place] + points[place + 1 :]) for place in range(count)]
    error = np.sqrt((count - 1) / count * np.square(np.array(without) - np.mean(without)).sum())
    assert found.mean == pytest.approx(mean(points), abs=1e-6)
    assert found.high == pytest.approx(mean(points) + NORMAL_95 * error, abs=1e-6)
    assert found.low == pytest.approx(max(mean(points) - NORMAL_95 * error, 0), abs=1e-6)


def test_images_that_are_all_alike_have_no_diversity() -> None:
    assert diversity(np.zeros((4, 4), np.float32)) == (0.0, 0.0, 0.0)


@given(st.integers(0, 20), st.integers(1, 9))
def test_tiles_have_every_pair_and_no_tile_is_too_large(count: int, size: int) -> None:
    tiles = [tile for row in tile_rows(range(count), size) for tile in row]
    pairs = {tuple(sorted((a, b))) for own, others in tiles for a in own for b in others}
    assert pairs == {(a, b) for a in range(count) for b in range(a, count)}
    assert all(len(own) <= size and len(others) <= size for own, others in tiles)
