"""Profiles in SQLite and in PostgreSQL: the same behaviour, and nothing acknowledged is ever lost."""

import asyncio
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import AsyncIterator
from contextlib import closing
from dataclasses import astuple
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import select

from clpips.models.metric.families import ALEXNET, NETWORK_PLACES, Z_LENGTH
from clpips.service.storage.comparisons import ComparisonStore
from clpips.service.storage.database import Database, newest_revision
from clpips.service.storage.errors import (
    NameTakenError,
    ProfileMissingError,
    QuotaReachedError,
    RankingMissingError,
    StorageError,
    VersionMissingError,
    VersionSupersededError,
)
from clpips.service.storage.profiles import ProfileStore
from clpips.service.storage.records import Comparison, KeptRanking, NewVersion, Profile, TenantQuota
from clpips.service.storage.tables import (
    ComparisonRow,
    Row,
    pack_channel_distances,
    pack_weights,
    unpack_channel_distances,
    unpack_weights,
)
from tests.support.databases import BACKBONE, distances, fresh_database, ranking, version

T = "studio"


@pytest.fixture
async def database(database_url: str) -> AsyncIterator[Database]:
    database = Database(database_url)
    yield database
    await database.close()


@pytest.fixture
async def store(database: Database) -> ProfileStore:
    return ProfileStore(database, TenantQuota(profiles=3, rankings=5))


