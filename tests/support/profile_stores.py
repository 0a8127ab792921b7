"""A store of profiles on each kind of database, with a small quota, and what tests put there."""

from collections.abc import AsyncIterator

import pytest

from clpips.service.storage.database import Database
from clpips.service.storage.profiles import ProfileStore
from clpips.service.storage.records import KeptRanking, Profile, TenantQuota
from tests.support.databases import BACKBONE, version

TENANT = "studio"


@pytest.fixture
async def store(database: Database) -> ProfileStore:
    return ProfileStore(database, TenantQuota(profiles=3, rankings=5))


async def made(store: ProfileStore, name: str = "ada", tenant: str = TENANT) -> Profile:
    return await store.create(tenant, name, "lpips", BACKBONE, version())


async def numbers(store: ProfileStore, profile: Profile) -> list[int]:
    return [kept.number async for kept in counting(store, profile)]


def counting(store: ProfileStore, profile: Profile) -> AsyncIterator[KeptRanking]:
    return store.rankings(profile.id, profile.latest_ranking)
