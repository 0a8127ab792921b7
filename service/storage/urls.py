"""Database URLs: which databases are served, and what is wrong with a URL before anything is opened."""

import os
from pathlib import Path
from typing import Final

from sqlalchemy.engine import URL, make_url
from sqlalchemy.exc import ArgumentError

from clpips.service.storage.errors import StorageError

DRIVERS: Final = {
    "sqlite": "sqlite+aiosqlite",
    "sqlite+aiosqlite": "sqlite+aiosqlite",
    "postgres": "postgresql+asyncpg",
    "postgresql": "postgresql+asyncpg",
    "postgresql+asyncpg": "postgresql+asyncpg",
}
LIBPQ: Final = {"sslmode": "ssl"}  # options that every other client of PostgreSQL knows by another name
SSL_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
OPTIONS: Final = frozenset({"ssl", "host", "port", "passfile", "target_session_attrs"})  # asyncpg's, of a URL
MAGIC: Final = b"SQLite format 3\0"
EXPECTED: Final = "the database must be a URL like sqlite:///clpips.db or postgresql://user:password@host/clpips"


def parse_url(text: str) -> URL:
    """The URL with the driver that is used. Raises `StorageError`, in one line, for what cannot be served."""
    try:
        url = make_url(text.strip())
        driver = DRIVERS[url.drivername]
    except (ArgumentError, KeyError, ValueError) as error:
        raise StorageError(EXPECTED) from error
    if driver.startswith("sqlite"):
        if url.database in (None, "", ":memory:") or url.database.startswith("file:"):
            raise StorageError(f"{EXPECTED}: {url} names no file, and what is in memory alone is lost at each stop")
        if url.host or url.query:
            raise StorageError(
                f"{EXPECTED}: a file has no options, and three slashes before it, four where it begins at the root"
            )
        return url.set(drivername=driver)
    query = {LIBPQ.get(name, name): value for name, value in url.query.items()}
    if unknown := sorted(query.keys() - OPTIONS):
        raise StorageError(
            f"{EXPECTED}; the option {', '.join(unknown)} is not known, {', '.join(sorted(OPTIONS))} are"
        )
    if query.get("ssl", SSL_MODES[0]) not in SSL_MODES:
        raise StorageError(f"{EXPECTED}; ssl is once one of {', '.join(SSL_MODES)}")
    url = url.set(drivername=driver, query=query)
    try:
        _, options = url.get_dialect()().create_connect_args(url)
    except (ArgumentError, ValueError) as error:  # ports that are no numbers, or not one for each host
        raise StorageError(f"{EXPECTED}; {error}") from error
    ports = options.get("port", ())
    for port in (url.port, *([ports] if isinstance(ports, int) else ports)):
        if port is not None and not 0 < port <= 65535:
            raise StorageError(f"{EXPECTED}; there is no port {port}")
    return url


def file_of(url: URL) -> Path:
    """The file of an SQLite database."""
    assert url.database is not None  # noqa: S101 - `parse_url` has looked
    return Path(url.database)


def require_file(url: URL) -> None:
    """Raise `StorageError` where an SQLite URL names something that neither is a database nor could become one."""
    path = file_of(url)
    try:
        if path.is_dir():
            raise StorageError(f"{EXPECTED}: {path} is a folder; name a file in it")
        if path.exists():
            with path.open("rb") as file:
                head = file.read(len(MAGIC))
            if head not in (b"", MAGIC):
                raise StorageError(f"{EXPECTED}: {path} is no SQLite database, and is left as it is")
            return
        near = next(parent for parent in path.absolute().parents if parent.exists())
        if not near.is_dir() or not os.access(near, os.W_OK | os.X_OK):
            raise StorageError(f"{EXPECTED}: no file can be made at {path}; may this user write to {near}?")
    except (OSError, ValueError) as error:  # a name that no file can have, or one that may not be looked at
        reason = getattr(error, "strerror", None) or str(error)
        raise StorageError(f"{EXPECTED}: {str(path)[:100]!r} cannot be read: {reason}") from error
