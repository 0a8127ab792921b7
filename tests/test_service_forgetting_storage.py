"""Rankings that are forgotten: they are gone with what learned from them, whoever forgets at the same time."""

import asyncio

import pytest

from clpips.service.storage.database import Database
from clpips.service.storage.errors import ProfileMissingError, RankingMissingError, VersionSupersededError
from clpips.service.storage.profiles import ProfileStore
from clpips.service.storage.records import NewVersion, TenantQuota
from tests.support import databases, profile_stores
from tests.support.databases import BACKBONE, ranking, version
from tests.support.profile_stores import TENANT, made, numbers

database = databases.database
store = profile_stores.store


async def test_a_forgotten_ranking_is_gone_and_so_is_what_learned_from_it(store: ProfileStore) -> None:
    await made(store)
    for seed in range(3):
        seen = (await store.add_ranking(TENANT, "ada", ranking(seed))).profile
        await store.add_fitted(seen, version(seed), "so", taken=True, again=False)
    profile = await store.forget_ranking(TENANT, "ada", 2)
    assert (profile.rankings, profile.current_version, profile.latest_version) == (2, 1, 4)
    assert (profile.fitted_ranking, profile.epoch) == (0, seen.epoch + 1)
    assert await numbers(store, profile) == [1, 3]
    assert [one.superseded for one in await store.versions(profile.id, None, 10)] == [True, True, False, False]
    with pytest.raises(VersionSupersededError, match="version 3"):
        await store.rollback(TENANT, "ada", 3)
    assert (await store.rollback(TENANT, "ada", 2)).current_version == 2
    assert await store.add_fitted(seen, version(9), "so", taken=True, again=True) is None


async def test_a_version_that_never_saw_what_is_forgotten_stays_in_use(store: ProfileStore) -> None:
    await made(store)
    seen = (await store.add_ranking(TENANT, "ada", ranking(1))).profile
    await store.add_fitted(seen, version(2), "so", taken=True, again=False)
    seen = (await store.add_ranking(TENANT, "ada", ranking(2))).profile
    await store.add_fitted(seen, version(3), "worse", taken=False, again=False)
    profile = await store.forget_ranking(TENANT, "ada", 2)
    assert (profile.current_version, profile.rankings) == (2, 1)


async def test_forgetting_after_an_import_answers_as_what_was_imported(store: ProfileStore) -> None:
    await made(store)
    await store.import_version(TENANT, "ada", NewVersion(version(5).weights, "imported", 256, {}))
    seen = (await store.add_ranking(TENANT, "ada", ranking())).profile
    await store.add_fitted(seen, version(2), "so", taken=True, again=False)
    profile = await store.forget_ranking(TENANT, "ada", 1)
    assert (profile.current_version, profile.rankings) == (2, 0)
    assert profile.fitted_ranking == profile.latest_ranking  # there is nothing to fit
    assert await store.unlearned(BACKBONE) == []


async def test_a_forgotten_ranking_leaves_its_place_of_the_quota_and_its_number_to_nobody(store: ProfileStore) -> None:
    await made(store)
    for seed in range(5):
        await store.add_ranking(TENANT, "ada", ranking(seed))
    await store.forget_ranking(TENANT, "ada", 5)
    assert (await store.add_ranking(TENANT, "ada", ranking(6))).number == 6
    for number in (5, 0, -1, 7, 2**63):
        with pytest.raises(RankingMissingError):
            await store.forget_ranking(TENANT, "ada", number)
    with pytest.raises(ProfileMissingError):
        await store.forget_ranking("another", "ada", 1)
    assert (await store.find(TENANT, "ada")).rankings == 5


async def test_what_is_left_after_forgetting_is_caught_up_where_its_fit_was_lost(store: ProfileStore) -> None:
    await made(store)
    for seed in range(2):
        seen = (await store.add_ranking(TENANT, "ada", ranking(seed))).profile
    await store.add_fitted(seen, version(2), "so", taken=True, again=False)
    assert await store.unlearned(BACKBONE) == []
    await store.forget_ranking(TENANT, "ada", 1)
    assert [profile.name for profile in await store.unlearned(BACKBONE)] == ["ada"]


async def test_many_who_forget_at_once_forget_each_ranking_once(database_url: str) -> None:
    databases = [Database(database_url) for _ in range(3)]
    stores = [ProfileStore(database, TenantQuota(10, 12)) for database in databases]
    await made(stores[0])
    for seed in range(12):
        await stores[0].add_ranking(TENANT, "ada", ranking(seed))
    results = await asyncio.gather(
        *(stores[turn % 3].forget_ranking(TENANT, "ada", 1 + turn % 6) for turn in range(18)), return_exceptions=True
    )
    assert sum(isinstance(result, RankingMissingError) for result in results) == 12
    profile = await stores[0].find(TENANT, "ada")
    assert (profile.rankings, profile.epoch) == (6, 6)
    assert await numbers(stores[0], profile) == list(range(7, 13))
    for seed in range(6):  # the quota has as many places again
        await stores[1].add_ranking(TENANT, "ada", ranking(seed))
    for database in databases:
        await database.close()