class Clock:
    """A time of day that stands still until it is moved."""

    now = datetime(2026, 1, 1, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


async def made(store: ProfileStore, name: str = "ada", tenant: str = T) -> Profile:
    return await store.create(tenant, name, "lpips", BACKBONE, version())


async def numbers(store: ProfileStore, profile: Profile) -> list[int]:
    return [kept.number async for kept in counting(store, profile)]


def counting(store: ProfileStore, profile: Profile) -> AsyncIterator[KeptRanking]:
    return store.rankings(profile.id, profile.latest_ranking)


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
    assert [profile.name for profile in await store.page(T, "", 2)] == ["ada", "bob"]
    assert [profile.name for profile in await store.page(T, "bob", 2)] == ["carl"]


async def test_more_profiles_than_the_limit_are_refused_until_one_is_deleted(store: ProfileStore) -> None:
    for name in ("ada", "bob", "carl"):
        await made(store, name)
    with pytest.raises(QuotaReachedError, match="3 profiles"):
        await made(store, "dora")
    await store.delete(T, "bob")
    await made(store, "dora")


async def test_more_rankings_than_the_limit_are_refused_until_a_profile_is_deleted(store: ProfileStore) -> None:
    await made(store)
    await made(store, "bob")
    for seed in range(5):
        await store.add_ranking(T, "ada", ranking(seed))
    with pytest.raises(QuotaReachedError, match="5 rankings"):
        await store.add_ranking(T, "bob", ranking())
    await store.delete(T, "ada")
    await store.add_ranking(T, "bob", ranking())


async def test_a_ranking_comes_back_as_it_was_given(store: ProfileStore) -> None:
    await made(store)
    given = ranking(7, ranks=(2, 1, 2))
    receipt = await store.add_ranking(T, "ada", given)
    (kept,) = [kept async for kept in counting(store, receipt.profile)]
    assert (kept.number, kept.ranks, kept.guessed) == (receipt.number, [2, 1, 2], 0.5)
    assert (kept.target, kept.candidates) == (given.target, given.candidates)
    np.testing.assert_array_equal(kept.channel_distances, distances(7))


async def test_the_same_order_of_a_comparison_sent_again_is_the_same_ranking(store: ProfileStore) -> None:
    await made(store)
    first = await store.add_ranking(T, "ada", ranking(comparison="c", guessed=0.25))
    again = await store.add_ranking(T, "ada", ranking(comparison="c", guessed=0.75))
    assert [(one.number, one.guessed, one.repeated) for one in (first, again)] == [(1, 0.25, False), (1, 0.25, True)]
    assert again.profile == first.profile


async def test_another_order_of_a_comparison_replaces_the_first(store: ProfileStore) -> None:
    await made(store)
    await store.add_ranking(T, "ada", ranking(comparison="c"))
    profile = (await store.add_ranking(T, "ada", ranking(ranks=(3, 2, 1), comparison="c"))).profile
    assert await numbers(store, profile) == [2]
    assert profile.rankings == 1


async def test_a_replaced_order_is_gone_and_takes_no_place_of_the_quota(store: ProfileStore) -> None:
    await made(store)
    for place in range(4):
        await store.add_ranking(T, "ada", ranking(place))
    for ranks in ((1, 2, 3), (3, 2, 1), (2, 1, 3)):
        profile = (await store.add_ranking(T, "ada", ranking(ranks=ranks, comparison="c"))).profile
    assert (profile.rankings, profile.latest_ranking) == (5, 7)
    with pytest.raises(RankingMissingError, match="no ranking 6"):
        await store.ranking(profile, 6)


async def test_a_fit_that_a_replacement_has_overtaken_is_not_kept(store: ProfileStore) -> None:
    await made(store)
    seen = (await store.add_ranking(T, "ada", ranking(comparison="c"))).profile
    await store.add_ranking(T, "ada", ranking(ranks=(3, 2, 1), comparison="c"))
    assert await store.add_fitted(seen, version(2), "so", taken=True, again=True) is None


@pytest.mark.parametrize("given", [version(3), None])
async def test_what_learned_from_a_replaced_order_is_used_until_the_next_fit_and_no_longer(
    store: ProfileStore, given: NewVersion | None
) -> None:
    await made(store)
    seen = (await store.add_ranking(T, "ada", ranking(comparison="c"))).profile
    await store.add_fitted(seen, version(2), "so", taken=True, again=False)
    seen = (await store.add_ranking(T, "ada", ranking(ranks=(3, 2, 1), comparison="c"))).profile
    assert (seen.current_version, seen.fitted_ranking) == (2, 0)
    kept = await store.add_fitted(seen, given, "too little", taken=False, again=False)
    assert kept is not None
    assert (kept[0].current_version, kept[0].fitted_ranking, kept[0].waiting) == (1, 2, "too little")
    assert [one.superseded for one in await store.versions(seen.id, 3, 10)] == [True, False]


async def test_a_forgotten_ranking_is_gone_and_so_is_what_learned_from_it(store: ProfileStore) -> None:
    await made(store)
    for seed in range(3):
        seen = (await store.add_ranking(T, "ada", ranking(seed))).profile
        await store.add_fitted(seen, version(seed), "so", taken=True, again=False)
    profile = await store.forget_ranking(T, "ada", 2)
    assert (profile.rankings, profile.current_version, profile.latest_version) == (2, 1, 4)
    assert (profile.fitted_ranking, profile.epoch) == (0, seen.epoch + 1)
    assert await numbers(store, profile) == [1, 3]
    assert [one.superseded for one in await store.versions(profile.id, None, 10)] == [True, True, False, False]
    with pytest.raises(VersionSupersededError, match="version 3"):
        await store.rollback(T, "ada", 3)
    assert (await store.rollback(T, "ada", 2)).current_version == 2
    assert await store.add_fitted(seen, version(9), "so", taken=True, again=True) is None


async def test_a_version_that_never_saw_what_is_forgotten_stays_in_use(store: ProfileStore) -> None:
    await made(store)
    seen = (await store.add_ranking(T, "ada", ranking(1))).profile
    await store.add_fitted(seen, version(2), "so", taken=True, again=False)
    seen = (await store.add_ranking(T, "ada", ranking(2))).profile
    await store.add_fitted(seen, version(3), "worse", taken=False, again=False)
    profile = await store.forget_ranking(T, "ada", 2)
    assert (profile.current_version, profile.rankings) == (2, 1)


async def test_forgetting_after_an_import_answers_as_what_was_imported(store: ProfileStore) -> None:
    await made(store)
    await store.import_version(T, "ada", NewVersion(version(5).weights, "imported", 256, {}))
    seen = (await store.add_ranking(T, "ada", ranking())).profile
    await store.add_fitted(seen, version(2), "so", taken=True, again=False)
    profile = await store.forget_ranking(T, "ada", 1)
    assert (profile.current_version, profile.rankings) == (2, 0)
    assert profile.fitted_ranking == profile.latest_ranking  # there is nothing to fit
    assert await store.unlearned(BACKBONE) == []


async def test_a_forgotten_ranking_leaves_its_place_of_the_quota_and_its_number_to_nobody(store: ProfileStore) -> None:
    await made(store)
    for seed in range(5):
        await store.add_ranking(T, "ada", ranking(seed))
    await store.forget_ranking(T, "ada", 5)
    assert (await store.add_ranking(T, "ada", ranking(6))).number == 6
    for number in (5, 0, -1, 7, 2**63):
        with pytest.raises(RankingMissingError):
            await store.forget_ranking(T, "ada", number)
    with pytest.raises(ProfileMissingError):
        await store.forget_ranking("another", "ada", 1)
    assert (await store.find(T, "ada")).rankings == 5


async def test_what_is_left_after_forgetting_is_caught_up_where_its_fit_was_lost(store: ProfileStore) -> None:
    await made(store)
    for seed in range(2):
        seen = (await store.add_ranking(T, "ada", ranking(seed))).profile
    await store.add_fitted(seen, version(2), "so", taken=True, again=False)
    assert await store.unlearned(BACKBONE) == []
    await store.forget_ranking(T, "ada", 1)
    assert [profile.name for profile in await store.unlearned(BACKBONE)] == ["ada"]


async def test_many_who_forget_at_once_forget_each_ranking_once(database_url: str) -> None:
    databases = [Database(database_url) for _ in range(3)]
    stores = [ProfileStore(database, TenantQuota(10, 12)) for database in databases]
    await made(stores[0])
    for seed in range(12):
        await stores[0].add_ranking(T, "ada", ranking(seed))
    results = await asyncio.gather(
        *(stores[turn % 3].forget_ranking(T, "ada", 1 + turn % 6) for turn in range(18)), return_exceptions=True
    )
    assert sum(isinstance(result, RankingMissingError) for result in results) == 12
    profile = await stores[0].find(T, "ada")
    assert (profile.rankings, profile.epoch) == (6, 6)
    assert await numbers(stores[0], profile) == list(range(7, 13))
    for seed in range(6):  # the quota has as many places again
        await stores[1].add_ranking(T, "ada", ranking(seed))
    for database in databases:
        await database.close()


async def test_a_ranking_is_found_by_number_and_by_target_without_what_was_measured(store: ProfileStore) -> None:
    await made(store)
    for seed in (1, 2, 1):
        profile = (await store.add_ranking(T, "ada", ranking(seed, ranks=(2, 1, 2)))).profile
    one = await store.ranking(profile, 2)
    assert (one.number, one.ranks, one.target) == (2, [2, 1, 2], f"{2:064x}")
    assert one.created_at.utcoffset() == timedelta(0)
    assert [kept.number for kept in await store.rankings_of(profile.id, f"{1:064x}")] == [1, 3]


@pytest.mark.parametrize("last", [3, 4, 5, 9])
async def test_more_rankings_than_a_page_come_whole_and_in_order(store: ProfileStore, last: int) -> None:
    await made(store)
    for seed in range(5):
        profile = (await store.add_ranking(T, "ada", ranking(seed))).profile
    found = [kept.number async for kept in store.rankings(profile.id, last, page=2)]
    assert found == [1, 2, 3, 4, 5][:last]


async def test_rankings_without_a_comparison_all_count(store: ProfileStore) -> None:
    await made(store)
    await store.add_ranking(T, "ada", ranking())
    profile = (await store.add_ranking(T, "ada", ranking())).profile
    assert await numbers(store, profile) == [1, 2]
    assert profile.rankings == 2


async def test_a_fit_that_another_has_overtaken_is_not_kept(store: ProfileStore) -> None:
    await made(store)
    seen = (await store.add_ranking(T, "ada", ranking(1))).profile
    later = (await store.add_ranking(T, "ada", ranking(2))).profile
    assert await store.add_fitted(later, version(2), "so", taken=True, again=False) is not None
    assert await store.add_fitted(seen, version(3), "so", taken=True, again=False) is None
    assert await store.add_fitted(later, version(4), "so", taken=True, again=False) is None
    assert (await store.find(T, "ada")).latest_version == 2


async def test_a_fit_that_a_reset_has_overtaken_is_not_kept(store: ProfileStore) -> None:
    await made(store)
    seen = (await store.add_ranking(T, "ada", ranking())).profile
    await store.reset(T, "ada")
    assert await store.add_fitted(seen, version(2), "so", taken=True, again=True) is None


async def test_a_proposed_version_is_kept_but_not_used_until_it_is_rolled_to(store: ProfileStore) -> None:
    await made(store)
    seen = (await store.add_ranking(T, "ada", ranking())).profile
    kept = await store.add_fitted(seen, version(2), "so", taken=False, again=False)
    assert kept is not None
    assert kept[1] is not None
    assert (kept[0].current_version, kept[1].number, kept[1].taken) == (1, 2, False)
    assert (await store.rollback(T, "ada", 2)).current_version == 2


async def test_rolling_back_to_a_version_that_never_was_is_refused(store: ProfileStore) -> None:
    await made(store)
    with pytest.raises(VersionMissingError, match="versions are 1 to 1"):
        await store.rollback(T, "ada", 2)


async def test_a_reset_gives_back_the_places_of_the_quota(store: ProfileStore) -> None:
    await made(store)
    for _ in range(2):
        for seed in range(5):
            await store.add_ranking(T, "ada", ranking(seed))
        await store.reset(T, "ada")


async def test_a_reset_begins_again_and_forgets_the_rankings_so_far(store: ProfileStore) -> None:
    await made(store)
    seen = (await store.add_ranking(T, "ada", ranking())).profile
    await store.add_fitted(seen, version(2), "so", taken=True, again=False)
    profile = await store.reset(T, "ada")
    assert (profile.current_version, profile.rankings) == (3, 0)
    assert (await store.version(profile.id, 3)).weights[0] == 1.0
    assert await numbers(store, profile) == []
    profile = (await store.add_ranking(T, "ada", ranking(9))).profile
    assert await numbers(store, profile) == [2]


async def test_deleting_a_profile_leaves_nothing_of_it(store: ProfileStore) -> None:
    profile = await made(store)
    await store.add_ranking(T, "ada", ranking())
    assert await store.delete(T, "ada") == (1, 1)
    assert await numbers(store, profile) == []
    assert await store.versions(profile.id, None, 10) == []
    with pytest.raises(ProfileMissingError):
        await store.find(T, "ada")
    assert (await made(store)).id != profile.id


async def test_a_shared_comparison_is_found_until_it_expires_and_its_row_goes_with_a_later_one(
    database: Database,
) -> None:
    clock = Clock()
    comparisons = ComparisonStore(database, ttl=60, clock=clock)
    kept = Comparison(T, distances(1), "t" * 64, ["c" * 64] * 3, 256, BACKBONE)
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


async def test_many_writers_at_once_lose_nothing_and_share_no_number(database_url: str) -> None:
    databases = [Database(database_url) for _ in range(3)]
    stores = [ProfileStore(database, TenantQuota(10, 1000)) for database in databases]
    await made(stores[0])
    results = await asyncio.gather(
        *(stores[seed % 3].add_ranking(T, "ada", ranking(seed)) for seed in range(30)),
    )
    assert sorted(receipt.number for receipt in results) == list(range(1, 31))
    for database in databases:
        await database.close()


WRITER = """
import asyncio, sys
from clpips.service.storage.database import Database
from clpips.service.storage.profiles import ProfileStore
from clpips.service.storage.records import TenantQuota
from tests.support.databases import ranking, version

async def main():
    store = ProfileStore(Database(sys.argv[1]), TenantQuota(10, 100000))
    for seed in range(100000):
        receipt = await store.add_ranking("studio", "ada", ranking(seed))
        await store.add_fitted(receipt.profile, version(receipt.number + 1), "so", taken=True, again=False)
        print(receipt.number, flush=True)

asyncio.run(main())
"""


@pytest.mark.parametrize("after", [1, 4, 11])
async def test_a_killed_process_loses_no_acknowledged_ranking_and_leaves_usable_weights(
    database_url: str, after: int
) -> None:
    database = Database(database_url)
    store = ProfileStore(database, TenantQuota(10, 100_000))
    await made(store)
    acknowledged = await asyncio.to_thread(_write_until_killed, database_url, after)
    profile = await store.find(T, "ada")
    assert profile.latest_ranking >= acknowledged
    assert await numbers(store, profile) == list(range(1, profile.latest_ranking + 1))
    current = await store.version(profile.id, profile.current_version)
    assert current.weights.shape == (Z_LENGTH,)
    assert profile.current_version == profile.latest_version >= acknowledged
    await store.add_ranking(T, "ada", ranking(comparison="after the crash"))
    await database.close()


def _write_until_killed(url: str, after: int) -> int:
    """Rankings that a process acknowledged until SIGKILL hit it in the middle of its work."""
    command = [sys.executable, "-c", WRITER, url]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for _ in range(after):
            process.stdout.readline()
        process.send_signal(signal.SIGKILL)
        rest = process.stdout.read().split()
    return int(rest[-1]) if rest else after


async def test_migrating_again_changes_nothing(database: Database, store: ProfileStore) -> None:
    await made(store)
    await database.migrate()
    assert await database.revision() == newest_revision()
    assert (await store.find(T, "ada")).name == "ada"


async def test_processes_that_migrate_at_once_wait_for_each_other(tmp_path: Path) -> None:
    databases = [Database(f"sqlite:///{tmp_path}/new/clpips.db") for _ in range(3)]
    await asyncio.gather(*(database.migrate() for database in databases))
    for database in databases:
        assert await database.revision() == newest_revision()
        await database.close()


def test_an_sqlite_database_is_kept_in_a_write_ahead_log(tmp_path: Path) -> None:
    with fresh_database("sqlite", tmp_path), closing(sqlite3.connect(tmp_path / "clpips.db")) as connection:
        assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)


