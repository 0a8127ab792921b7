"""SQLite fails: its file is deleted, replaced or full, writers wait, readers stop; and what no database can be."""

import asyncio
import socket
import sqlite3
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from click.testing import CliRunner
from litestar.testing import TestClient
from sqlalchemy import event

import clpips.service.cli
from clpips.models.cli.commands import commands
from clpips.service.storage.breaker import PROBE_PAUSE_SECONDS
from clpips.service.storage.database import Database
from clpips.service.storage.errors import StorageError
from clpips.service.storage.profiles import ProfileStore
from clpips.service.storage.records import TenantQuota
from clpips.service.storage.urls import parse_url, require_file
from tests.support.colours import ColourEngine, bluest, order_of, rank, teach
from tests.support.databases import BACKBONE, ranking, version
from tests.support.services import assert_problem, listening, serving


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data" / "clpips.db"


@pytest.fixture
def client(file: Path) -> Iterator[TestClient[Any]]:
    with serving(ColourEngine(), database_url=f"sqlite:///{file}", profile_refresh_seconds=0.0) as client:
        client.post("/profiles", json={"name": "ada"})
        teach(client, 1)
        rank(client, 1)  # its weights are held from now on
        yield client


def rankings_in(file: Path) -> int:
    """How many a restart would find."""
    with closing(sqlite3.connect(file)) as connection:
        (count,) = connection.execute("SELECT count(*) FROM rankings").fetchone()
        return int(count)


def until_up(client: TestClient[Any]) -> None:
    give_up = time.monotonic() + 20
    while "clpips_db_up 1.0" not in client.get("/metrics").text:
        assert time.monotonic() < give_up
        time.sleep(0.05)


def refuses_changes(client: TestClient[Any], seed: int) -> None:
    for profile in ("lpips", "ada"):  # by what is held, scoring goes on
        assert order_of(rank(client, seed, profile))
    shown = rank(client, seed)
    order = {"comparison": shown["comparison"], "order": bluest(seed)}
    for path, body in (
        ("/profiles", {"name": "new"}),
        ("/profiles/ada/rankings", order),
        ("/profiles/ada/reset", None),
    ):
        assert_problem(client.post(path, json=body), 503, "storage-unavailable")


@pytest.mark.parametrize("suffixes", [("", "-wal", "-shm"), ("",), ("-wal",)])
def test_nothing_is_acknowledged_that_went_into_a_deleted_file(
    client: TestClient[Any], file: Path, suffixes: tuple[str, ...]
) -> None:
    for suffix in suffixes:
        file.with_name(file.name + suffix).unlink()
    refuses_changes(client, 2)
    if suffixes[0] == "":
        assert not file.exists()  # and no empty one is made in its place


def test_nothing_is_acknowledged_that_went_into_a_folder_that_was_moved_away(
    client: TestClient[Any], file: Path
) -> None:
    file.parent.rename(file.parent.with_name("moved"))
    refuses_changes(client, 2)
    file.parent.with_name("moved").rename(file.parent)
    until_up(client)
    assert client.post("/profiles", json={"name": "new"}).status_code == 201
    assert rankings_in(file) == 1


def test_a_database_that_is_put_in_its_place_is_served_from_then_on(
    client: TestClient[Any], file: Path, tmp_path: Path
) -> None:
    backup = tmp_path / "backup.db"
    with closing(sqlite3.connect(file)) as source, closing(sqlite3.connect(backup)) as target:
        source.backup(target)
    teach(client, 2)
    backup.replace(file)
    for suffix in ("-wal", "-shm"):
        file.with_name(file.name + suffix).unlink()
    answer = client.post(
        "/profiles/ada/rankings", json={"comparison": rank(client, 3, "lpips")["comparison"], "order": bluest(3)}
    )
    assert answer.status_code in {201, 503}
    until_up(client)
    assert rankings_in(file) == 1 + (answer.status_code == 201)  # what was acknowledged is there, and nothing is lost
    teach(client, 4)
    assert rankings_in(file) == 2 + (answer.status_code == 201)


def test_what_is_put_in_its_place_and_is_no_database_is_left_alone(client: TestClient[Any], file: Path) -> None:
    file.unlink()
    file.write_text("not a database, and quite long enough to be read as one " * 50)
    before = file.read_bytes()
    refuses_changes(client, 2)
    give_up = time.monotonic() + 3 * PROBE_PAUSE_SECONDS
    while time.monotonic() < give_up:  # whatever is probed meanwhile
        assert "clpips_db_up 0.0" in client.get("/metrics").text
    refuses_changes(client, 3)
    assert file.read_bytes() == before


async def test_a_full_disk_refuses_a_change_and_keeps_what_was(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path}/clpips.db")
    await database.prepare()
    store = ProfileStore(database, TenantQuota(1000, 10_000))
    await store.create("t", "ada", "lpips", BACKBONE, version())
    (_, writing) = database._engines

    def fill(connection: Any, _: Any) -> None:
        connection.cursor().execute("PRAGMA max_page_count=60")

    event.listen(writing.sync_engine, "connect", fill)
    await writing.dispose()

    async def until_full() -> None:
        for seed in range(100):
            await store.add_ranking("t", "ada", ranking(seed))

    with pytest.raises(StorageError, match="full"):
        await until_full()
    kept = (await store.find("t", "ada")).latest_ranking
    assert [one.number async for one in store.rankings((await store.find("t", "ada")).id, kept)] == [
        *range(1, kept + 1)
    ]
    assert database.breaker.is_up  # who only reads has nothing to fear
    await database.close()


