"""The databases themselves: which are served, how they are migrated, and what their tables and rows hold."""

import asyncio
import sqlite3
import threading
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from clpips.models.metric.families import ALEXNET, NETWORK_PLACES, Z_LENGTH
from clpips.service.storage.database import Database
from clpips.service.storage.errors import StorageError
from clpips.service.storage.profiles import ProfileStore
from clpips.service.storage.schema import newest_revision
from clpips.service.storage.tables import (
    Row,
    pack_channel_distances,
    pack_weights,
    unpack_channel_distances,
    unpack_weights,
)
from tests.support import databases, profile_stores
from tests.support.databases import fresh_database
from tests.support.profile_stores import TENANT, made

database = databases.database
store = profile_stores.store


async def test_migrating_again_changes_nothing(database: Database, store: ProfileStore) -> None:
    await made(store)
    await database.migrate()
    assert await database.revision() == newest_revision()
    assert (await store.find(TENANT, "ada")).name == "ada"


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


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ("port=abc", "non-integer port"),
        ("port=99999", "there is no port 99999"),
        ("host=a:1&host=b:70000", "there is no port 70000"),
        ("host=a&host=b&port=1&port=2&port=3", "host"),
        ("ssl=maybe", "ssl is once one of disable,"),
        ("sslmode=require&sslmode=disable", "ssl is once one of disable,"),
    ],
)
def test_options_that_no_postgresql_can_have_are_told_before_it_is_asked(options: str, told: str) -> None:
    with pytest.raises(StorageError, match=rf"postgresql://.*; .*{told}"):
        Database(f"postgresql://host/clpips?{options}")


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
