"""Comparisons that replicas share: the database has them until they expire."""

from dataclasses import astuple
from datetime import timedelta

import numpy as np
from sqlalchemy import select

from clpips.service.storage.comparisons import ComparisonStore
from clpips.service.storage.database import Database
from clpips.service.storage.records import Comparison
from clpips.service.storage.tables import ComparisonRow
from tests.support import databases
from tests.support.clocks import Clock
from tests.support.databases import BACKBONE, distances
from tests.support.profile_stores import TENANT

database = databases.database


async def test_a_shared_comparison_is_found_until_it_expires_and_its_row_goes_with_a_later_one(
    database: Database,
) -> None:
    clock = Clock()
    comparisons = ComparisonStore(database, ttl=60, clock=clock)
    kept = Comparison(TENANT, distances(1), "t" * 64, ["c" * 64] * 3, 256, BACKBONE, masked=True)
    await comparisons.put("first", kept)
    clock.now += timedelta(seconds=59)
    found = await comparisons.get("first")
    assert found is not None
    for came, went in zip(astuple(found), astuple(kept), strict=True):
        np.testing.assert_array_equal(came, went)
    clock.now += timedelta(seconds=2)
    assert await comparisons.get("first") is None
    await comparisons.put("second", kept)
    async with database.read() as session:
        assert (await session.scalars(select(ComparisonRow.id))).all() == ["second"]
