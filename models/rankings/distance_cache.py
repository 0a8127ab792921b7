"""On-disk cache of channel distances, by the two images' hashes, the networks and the resolution."""

import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clpips.models.metric.content import CONTENT_FINGERPRINT, CONTENT_SIDE
from clpips.models.metric.families import LAYOUTS

Z_BYTES = {4 * layout.length for layout in LAYOUTS.values()}  # of channel distances, with any backbone
PairKey = tuple[str, str]  # two images' sha256, the smaller first: a distance is the same both ways


def pair_key(first: str, second: str) -> PairKey:
    """The key of two images' distance, whichever comes first.

    >>> pair_key("b", "a")
    ('a', 'b')
    """
    return (first, second) if first <= second else (second, first)


class DistanceCache:
    """An SQLite table: a killed process, or two at a time, leave it whole. Without a connection it keeps nothing."""

    def __init__(self, connection: sqlite3.Connection | None, fingerprint: str, resolution: int | None) -> None:
        self._connection = connection
        networks = f"{fingerprint}+{CONTENT_FINGERPRINT}@{CONTENT_SIDE}"
        self._scope = (networks, -1 if resolution is None else resolution)

    def read(self, wanted: Iterable[PairKey]) -> dict[PairKey, NDArray[np.float32]]:
        """Those of the wanted channel distances that are known, float32 `(z,)` each."""
        if self._connection is None:
            return {}
        statement = "SELECT z FROM distances WHERE backbone = ? AND resolution = ? AND first = ? AND second = ?"
        found = {}
        for key in wanted:
            row = self._connection.execute(statement, (*self._scope, *key)).fetchone()
            if row and len(row[0]) in Z_BYTES:
                found[key] = np.frombuffer(row[0], "<f4")
        return found

    def write(self, distances: Mapping[PairKey, NDArray[np.float32]]) -> None:
        """Keep channel distances, float32 `(z,)` each; where that fails, nothing more is kept."""
        if self._connection is None:
            return
        rows = [(*self._scope, *key, z.astype("<f4").tobytes()) for key, z in distances.items()]
        try:
            with self._connection:
                self._connection.executemany("INSERT OR REPLACE INTO distances VALUES (?, ?, ?, ?, ?)", rows)
        except sqlite3.OperationalError:  # a full or read-only disk: the fit goes on, only the next is not faster
            self._connection.close()
            self._connection = None


@contextmanager
def open_cache(folder: Path | None, fingerprint: str, resolution: int | None) -> Iterator[DistanceCache]:
    """A folder's cache for one backbone and resolution; the folder is made if need be. Without one, nothing is kept."""
    connection = None if folder is None else _connect(folder)
    cache = DistanceCache(connection, fingerprint, resolution)
    try:
        yield cache
    finally:
        if connection is not None:
            connection.close()


def _connect(folder: Path) -> sqlite3.Connection | None:
    """The folder's database; one that is damaged is begun anew, and where none can be written there is none."""
    path = folder / "channel-distances-2.sqlite"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            return _prepared(path)
        except sqlite3.DatabaseError as error:
            if isinstance(error, sqlite3.OperationalError):
                return None
            path.unlink()
            return _prepared(path)
    except (OSError, sqlite3.DatabaseError):
        return None


def _prepared(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=30)
    try:
        connection.execute(
            "CREATE TABLE IF NOT EXISTS distances (backbone TEXT, resolution INTEGER, first TEXT, second TEXT, z BLOB, "
            "PRIMARY KEY (backbone, resolution, first, second)) WITHOUT ROWID"
        )
    except sqlite3.DatabaseError:
        connection.close()
        raise
    return connection


def default_folder() -> Path:
    """Where channel distances are kept: `clpips` in the user's cache folder (`XDG_CACHE_HOME`, or `~/.cache`)."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "clpips"
