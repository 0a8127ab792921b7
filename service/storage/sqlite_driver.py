"""The driver of SQLite: aiosqlite's connections, of which each has a thread, with an end that always comes."""

import asyncio
import sqlite3
import threading
from collections.abc import Callable
from typing import Any, TypeVar

import aiosqlite
import msgspec
from aiosqlite import core
from sqlalchemy import Engine, create_engine, event
from sqlalchemy.pool import StaticPool

from clpips.service.storage.sqlite import begin
from clpips.service.storage.tables import to_json

T = TypeVar("T")


class Connection(aiosqlite.Connection):
    """A connection that can be told to stop while it closes, and whose thread ends quietly after its event loop.

    Closing waits until the thread has been told to stop. Where it has been told before, aiosqlite 0.22 waits for a
    thread that has ended, without end: so an event loop hung that ended while SQLAlchemy gave a connection up. Where
    the event loop has ended before the thread answers, it dies with an error that it prints; and what it has opened for
    somebody who has gone stays open.
    """

    def __init__(self, database: str, **options: Any) -> None:
        """`options` are those of `sqlite3.connect`."""
        opened: list[sqlite3.Connection] = []  # by the thread

        def connect() -> sqlite3.Connection:
            opened.append(sqlite3.connect(database, **options))
            return opened[-1]

        super().__init__(connect, iter_chunk_size=64)
        self._engine: Engine | None = None
        self._thread = threading.Thread(target=_answer, args=(self._tx, opened), daemon=True)

    async def at_once(self, work: Callable[[Engine], T]) -> T:
        """What `work` returns, in this connection's thread, of an engine whose only connection this is.

        It writes: its transactions hold the database's write lock from their beginning.
        """

        def run() -> T:
            if self._engine is None:
                self._engine = _engine_of(self._conn)
            return work(self._engine)

        result: T = await self._execute(run)  # type: ignore[no-untyped-call]
        return result

    def stop(self) -> asyncio.Future[Any] | None:
        """Tell the thread to stop: what to wait for, None where it has been told before."""
        return super().stop() if self._running else None


def connect(database: str, **options: Any) -> Connection:
    """A connection to be awaited, as `aiosqlite.connect` makes them; its thread does not keep the process alive."""
    return Connection(database, **options)


def _engine_of(connection: sqlite3.Connection) -> Engine:
    """An ordinary engine on a connection that is set up, for the thread that it belongs to."""
    engine = create_engine(
        "sqlite://",
        creator=lambda: connection,
        poolclass=StaticPool,
        json_serializer=to_json,
        json_deserializer=msgspec.json.decode,
    ).execution_options(clpips_write=True)
    event.listen(engine, "begin", begin)
    return engine


def _answer(asked: Any, opened: list[sqlite3.Connection]) -> None:
    """Do what is `asked`, one after the other, until the thread is told to stop; then nothing stays open.

    Whose event loop has ended gets no answer. What is asked after that (the end, as a rule) is done all the same.
    """
    try:
        while True:
            try:
                core._connection_worker_thread(asked)
            except RuntimeError:  # the event loop is closed
                if asked.empty():
                    return
            else:
                return
    finally:
        for connection in opened:
            connection.close()
