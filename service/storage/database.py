"""Database connection: SQLite in a file of its own, or PostgreSQL; transactions, and the migrations of the schema."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any, Final, TypeVar

import msgspec
import structlog
from sqlalchemy import Connection, Engine, event, text
from sqlalchemy.exc import DBAPIError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncSession, async_sessionmaker, create_async_engine
from sqlalchemy.pool import Pool
from sqlalchemy.util import greenlet_spawn

from clpips.models.installing import install_hint
from clpips.service.storage import sqlite, sqlite_driver
from clpips.service.storage.breaker import Breaker
from clpips.service.storage.errors import DatabaseAwayError, StorageError
from clpips.service.storage.sqlite import LOCK_SECONDS
from clpips.service.storage.tables import to_json
from clpips.service.storage.urls import file_of, parse_url, require_file

SQLITE_SECONDS: Final = LOCK_SECONDS + 2.0  # of one operation: its own error about a lock says more
SECONDS: Final = 6.0
CLOSE_SECONDS: Final = 5.0
# Connections of a process, those that are kept and those beyond; with the fits' two, deploy/README.md counts them.
READERS: Final = (3, 5)
WRITERS: Final = (2, 5)
SQLITE_WRITERS: Final = (1, 0)  # SQLite has one at a time: the others wait for their turn here, and hold nothing
# While it connects, asyncpg raises exceptions of its own, which SQLAlchemy passes on as they are.
DRIVERS_OWN: tuple[type[Exception], ...] = ()
with contextlib.suppress(ModuleNotFoundError):
    from asyncpg.exceptions import InterfaceError, InternalClientError, PostgresError

    DRIVERS_OWN = (PostgresError, InterfaceError, InternalClientError)
UNAVAILABLE: tuple[type[Exception], ...] = (DBAPIError, PoolTimeoutError, OSError, TimeoutError, EOFError, *DRIVERS_OWN)

T = TypeVar("T")

log = structlog.get_logger()


def _nobody(_: str, __: float) -> None:
    pass


class Database:
    """One database. Open it once in a process, and close it.

    Readers and writers have connections of their own, so that writers that wait for each other keep no reader waiting.
    Operations go through the `breaker`.
    """

    def __init__(self, url: str, observe: Callable[[str, float], None] = _nobody) -> None:
        """`observe` is told the name of each operation of a store, and its seconds.

        Raises `StorageError` for a URL of a database that is not served, and where its driver is not installed.
        """
        self.url = parse_url(url)
        self.is_sqlite = self.url.get_backend_name() == "sqlite"
        try:
            reading, writing = (
                create_async_engine(self.url, **_engine_options(self.is_sqlite, size=size, overflow=overflow))
                for size, overflow in (READERS, SQLITE_WRITERS if self.is_sqlite else WRITERS)
            )
        except ModuleNotFoundError as error:
            raise StorageError(f"{error.name} is not installed: {install_hint('postgresql')}") from error
        self._engines = (reading, writing)
        if self.is_sqlite:
            for engine in self._engines:
                event.listen(engine.sync_engine, "connect", sqlite.prepare_connection)
                event.listen(engine.sync_engine, "begin", sqlite.begin)
        self._readers = async_sessionmaker(reading, expire_on_commit=False)
        self._writers = async_sessionmaker(writing.execution_options(clpips_write=True), expire_on_commit=False)
        self._watch: sqlite.FileWatch | None = None
        self._anchor: AsyncConnection | None = None  # keeps SQLite's log in one file, for as long as it is watched
        self._closing: set[asyncio.Task[None]] = set()
        self.breaker = Breaker(self._probe, self._renew, observe, SQLITE_SECONDS if self.is_sqlite else SECONDS)

    @asynccontextmanager
    async def read(self) -> AsyncIterator[AsyncSession]:
        """A session in a transaction that only reads. Raises `StorageError`."""
        async with _translated():
            await self._require_same_file()
            async with self._readers() as session, session.begin():
                yield session

    @asynccontextmanager
    async def write(self, *, waits: bool = True) -> AsyncIterator[AsyncSession]:
        """A session in a transaction that is committed at the end. Raises `StorageError`.

        On SQLite it holds the database's write lock from its first statement, on PostgreSQL those rows that are
        selected `FOR UPDATE`: in both, what it has read there stays true until it commits. One that `waits` for no
        lock of another does not wait behind those that do, either.
        """
        async with _translated():
            await self._require_same_file()
            sessions = self._writers if waits or self.is_sqlite else self._readers
            async with sessions() as session, session.begin():
                yield session
            await self._require_same_file()  # what went into a file that is gone has not been kept

    async def write_at_once(self, work: Callable[[Connection], T]) -> T:
        """What `work` returns, whose statements are a transaction as `write` has it. Raises `StorageError`.

        It is an ordinary function, for what is written often. On SQLite it runs in the connection's thread from its
        first statement to the commit, where else each statement, and each answer, is handed over on its own.
        """
        async with _translated():
            if not self.is_sqlite:
                async with self._engines[1].begin() as connection:
                    return await connection.run_sync(work)
            async with self._engines[1].connect() as connection:
                driver = (await connection.get_raw_connection()).driver_connection
                assert isinstance(driver, sqlite_driver.Connection)  # noqa: S101 - it is what makes them
                return await driver.at_once(partial(self._work_on_same_file, work, self._watch))

    @staticmethod
    def _work_on_same_file(work: Callable[[Connection], T], watch: sqlite.FileWatch | None, engine: Engine) -> T:
        if watch is not None:
            watch.require_same()
        with engine.begin() as connection:
            result = work(connection)
        if watch is not None:
            watch.require_same()
        return result

    async def prepare(self) -> None:
        """Make an SQLite database ready; see that a PostgreSQL database is. Raises `StorageError`."""
        if self.is_sqlite:
            await self.migrate()
            await self._begin_to_watch()
        else:
            await self._require_newest()

    async def migrate(self) -> None:
        """Bring the schema to the newest revision; processes that do so at the same time wait for each other."""
        if self.is_sqlite:
            await asyncio.to_thread(_make_folder, file_of(self.url))
        async with _translated(), self._engines[1].execution_options(clpips_write=True).begin() as connection:
            await connection.run_sync(_schema().upgrade)

    def require_usable(self) -> None:
        """Raise `StorageError` where an SQLite URL names something that neither is a database nor could become one."""
        if self.is_sqlite:
            require_file(self.url)

    async def revision(self) -> str | None:
        """The schema's revision; None before the first migration."""
        async with _translated(), self._engines[0].connect() as connection:
            found: str | None = await connection.run_sync(_schema().revision_of)
            return found

    async def close(self) -> None:
        """Close all connections; those that hang are left to themselves after some seconds."""
        await self.breaker.close()
        for task in self._closing:
            task.cancel()
        closing = asyncio.create_task(self._dispose())
        await asyncio.wait([closing], timeout=CLOSE_SECONDS)
        if not closing.done():
            log.warning("database connections left open, they hang")
            closing.cancel()

    async def _dispose(self) -> None:
        with contextlib.suppress(*UNAVAILABLE):
            if self._anchor is not None:
                await self._anchor.close()
            for engine in self._engines:
                await engine.dispose()
        self._anchor = None

    async def _require_newest(self) -> None:
        if (revision := await self.revision()) != (newest := _schema().newest_revision()):
            raise StorageError(
                f"the schema of {self} is at revision {revision or 'none'}, this version of CLPIPS needs {newest}: "
                "run `clpips migrate` once"
            )

    async def _require_same_file(self) -> None:
        if self._watch is not None:
            await asyncio.to_thread(self._watch.require_same)  # a disk may hang

    async def _begin_to_watch(self) -> None:
        """Watch the file from now on, with a connection held open, because the last one to close removes the log."""
        async with _translated():
            self._anchor = await self._engines[0].connect()
            await self._anchor.run_sync(_schema().revision_of)
            await self._anchor.rollback()
            self._watch = await asyncio.to_thread(sqlite.FileWatch.of, file_of(self.url))

    async def _probe(self) -> None:
        """Raise `StorageError` where the database does not answer, or is none that can be served."""
        watched = self._watch
        if watched is None:
            async with self.read() as session:
                await session.execute(text("SELECT 1"))
            return
        try:
            await self._require_same_file()
        except StorageError:
            if not await asyncio.to_thread(file_of(self.url).exists):
                raise
            await asyncio.to_thread(sqlite.require_database, file_of(self.url))
            await self._dispose()  # a database is there again: the connections are of the one before
            self._watch = None
            try:
                await self._require_newest()
                await self._begin_to_watch()
            except BaseException:
                self._watch = watched  # or the next probe would take whatever answers
                raise

    async def _renew(self) -> None:
        """Leave the connections that hang, and begin with new ones; the old are closed when they can be."""
        if not self.is_sqlite:
            for engine in self._engines:
                closing = asyncio.create_task(_close(engine.pool))
                self._closing.add(closing)
                closing.add_done_callback(self._closing.discard)
                await engine.dispose(close=False)

    def __str__(self) -> str:
        return self.url.render_as_string(hide_password=True)


