"""The driver of SQLite: aiosqlite's connections, of which each has a thread, with an end that always comes."""

import asyncio
import sqlite3
from typing import Any

import aiosqlite


class Connection(aiosqlite.Connection):
    """A connection that can be told to stop while it closes.

    Closing waits until the thread has been told to stop. Where it has been told before, aiosqlite 0.22 waits for a
    thread that has ended, without end: so an event loop hung that ended while SQLAlchemy gave a connection up.
    """

    def stop(self) -> asyncio.Future[Any] | None:
        """Tell the thread to stop: what to wait for, None where it has been told before."""
        return super().stop() if self._running else None


def connect(database: str, **options: Any) -> Connection:
    """A connection to be awaited, as `aiosqlite.connect` makes them; its thread does not keep the process alive."""
    connection = Connection(lambda: sqlite3.connect(database, **options), iter_chunk_size=64)
    connection._thread.daemon = True
    return connection
