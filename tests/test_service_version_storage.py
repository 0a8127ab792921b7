"""Versions that come of fits: kept, used, or overtaken by what was said since."""

import pytest

from clpips.service.storage.errors import VersionMissingError
from clpips.service.storage.profiles import ProfileStore
from clpips.service.storage.records import NewVersion
from tests.support import databases, profile_stores
from tests.support.databases import ranking, version
from tests.support.profile_stores import TENANT, made

database = databases.database
store = profile_stores.store


async def test_a_fit_that_a_replacement_has_overtaken_is_not_kept(store: ProfileStore) -> None:
    await made(store)
    seen = (await store.add_ranking(TENANT, "ada", ranking(comparison="c"))).profile
    await store.add_ranking(TENANT, "ada", ranking(ranks=(3, 2, 1), comparison="c"))
    assert await store.add_fitted(seen, version(2), "so", taken=True, again=True) is None


@pytest.mark.parametrize("given", [version(3), None])
async def test_what_learned_from_a_replaced_order_is_used_until_the_next_fit_and_no_longer(
    store: ProfileStore, given: NewVersion | None
) -> None:
    await made(store)
    seen = (await store.add_ranking(TENANT, "ada", ranking(comparison="c"))).profile
    await store.add_fitted(seen, version(2), "so", taken=True, again=False)
    seen = (await store.add_ranking(TENANT, "ada", ranking(ranks=(3, 2, 1), comparison="c"))).profile
    assert (seen.current_version, seen.fitted_ranking) == (2, 0)
    kept = await store.add_fitted(seen, given, "too little", taken=False, again=False)
    assert kept is not None
    assert (kept[0].current_version, kept[0].fitted_ranking, kept[0].waiting) == (1, 2, "too little")
    assert [one.superseded for one in await store.versions(seen.id, 3, 10)] == [True, False]


async def test_a_fit_that_another_has_overtaken_is_not_kept(store: ProfileStore) -> None:
    await made(store)
    seen = (await store.add_ranking(TENANT, "ada", ranking(1))).profile
    later = (await store.add_ranking(TENANT, "ada", ranking(2))).profile
    assert await store.add_fitted(later, version(2), "so", taken=True, again=False) is not None
    assert await store.add_fitted(seen, version(3), "so", taken=True, again=False) is None
    assert await store.add_fitted(later, version(4), "so", taken=True, again=False) is None
    assert (await store.find(TENANT, "ada")).latest_version == 2


async def test_a_fit_that_a_reset_has_overtaken_is_not_kept(store: ProfileStore) -> None:
    await made(store)
    seen = (await store.add_ranking(TENANT, "ada", ranking())).profile
    await store.reset(TENANT, "ada")
    assert await store.add_fitted(seen, version(2), "so", taken=True, again=True) is None


async def test_a_proposed_version_is_kept_but_not_used_until_it_is_rolled_to(store: ProfileStore) -> None:
    await made(store)
    seen = (await store.add_ranking(TENANT, "ada", ranking())).profile
    kept = await store.add_fitted(seen, version(2), "so", taken=False, again=False)
    assert kept is not None
    assert kept[1] is not None
    assert (kept[0].current_version, kept[1].number, kept[1].taken) == (1, 2, False)
    assert (await store.rollback(TENANT, "ada", 2)).current_version == 2


async def test_rolling_back_to_a_version_that_never_was_is_refused(store: ProfileStore) -> None:
    await made(store)
    with pytest.raises(VersionMissingError, match="versions are 1 to 1"):
        await store.rollback(TENANT, "ada", 2)