async def _close(pool: Pool) -> None:
    with contextlib.suppress(*UNAVAILABLE):
        await greenlet_spawn(pool.dispose)


def _engine_options(is_sqlite: bool, *, size: int, overflow: int) -> dict[str, Any]:
    options = {
        "json_serializer": to_json,
        "json_deserializer": msgspec.json.decode,
        "pool_size": size,
        "max_overflow": overflow,
        "pool_timeout": LOCK_SECONDS,
    }
    if is_sqlite:
        return {**options, "connect_args": {"timeout": LOCK_SECONDS, "async_creator_fn": sqlite_driver.connect}}
    return {
        **options,
        "pool_pre_ping": True,
        "connect_args": {"timeout": LOCK_SECONDS, "command_timeout": LOCK_SECONDS},
    }


def _make_folder(database: Path) -> None:
    database.parent.mkdir(parents=True, exist_ok=True)


def _schema() -> ModuleType:
    """What knows Alembic, which takes longer to load than all else here, and a process that fits never asks."""
    from clpips.service.storage import schema

    return schema


@asynccontextmanager
async def _translated() -> AsyncIterator[None]:
    try:
        yield
    except StorageError:
        raise
    except UNAVAILABLE as error:
        said = str(getattr(error, "orig", None) or error)
        silent = "it does not answer" if isinstance(error, TimeoutError) else type(error).__name__
        reason = " ".join((said or silent).split())
        raise (DatabaseAwayError if _is_away(error) else StorageError)(reason) from error
    except SQLAlchemyError as error:
        raise StorageError(str(error)) from error


def _is_away(error: BaseException) -> bool:
    """Whether an error says that the database is not there: not that it is busy, full, or refuses a statement."""
    if isinstance(error, PoolTimeoutError):
        return False
    if not isinstance(error, DBAPIError):
        return True  # of the network, or the driver's own while it connects
    return error.connection_invalidated or "unable to open database file" in str(error.orig)
