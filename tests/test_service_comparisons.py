"""Comparisons: found again for a while, by their tenant, within a bound of memory."""

from dataclasses import replace

import numpy as np
import pytest

from clpips.models.metric.families import Z_LENGTH
from clpips.service.problems import ComparisonNotFound
from clpips.service.profiles.comparisons import RecentComparisons, held_bytes
from clpips.service.storage.records import Comparison

TEN = Comparison("studio", np.ones((10, Z_LENGTH), np.float16), "t" * 64, ["c" * 64] * 10, 256, "b" * 64)


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_a_comparison_is_found_under_its_id_until_it_expires() -> None:
    clock = Clock()
    comparisons = RecentComparisons(60, 2**20, clock=clock)
    name = await comparisons.keep(TEN)
    clock.now = 59.9
    assert await comparisons.find("studio", name) is TEN
    clock.now = 60.1
    with pytest.raises(ComparisonNotFound, match="kept for 60 s"):
        await comparisons.find("studio", name)


async def test_another_tenant_does_not_find_it() -> None:
    comparisons = RecentComparisons(60, 2**20)
    name = await comparisons.keep(TEN)
    with pytest.raises(ComparisonNotFound):
        await comparisons.find("rivals", name)


async def test_the_oldest_leave_when_the_memory_is_full() -> None:
    comparisons = RecentComparisons(60, 3 * held_bytes(TEN))
    names = [await comparisons.keep(replace(TEN, target=f"{number:064}")) for number in range(4)]
    with pytest.raises(ComparisonNotFound):
        await comparisons.find("studio", names[0])
    assert [(await comparisons.find("studio", name)).target for name in names[1:]] == [f"{n:064}" for n in (1, 2, 3)]


async def test_ids_are_long_and_never_the_same() -> None:
    comparisons = RecentComparisons(60, 2**30)
    names = {await comparisons.keep(TEN) for _ in range(100)}
    assert len(names) == 100
    assert min(map(len, names)) >= 22
