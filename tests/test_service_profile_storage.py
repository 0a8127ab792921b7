"""Profiles in SQLite and in PostgreSQL: names, tenants, pages, quotas, and what a reset and a deletion leave."""

import numpy as np
import pytest

from clpips.models.metric.families import Z_LENGTH
from clpips.service.storage.errors import NameTakenError, ProfileMissingError, QuotaReachedError
from clpips.service.storage.profiles import ProfileStore
from tests.support import databases, profile_stores
from tests.support.databases import ranking, version
from tests.support.profile_stores import TENANT, made, numbers

database = databases.database
store = profile_stores.store


async def test_a_new_profile_uses_its_first_version(store: ProfileStore) -> None:
    profile = await made(store)
    assert (profile.current_version, profile.latest_version, profile.latest_ranking) == (1, 1, 0)
    first = await store.version(profile.id, 1)
    np.testing.assert_array_equal(first.weights, np.ones(Z_LENGTH, np.float32))


async def test_a_name_is_taken_once_in_a_tenant(store: ProfileStore) -> None:
    await made(store)
    with pytest.raises(NameTakenError):
        await made(store)
    assert (await made(store, tenant="another")).tenant == "another"


async def test_a_tenant_does_not_find_anothers_profile(store: ProfileStore) -> None:
    await made(store)
    for name in ("ada", "nobody"):
        with pytest.raises(ProfileMissingError, match=f"there is no profile '{name}'"):
            await store.find("another", name)
    assert await store.page("another", "", 10) == []


async def test_profiles_come_by_name_in_pages(store: ProfileStore) -> None:
    for name in ("carl", "ada", "bob"):
        await made(store, name)
    assert [profile.name for profile in await store.page(TENANT, "", 2)] == ["ada", "bob"]
    assert [profile.name for profile in await store.page(TENANT, "bob", 2)] == ["carl"]


async def test_more_profiles_than_the_limit_are_refused_until_one_is_deleted(store: ProfileStore) -> None:
    for name in ("ada", "bob", "carl"):
        await made(store, name)
    with pytest.raises(QuotaReachedError, match="3 profiles"):
        await made(store, "dora")
    await store.delete(TENANT, "bob")
    await made(store, "dora")


async def test_a_reset_gives_back_the_places_of_the_quota(store: ProfileStore) -> None:
    await made(store)
    for _ in range(2):
        for seed in range(5):
            await store.add_ranking(TENANT, "ada", ranking(seed))
        await store.reset(TENANT, "ada")


async def test_a_reset_begins_again_and_forgets_the_rankings_so_far(store: ProfileStore) -> None:
    await made(store)
    seen = (await store.add_ranking(TENANT, "ada", ranking())).profile
    await store.add_fitted(seen, version(2), "so", taken=True, again=False)
    profile = await store.reset(TENANT, "ada")
    assert (profile.current_version, profile.rankings) == (3, 0)
    assert (await store.version(profile.id, 3)).weights[0] == 1.0
    assert await numbers(store, profile) == []
    profile = (await store.add_ranking(TENANT, "ada", ranking(9))).profile
    assert await numbers(store, profile) == [2]


async def test_deleting_a_profile_leaves_nothing_of_it(store: ProfileStore) -> None:
    profile = await made(store)
    await store.add_ranking(TENANT, "ada", ranking())
    assert await store.delete(TENANT, "ada") == (1, 1)
    assert await numbers(store, profile) == []
    assert await store.versions(profile.id, None, 10) == []
    with pytest.raises(ProfileMissingError):
        await store.find(TENANT, "ada")
    assert (await made(store)).id != profile.id
