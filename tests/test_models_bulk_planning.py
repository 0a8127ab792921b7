"""The plan of a job: every row once, shards within their bounds, groups whole where they fit, the same every time."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from clpips.models.bulk.options import Bounds
from clpips.models.bulk.planning import Shards, plan
from clpips.models.bulk.tiles import tile, tile_count, tile_pairs, tile_sizes

Pairs = list[tuple[int, int]]
images_ = st.integers(0, 30)
rows_ = st.builds(lambda one, others: [(one, other) for other in others], images_, st.lists(images_, max_size=3))
tables = st.lists(rows_, max_size=30)


def planned(rows: list[Pairs], bounds: Bounds) -> Shards:
    counts = [len(pairs) for pairs in rows]
    ends = np.array([pair for pairs in rows for pair in pairs], np.int32).reshape(-1, 2)
    return plan(len(rows), np.repeat(np.arange(len(rows)), counts), ends[:, 0], ends[:, 1], 31, bounds)


def images_of(rows: list[Pairs], numbers: NDArray[np.int64]) -> set[int]:
    return {image for number in numbers for pair in rows[number] for image in pair}


@given(tables, st.integers(2, 12), st.integers(1, 12))
@settings(max_examples=60, deadline=None)
def test_every_row_is_in_one_shard_and_shards_keep_their_bounds(rows: list[Pairs], images: int, pairs: int) -> None:
    shards = planned(rows, Bounds(images, pairs, 0))
    numbers = [shards.rows_of(shard) for shard in range(len(shards))]
    assert sorted(np.concatenate(numbers).tolist() if numbers else []) == list(range(len(rows)))
    seen: dict[int, set[int]] = {}
    for shard, own in enumerate(numbers):
        assert len(own)
        assert (np.diff(own) > 0).all()
        if len(own) > 1:  # a row is never cut
            assert len(images_of(rows, own)) <= images
            assert sum(max(len(rows[number]), 1) for number in own) <= pairs
        for image in images_of(rows, own):
            seen.setdefault(image, set()).add(shard)
    assert set(np.flatnonzero(shards.shared)) == {image for image, found in seen.items() if len(found) > 1}


def test_an_image_behind_rows_without_pairs_is_not_shared() -> None:
    assert not planned([[], [], [(0, 0)]], Bounds(3, 1, 0)).shared.any()


@given(tables)
@settings(max_examples=10, deadline=None)
def test_a_plan_is_the_same_every_time(rows: list[Pairs]) -> None:
    first, second = (planned(rows, Bounds(6, 8, 0)) for _ in range(2))
    assert first.rows.tolist() == second.rows.tolist()
    assert first.row_ends.tolist() == second.row_ends.tolist()


def test_groups_that_fit_stay_whole_and_nothing_is_shared() -> None:
    rows = [[(3 * number, 3 * number + place)] for place in (1, 2) for number in range(10)]
    shards = planned(rows, Bounds(7, 100, 0))
    assert not shards.shared.any()
    assert [len(shards.rows_of(shard)) for shard in range(len(shards))] == [4, 4, 4, 4, 4]


def test_one_target_against_everything_shares_the_target_alone() -> None:
    shards = planned([[(0, image)] for image in range(1, 31)], Bounds(8, 100, 0))
    assert np.flatnonzero(shards.shared).tolist() == [0]


def test_tiles_of_a_large_group_load_few_images_a_pair() -> None:
    pairs = [[(i, j)] for i in range(30) for j in range(i + 1, 30)]
    shards = planned(pairs, Bounds(10, 1000, 0))
    loads = sum(len(images_of(pairs, shards.rows_of(shard))) for shard in range(len(shards)))
    assert loads < len(pairs) / 2


@pytest.mark.parametrize(("rows", "block"), [(2, 1), (3, 2), (10, 3), (9, 3), (5, 8)])
def test_tiles_have_every_pair_of_a_list_once(rows: int, block: int) -> None:
    found = []
    sizes = tile_sizes(rows, block)
    assert len(sizes) == tile_count(rows, block)
    for number in range(tile_count(rows, block)):
        own, others = tile(number, rows, block)
        i, j = tile_pairs(own, others)
        assert len(i) == sizes[number]
        found += list(zip((i + own.start).tolist(), (j + others.start).tolist(), strict=True))
    assert sorted(found) == [(i, j) for i in range(rows) for j in range(i + 1, rows)]