@pytest.mark.parametrize("url", ["mysql://host/clpips", "clpips.db", "", "sqlite+pysqlite:///x.db"])
def test_another_database_is_refused_by_name_of_those_that_are_served(url: str) -> None:
    with pytest.raises(StorageError, match=r"sqlite:///clpips\.db or postgresql://"):
        Database(url)


async def test_a_database_that_cannot_be_reached_is_one_clear_error(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    others = set(threading.enumerate())  # of services that other tests keep running
    database = Database(f"sqlite:///{tmp_path}/file/clpips.db")
    with pytest.raises(StorageError):
        await database.revision()
    await database.close()
    for thread in set(threading.enumerate()) - others:  # the driver's, which still tells this loop that it has ended
        if "_connection_worker_thread" in thread.name:
            await asyncio.to_thread(thread.join)


async def test_the_migrations_make_the_tables_that_the_code_describes(database: Database) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.runtime.migration import MigrationContext
    from sqlalchemy import Connection

    def differences(connection: Connection) -> list[object]:
        typed = connection.dialect.name != "sqlite"  # which keeps BINARY(16) as a name that is reflected as NUMERIC
        context = MigrationContext.configure(connection, opts={"compare_type": typed})
        return list(compare_metadata(context, Row.metadata))

    async with database.read() as session:
        assert await (await session.connection()).run_sync(differences) == []


def test_rows_of_alexnets_families_alone_are_read_as_those_and_no_others() -> None:
    alexnet = NETWORK_PLACES[ALEXNET]
    kept = np.random.default_rng(0).random((3, alexnet.stop)).astype(np.float16)
    assert np.array_equal(unpack_channel_distances(pack_channel_distances(kept), 3), kept)
    weights = np.zeros(Z_LENGTH, np.float32)
    weights[alexnet] = 1
    assert len(pack_weights(weights)) == 4 * alexnet.stop
    assert np.array_equal(unpack_weights(pack_weights(weights)), weights)
    weights[-1] = 1
    assert np.array_equal(unpack_weights(pack_weights(weights)), weights)
    with pytest.raises(ValueError, match="3 weights belong to no networks"):
        unpack_weights(np.ones(3, np.float32).tobytes())