def test_a_writer_elsewhere_holds_up_no_reader(client: TestClient[Any], file: Path) -> None:
    with closing(sqlite3.connect(file, isolation_level=None)) as other, ThreadPoolExecutor(20) as threads:
        other.execute("BEGIN IMMEDIATE")
        writing = [threads.submit(client.post, "/profiles", json={"name": f"n{number}"}) for number in range(20)]
        time.sleep(0.3)  # they wait
        started = time.monotonic()
        assert client.get("/profiles/ada").status_code == 200
        rank(client, 5)
        assert time.monotonic() - started < 3
        other.execute("ROLLBACK")
        assert [one.result().status_code for one in writing] == [201] * 20


def test_downloads_that_nobody_reads_take_no_connection(tmp_path: Path) -> None:
    with listening(ColourEngine(), database_url=f"sqlite:///{tmp_path}/clpips.db") as url:
        httpx.post(f"{url}/profiles", json={"name": "ada"}).raise_for_status()
        _fill(tmp_path / "clpips.db")
        parts = urlsplit(url)
        stuck = []
        for _ in range(18):
            connection = socket.create_connection((parts.hostname or "", parts.port or 0))
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            connection.sendall(b"GET /profiles/ada/rankings HTTP/1.1\r\nhost: localhost\r\n\r\n")
            stuck.append(connection)
        for connection in stuck:
            assert connection.recv(64)  # each is under way
        started = time.monotonic()
        assert httpx.get(f"{url}/profiles/ada").status_code == 200
        httpx.post(f"{url}/profiles", json={"name": "new"}).raise_for_status()
        assert time.monotonic() - started < 5
        for connection in stuck:
            connection.close()


def _fill(file: Path) -> None:
    """600 rankings for `ada`, 12 MB."""

    async def run() -> None:
        database = Database(f"sqlite:///{file}")
        store = ProfileStore(database, TenantQuota(10, 1000))
        for seed in range(600):
            await store.add_ranking("default", "ada", ranking(seed))
        await database.close()

    asyncio.run(run())


# --- what no database can be ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite:///file:x?mode=memory&uri=true",
        "sqlite://host/clpips.db",
        "sqlite:///x.db?timeout=5",
        "mysql://host/clpips",
        "oracle://host/clpips",
        "clpips.db",
        "",
        " ",
        "://",
        "postgresql://h:abc/x",
        "postgresql://h:99999/x",
        "postgresql://h/x?application=y",
        "nonsense",
    ],
)
def test_a_url_that_names_no_database_that_is_served_is_refused(url: str) -> None:
    with pytest.raises(StorageError, match=r"sqlite:///clpips\.db or postgresql://"):
        parse_url(url)


def test_a_file_that_is_no_database_is_refused_and_left_alone(tmp_path: Path) -> None:
    garbage = tmp_path / "garbage.db"
    garbage.write_bytes(b"\x89PNG\r\n\x1a\n" * 100)
    (tmp_path / "file").touch()
    for path in (tmp_path, garbage, tmp_path / "file" / "x.db"):
        with pytest.raises(StorageError, match=r"sqlite:///clpips\.db"):
            require_file(parse_url(f"sqlite:///{path}"))
    assert garbage.read_bytes().startswith(b"\x89PNG")
    require_file(parse_url(f"sqlite:///{tmp_path}/file"))  # an empty file may become one
    require_file(parse_url(f"sqlite:///{tmp_path}/new/folder/x.db"))


def test_the_options_of_other_clients_are_understood() -> None:
    assert parse_url("postgresql://h/x?sslmode=require").query == {"ssl": "require"}
    assert parse_url("postgres://h/x").drivername == "postgresql+asyncpg"


def test_a_backup_that_is_made_while_the_service_writes_is_whole_and_can_be_served(
    client: TestClient[Any], file: Path, tmp_path: Path
) -> None:
    assert callable(clpips.service.cli.main)
    copy, environment = tmp_path / "copy.db", {"CLPIPS_DATABASE_URL": f"sqlite:///{file}"}
    with ThreadPoolExecutor(1) as threads:
        writing = threads.submit(lambda: [client.post("/profiles", json={"name": f"n{n}"}) for n in range(40)])
        done = CliRunner().invoke(commands, ["backup", str(copy)], env=environment)
        assert {answer.status_code for answer in writing.result()} == {201}
    assert done.exit_code == 0, done.output
    assert done.output.endswith("1 rankings\n")
    with serving(ColourEngine(), database_url=f"sqlite:///{copy}") as restored:
        assert restored.get("/profiles/ada").json()["rankings"] == 1
        teach(restored, 5)
    again = CliRunner().invoke(commands, ["backup", str(copy)], env=environment)
    assert again.exit_code == 2
    assert "overwrites nothing" in again.output


@pytest.mark.parametrize("url", ["postgresql://h/x", "sqlite:///nowhere/at/all.db", "mysql://h/x"])
def test_a_backup_of_what_is_not_there_is_one_line(url: str, tmp_path: Path) -> None:
    done = CliRunner().invoke(commands, ["backup", str(tmp_path / "copy.db")], env={"CLPIPS_DATABASE_URL": url})
    assert done.exit_code == 2
    assert not isinstance(done.exception, StorageError)
