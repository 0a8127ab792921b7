"""SQLite as a server's database: its connections, and whether its file is still the one that was opened."""

import asyncio
import sqlite3
import time
from pathlib import Path
from typing import Any, Final, NamedTuple

from sqlalchemy import Connection
from sqlalchemy.util import await_only

from clpips.service.storage.errors import DatabaseAwayError

LOCK_SECONDS: Final = 10  # how long a write waits for another, or a request for a connection

MAGIC: Final = b"SQLite format 3\0"  # how a database's file begins

Identity = tuple[int, int]  # of a file: its device and number


def prepare_connection(connection: Any, _: Any) -> None:
    """Set a new connection up, as SQLAlchemy's event `connect` hands it over."""
    # The driver would begin transactions at moments of its own choice: `begin` does, when SQLAlchemy says so.
    connection.isolation_level = None
    cursor = connection.cursor()
    _keep_write_ahead_log(cursor)
    cursor.execute("PRAGMA synchronous=FULL")  # what was committed survives a loss of power
    cursor.execute("PRAGMA foreign_keys=ON")
    cursor.close()


def begin(connection: Connection) -> None:
    """Begin a transaction, as SQLAlchemy's event `begin` asks for it.

    One that reads and then writes must have the write lock before it reads, or two of them would both give out the same
    number.
    """
    write = connection.get_execution_options().get("clpips_write", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if write else "BEGIN")


class FileWatch(NamedTuple):
    """A database's file and its write-ahead log as they were opened.

    What is written to a file that has been deleted or replaced is gone with the process, and SQLite does not notice.
    """

    path: Path
    file: Identity
    log: Identity | None

    @classmethod
    def of(cls, path: Path) -> "FileWatch":
        """Raises `DatabaseAwayError` where the file is not there."""
        file = _identity(path)
        if file is None:
            raise DatabaseAwayError(f"the database's file {path} is not there any more")
        return cls(path, file, _identity(_log_of(path)))

    def require_same(self) -> None:
        """Raise `DatabaseAwayError` where the file, or its log, is another than was opened."""
        now = FileWatch.of(self.path)
        if now.file != self.file:
            raise DatabaseAwayError(f"the database's file {self.path} has been replaced")
        if self.log is not None and now.log != self.log:
            raise DatabaseAwayError(f"the write-ahead log of {self.path} has been deleted or replaced")


def require_database(path: Path) -> None:
    """Raise `DatabaseAwayError` where a file does not begin as an SQLite database does.

    SQLite would not notice where the log of the one before still lies beside it: it takes all pages from there.
    """
    try:
        with path.open("rb") as file:
            begins = file.read(len(MAGIC))
    except OSError as error:
        raise DatabaseAwayError(f"the database's file {path} cannot be read: {error.strerror}") from error
    if begins != MAGIC:
        raise DatabaseAwayError(f"what is in the place of the database's file {path} is no database")


def _log_of(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


def _identity(path: Path) -> Identity | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


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
