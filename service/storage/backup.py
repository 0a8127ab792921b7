"""Online backup of an SQLite database: a whole copy of one that is being written to."""

import os
import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Final

from clpips.service.storage.errors import StorageError
from clpips.service.storage.urls import file_of, parse_url, require_file

COUNTED: Final = ("profiles", "rankings")
BUSY_SECONDS: Final = 60.0


def back_up(url: str, copy: Path) -> dict[str, int]:
    """Copy the database at a URL into a file that is not there yet; how many rows of each kind the copy has.

    The copy is checked before it gets its name, and on the disk when this returns. Raises `StorageError`.
    """
    parsed = parse_url(url)
    if parsed.get_backend_name() != "sqlite":
        raise StorageError(f"{parsed.render_as_string(hide_password=True)} is PostgreSQL: `pg_dump` makes its backup")
    require_file(parsed)
    if not file_of(parsed).exists():
        raise StorageError(f"there is no database at {file_of(parsed)}: CLPIPS_DATABASE_URL names it")
    if copy.exists():
        raise StorageError(f"{copy} is there already; a backup overwrites nothing")
    partial = copy.with_name(copy.name + ".partial")
    try:
        partial.unlink(missing_ok=True)
        with (
            closing(sqlite3.connect(f"{file_of(parsed).absolute().as_uri()}?mode=ro", uri=True)) as source,
            closing(sqlite3.connect(partial, timeout=BUSY_SECONDS)) as target,
        ):
            source.backup(target)
            target.execute("PRAGMA journal_mode=DELETE")  # one file, without a log beside it
            (verdict,) = target.execute("PRAGMA integrity_check").fetchone()
            if verdict != "ok":
                raise StorageError(f"the copy is not sound: {verdict}")
            counts = {table: _count(target, table) for table in COUNTED}
        with partial.open("rb") as file:
            os.fsync(file.fileno())
        partial.rename(copy)
    except (OSError, sqlite3.Error) as error:
        partial.unlink(missing_ok=True)
        raise StorageError(f"the database cannot be copied to {copy}: {error}") from error
    return counts


def _count(connection: sqlite3.Connection, table: str) -> int:
    (count,) = connection.execute(f"SELECT count(*) FROM {table}").fetchone()  # noqa: S608 - one of two names above
    return int(count)
