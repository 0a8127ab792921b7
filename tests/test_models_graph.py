"""Graphs of comparisons: their Laplacian, by blocks, is the one that its definition gives."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clpips.models.fitting.convex.graph import Graph


def by_definition(n: int, low: list[int], high: list[int], curvature: list[float]) -> np.ndarray:
    whole = np.zeros((n + 1, n + 1))
    for one, other, bent in zip(low, high, curvature, strict=True):
        edge = np.zeros(n + 1)
        edge[one], edge[other] = -1, 1
        whole += bent * np.outer(edge, edge)
    return whole[:n, :n]


@given(st.lists(st.integers(2, 7), min_size=1, max_size=8), st.booleans(), st.booleans(), st.integers(0, 50))
@settings(max_examples=60, deadline=None)
def test_a_laplacian_by_blocks_is_that_of_the_whole_graph(
    sizes: list[int], told: bool, shuffled: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    n = sum(sizes)
    place = rng.permutation(n) if shuffled else np.arange(n)
    groups = np.repeat(rng.permutation(100)[: len(sizes)], sizes)
    low, high, start = [], [], 0
    for size in sizes:
        nodes = [*place[start : start + size].tolist(), n]  # and the ground
        for _ in range(2 * size):
            one, other = rng.choice(len(nodes), 2, replace=False)
            low.append(nodes[one])
            high.append(nodes[other])
        start += size
    curvature, x = rng.integers(0, 4, len(low)).astype(np.float64), rng.normal(size=(n, 3)).astype(np.float32)
    of_rows = np.empty(n, np.intp)
    of_rows[place] = groups
    graph = Graph(n, np.array(low), np.array(high), of_rows if told else None)
    laplacian, expected = graph.laplacian(curvature), by_definition(n, low, high, curvature.tolist())
    assert np.allclose(laplacian.times(x), expected @ x, atol=1e-4)
    assert np.allclose(laplacian.times(x[:, 0]), expected @ x[:, 0], atol=1e-4)


@pytest.mark.parametrize("sizes", [[9] * 20, [1] * 30, [2, 9, 5], [40, 1, 1]], ids=str)
def test_blocks_take_no_more_than_the_whole_would(sizes: list[int]) -> None:
    n = sum(sizes)
    graph = Graph(n, np.array([0]), np.array([n]), np.repeat(np.arange(len(sizes)), sizes))
    assert graph.laplacian(np.ones(1)).cells <= n**2
