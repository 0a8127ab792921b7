"""What is kept of images while their pairs are compared: a least-recently-used cache that overflows to a disk.

In memory lie at most `max_bytes`. What is given up and will be needed again is written to a file first, and so is at
once what several shards share; a disk that is full costs computing it again.
"""

import json
import struct
import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from clpips.models.engines.contract import PortableEngine
from clpips.models.engines.several import ImageFeatures, nbytes_of


@dataclass(frozen=True, eq=False)
class Known:
    """What is known of an image: the hash of its bytes, the size at which it is scored, and features.

    Where positions count these are the networks' own; else the statistics that count, float32 `(k,)`.
    """

    digest: str
    size: tuple[int, int]  # height and width
    features: ImageFeatures | None
    statistics: NDArray[np.float32] | None = None

    @property
    def nbytes(self) -> int:
        own = 0 if self.statistics is None else self.statistics.nbytes
        return own if self.features is None else own + nbytes_of(self.features)


class FeatureStore:
    """Images by their numbers in a job. Threads may share it."""

    def __init__(self, engine: Any, max_bytes: int, shared: Path | None, private: Path) -> None:
        """`shared` is a folder in which other processes find what several shards need; `private` is this one's own."""
        self._engine = engine
        self._max_bytes = max_bytes
        self._shared = shared
        self._private = private
        self._portable = isinstance(engine, PortableEngine)
        self._kept: OrderedDict[int, Known] = OrderedDict()
        self._bytes = 0
        self._needed: frozenset[int] = frozenset()
        self._spilled: set[int] = set()  # into the private folder
        self._lock = threading.Lock()
        self.failed = 0  # files that could not be written

    def begin(self, needed: Iterable[int]) -> None:
        """From now on these images are needed, and no other that is not shared."""
        with self._lock:
            for number in self._spilled:
                self._path(number, shared=False).unlink(missing_ok=True)
            self._spilled.clear()
            self._needed = frozenset(needed)

    def clear(self) -> None:
        """Keep nothing in memory, and nothing in the private folder."""
        self.begin(())
        with self._lock:
            self._kept.clear()
            self._bytes = 0

    def get(self, number: int, *, shared: bool) -> Known | None:
        """An image, from memory or from the disk; None where it is to be computed."""
        with self._lock:
            if number in self._kept:
                self._kept.move_to_end(number)
                return self._kept[number]
            found = self._read(number, shared=shared)
            if found is not None:
                self._keep(number, found)
            return found

    def stored(self, number: int) -> bool:
        """Whether a shared image is on the disk."""
        return self._shared is not None and self._path(number, shared=True).exists()

    def put(self, number: int, known: Known, *, shared: bool) -> None:
        """Keep an image; one that is shared is on the disk when this returns, if that is possible."""
        with self._lock:
            if shared:
                self._write(number, known, shared=True)
            self._keep(number, known)

    def _keep(self, number: int, known: Known) -> None:
        previous = self._kept.pop(number, None)
        self._bytes += known.nbytes - (previous.nbytes if previous else 0)
        self._kept[number] = known
        while self._bytes > self._max_bytes and len(self._kept) > 2:
            given_up, other = self._kept.popitem(last=False)
            self._bytes -= other.nbytes
            if given_up in self._needed and not self._on_disk(given_up):
                self._write(given_up, other, shared=False)

    def _on_disk(self, number: int) -> bool:
        return number in self._spilled or self.stored(number)

    def _path(self, number: int, *, shared: bool) -> Path:
        folder = self._shared if shared and self._shared is not None else self._private
        return folder / f"{number % 256:02x}" / f"{number}.features"

    def _write(self, number: int, known: Known, *, shared: bool) -> None:
        if not self._portable or (shared and self._shared is None):
            return
        path = self._path(number, shared=shared)
        partial = path.with_name(f".{path.name}.{threading.get_ident():x}.{id(self):x}")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            with partial.open("wb") as file:
                self._dump(file, known)
            partial.replace(path)
        except OSError:  # a full disk, a folder that is gone: it is computed again where it is needed
            self.failed += 1
            partial.unlink(missing_ok=True)
            return
        if not shared:
            self._spilled.add(number)

    def _read(self, number: int, *, shared: bool) -> Known | None:
        if number in self._spilled:
            path = self._path(number, shared=False)
        elif shared and self._shared is not None:
            path = self._path(number, shared=True)
        else:
            return None
        try:
            with path.open("rb") as file:
                return self._load(file)
        except (OSError, ValueError, struct.error):
            return None

    def _dump(self, file: BinaryIO, known: Known) -> None:
        parts = {} if known.features is None else {n: self._engine.store(one) for n, one in known.features.items()}
        head = {"digest": known.digest, "size": known.size, "networks": {name: len(a) for name, a in parts.items()}}
        text = json.dumps(head).encode()
        file.write(struct.pack("<I", len(text)) + text)
        for arrays in parts.values():
            for array in arrays:
                np.save(file, array, allow_pickle=False)
        if known.statistics is not None:
            np.save(file, known.statistics, allow_pickle=False)

    def _load(self, file: BinaryIO) -> Known:
        (length,) = struct.unpack("<I", file.read(4))
        head = json.loads(file.read(length))
        size = (head["size"][0], head["size"][1])
        features = {}
        for name, count in head["networks"].items():
            arrays = [np.load(file, allow_pickle=False) for _ in range(count)]
            features[name] = self._engine.restore(arrays, name, size)
        if features:
            return Known(head["digest"], size, features)
        return Known(head["digest"], size, None, np.load(file, allow_pickle=False))
