"""Rankings as the database keeps them: given back whole, replaced, found, and counted in a quota."""

from datetime import timedelta

import numpy as np
import pytest

from clpips.service.storage.errors import QuotaReachedError, RankingMissingError
from clpips.service.storage.profiles import ProfileStore
from tests.support import databases, profile_stores
from tests.support.databases import distances, ranking
from tests.support.profile_stores import TENANT, counting, made, numbers

database = databases.database
store = profile_stores.store


async def test_more_rankings_than_the_limit_are_refused_until_a_profile_is_deleted(store: ProfileStore) -> None:
    await made(store)
    await made(store, "bob")
    for seed in range(5):
        await store.add_ranking(TENANT, "ada", ranking(seed))
    with pytest.raises(QuotaReachedError, match="5 rankings"):
        await store.add_ranking(TENANT, "bob", ranking())
    await store.delete(TENANT, "ada")
    await store.add_ranking(TENANT, "bob", ranking())


async def test_a_ranking_comes_back_as_it_was_given(store: ProfileStore) -> None:
    await made(store)
    given = ranking(7, ranks=(2, 1, 2))
    receipt = await store.add_ranking(TENANT, "ada", given)
    (kept,) = [kept async for kept in counting(store, receipt.profile)]
    assert (kept.number, kept.ranks, kept.guessed) == (receipt.number, [2, 1, 2], 0.5)
    assert (kept.target, kept.candidates) == (given.target, given.candidates)
    np.testing.assert_array_equal(kept.channel_distances, distances(7))


async def test_the_same_order_of_a_comparison_sent_again_is_the_same_ranking(store: ProfileStore) -> None:
    await made(store)
    first = await store.add_ranking(TENANT, "ada", ranking(comparison="c", guessed=0.25))
    again = await store.add_ranking(TENANT, "ada", ranking(comparison="c", guessed=0.75))
    assert [(one.number, one.guessed, one.repeated) for one in (first, again)] == [(1, 0.25, False), (1, 0.25, True)]
    assert again.profile == first.profile


async def test_another_order_of_a_comparison_replaces_the_first(store: ProfileStore) -> None:
    await made(store)
    await store.add_ranking(TENANT, "ada", ranking(comparison="c"))
    profile = (await store.add_ranking(TENANT, "ada", ranking(ranks=(3, 2, 1), comparison="c"))).profile
    assert await numbers(store, profile) == [2]
    assert profile.rankings == 1


async def test_a_replaced_order_is_gone_and_takes_no_place_of_the_quota(store: ProfileStore) -> None:
    await made(store)
    for place in range(4):
        await store.add_ranking(TENANT, "ada", ranking(place))
    for ranks in ((1, 2, 3), (3, 2, 1), (2, 1, 3)):
        profile = (await store.add_ranking(TENANT, "ada", ranking(ranks=ranks, comparison="c"))).profile
    assert (profile.rankings, profile.latest_ranking) == (5, 7)
    with pytest.raises(RankingMissingError, match="no ranking 6"):
        await store.ranking(profile, 6)


async def test_a_ranking_is_found_by_number_and_by_target_without_what_was_measured(store: ProfileStore) -> None:
    await made(store)
    for seed in (1, 2, 1):
        profile = (await store.add_ranking(TENANT, "ada", ranking(seed, ranks=(2, 1, 2)))).profile
    one = await store.ranking(profile, 2)
    assert (one.number, one.ranks, one.target) == (2, [2, 1, 2], f"{2:064x}")
    assert one.created_at.utcoffset() == timedelta(0)
    assert [kept.number for kept in await store.rankings_of(profile.id, f"{1:064x}")] == [1, 3]


@pytest.mark.parametrize("last", [3, 4, 5, 9])
async def test_more_rankings_than_a_page_come_whole_and_in_order(store: ProfileStore, last: int) -> None:
    await made(store)
    for seed in range(5):
        profile = (await store.add_ranking(TENANT, "ada", ranking(seed))).profile
    found = [kept.number async for kept in store.rankings(profile.id, last, page=2)]
    assert found == [1, 2, 3, 4, 5][:last]


async def test_rankings_without_a_comparison_all_count(store: ProfileStore) -> None:
    await made(store)
    await store.add_ranking(TENANT, "ada", ranking())
    profile = (await store.add_ranking(TENANT, "ada", ranking())).profile
    assert await numbers(store, profile) == [1, 2]
    assert profile.rankings == 2
