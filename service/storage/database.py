"""Database connection: SQLite in a file of its own, or PostgreSQL; transactions, and the migrations of the schema."""

import asyncio
import sqlite3
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import msgspec
import structlog
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, event
from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.util import await_only

from clpips.models.installing import install_hint
from clpips.service.storage.errors import StorageError

DRIVERS: Final = {
    "sqlite": "sqlite+aiosqlite",
    "sqlite+aiosqlite": "sqlite+aiosqlite",
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
    "postgresql+asyncpg": "postgresql+asyncpg",
}
MIGRATIONS: Final = Path(__file__).parent / "migrations"
LOCK_SECONDS: Final = 10  # how long a write waits for another, or a request for a connection
UNAVAILABLE: Final = (DBAPIError, PoolTimeoutError, OSError, TimeoutError)

log = structlog.get_logger()


class Database:
    """One database. Open it once in a process, and close it."""

    def __init__(self, url: str) -> None:
        """Raises `StorageError` for a URL of a database that is not served, and where its driver is not installed."""
        self.url = _checked(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        try:
            self._engine = create_async_engine(self.url, **_engine_options(self.is_sqlite))
        except ModuleNotFoundError as error:
            raise StorageError(f"{error.name} is not installed: {install_hint('postgresql')}") from error
        if self.is_sqlite:
            event.listen(self._engine.sync_engine, "connect", _prepare_sqlite)
            event.listen(self._engine.sync_engine, "begin", _begin_sqlite)
        self._readers = async_sessionmaker(self._engine, expire_on_commit=False)
        self._writers = async_sessionmaker(self._engine.execution_options(clpips_write=True), expire_on_commit=False)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        """A session in a transaction that only reads. Raises `StorageError`."""
        async with _translated(), self._readers() as session, session.begin():
            yield session

    @asynccontextmanager
    async def write(self) -> AsyncIterator[AsyncSession]:
        """A session in a transaction that is committed at the end. Raises `StorageError`.

        On SQLite it holds the database's write lock from its first statement, on PostgreSQL those rows that are
        selected `FOR UPDATE`: in both, what it has read there stays true until it commits.
        """
        async with _translated(), self._writers() as session, session.begin():
            yield session

    async def prepare(self) -> None:
        """Make an SQLite database ready; see that a PostgreSQL database is. Raises `StorageError`."""
        if self.is_sqlite:
            await self.migrate()
        elif (revision := await self.revision()) != (newest := newest_revision()):
            raise StorageError(
                f"the schema of {self} is at revision {revision or 'none'}, this version of CLPIPS needs {newest}: "
                "run `clpips migrate` once"
            )

    async def migrate(self) -> None:
        """Bring the schema to the newest revision; processes that do so at the same time wait for each other."""
        if self.is_sqlite and self.url.database not in (None, "", ":memory:"):
            await asyncio.to_thread(_make_folder, Path(self.url.database))
        async with _translated(), self._engine.execution_options(clpips_write=True).begin() as connection:
            await connection.run_sync(_upgrade)

    async def revision(self) -> str | None:
        """The schema's revision; None before the first migration."""
        async with _translated(), self._engine.connect() as connection:
            return await connection.run_sync(lambda sync: MigrationContext.configure(sync).get_current_revision())

    async def close(self) -> None:
        await self._engine.dispose()

    def __str__(self) -> str:
        return self.url.render_as_string(hide_password=True)


def newest_revision() -> str:
    """The revision of the schema that this code works with."""
    newest = ScriptDirectory(str(MIGRATIONS)).get_current_head()
    assert newest is not None  # noqa: S101 - the package ships at least one
    return newest


def _checked(text: str) -> URL:
    try:
        url = make_url(text)
        driver = DRIVERS[url.drivername]
    except (ArgumentError, KeyError) as error:
        raise StorageError(
            "the database must be a URL like sqlite:///clpips.db or postgresql://user:password@host/clpips"
        ) from error
    return url.set(drivername=driver)


def _engine_options(is_sqlite: bool) -> dict[str, Any]:
    json = {"json_serializer": _to_json, "json_deserializer": msgspec.json.decode}
    if is_sqlite:
        return {**json, "connect_args": {"timeout": LOCK_SECONDS}}
    return {
        **json,
        "pool_size": 5,
        "max_overflow": 10,
        "pool_timeout": LOCK_SECONDS,
        "pool_pre_ping": True,
        "connect_args": {"timeout": LOCK_SECONDS, "command_timeout": 6 * LOCK_SECONDS},
    }


def _to_json(value: Any) -> str:
    return msgspec.json.encode(value).decode()  # where a number is NaN, which JSON has no word for, this writes null


def _prepare_sqlite(connection: Any, _: Any) -> None:
    # The driver would begin transactions at moments of its own choice: `_begin_sqlite` does, when SQLAlchemy says so.
    connection.isolation_level = None
    cursor = connection.cursor()
    _keep_write_ahead_log(cursor)
    cursor.execute("PRAGMA synchronous=FULL")  # what was committed survives a loss of power
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def _keep_write_ahead_log(cursor: Any) -> None:
    # SQLite's own patience does not cover the switch: processes that open a new database at once would fail.
    give_up = time.monotonic() + LOCK_SECONDS
    while True:
        try:
            cursor.execute("PRAGMA journal_mode=WAL")
        except sqlite3.OperationalError as error:
            busy = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY  # or one of its kinds, in the higher bits
            if not busy or time.monotonic() > give_up:
                raise
        else:
            return
        await_only(asyncio.sleep(0.01))


def _begin_sqlite(connection: Connection) -> None:
    # A transaction that reads and then writes must have the write lock before it reads, or two of them would both
    # give out the same number.
    write = connection.get_execution_options().get("clpips_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


def _make_folder(database: Path) -> None:
    database.parent.mkdir(parents=True, exist_ok=True)


def _upgrade(connection: Connection) -> None:
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(5029341)")  # two migrations at once wait in line
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


@asynccontextmanager
async def _translated() -> AsyncIterator[None]:
    try:
        yield
    except UNAVAILABLE as error:
        reason = str(getattr(error, "orig", None) or error) or type(error).__name__
        raise StorageError(" ".join(reason.split())) from error
    except SQLAlchemyError as error:
        raise StorageError(str(error)) from error
