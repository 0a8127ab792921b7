"""A pipeline from names to features: images come, are decoded on all cores, and are embedded a few at a time.

Reading and decoding run ahead by a bounded number of images. What is wrong with an image is kept as the words for its
rows.
"""

import hashlib
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from clpips.models.bulk.cells import Cell
from clpips.models.bulk.feature_store import FeatureStore, Known
from clpips.models.bulk.fetching import Fetcher
from clpips.models.engines.contract import Engine, PortableEngine
from clpips.models.engines.cores import core_count
from clpips.models.images.errors import ImageError
from clpips.models.images.pixels import Pixels
from clpips.models.metric.families import CONTENT, FAMILIES, NETWORKS, Families, networks_of

CORE_IMAGES: Final = 4  # that a core embeds at a time
READERS: Final = 16  # threads that wait for images from elsewhere
Decode = Callable[[bytes, int | None, int], Pixels]


@dataclass(frozen=True)
class Source:
    """Where an image comes from: its number in the job, its cell, and the hash that it must have, if that is known."""

    number: int
    cell: Cell
    digest: str = ""
    shared: bool = False  # whether several shards need it


@dataclass(frozen=True)
class Problem:
    """What is wrong with an image, in words, and the hash of its bytes where these came."""

    words: str
    digest: str = ""


class Embedder:
    """Fills a store with images. One thread at a time may use it."""

    def __init__(
        self,
        engine: Engine,
        store: FeatureStore,
        fetcher: Fetcher,
        families: Families,
        resolution: int | None,
        max_pixels: int,
    ) -> None:
        self._engine = engine
        self._store = store
        self._fetcher = fetcher
        self._resolution = resolution
        self._max_pixels = max_pixels
        self._networks = [name for name in NETWORKS if name in networks_of(families)]
        self._with_maps = "aligned" in families
        self._places = statistics_places(families)
        self._chunk = engine.batch if engine.parallel == 1 and engine.device != "cpu" else CORE_IMAGES
        self._readers = ThreadPoolExecutor(max(READERS, core_count()), thread_name_prefix="read")
        self._embedders = ThreadPoolExecutor(engine.parallel, thread_name_prefix="embed")
        self.embedded = 0

    def close(self) -> None:
        self._readers.shutdown(cancel_futures=True)
        self._embedders.shutdown(cancel_futures=True)

    def embed(self, sources: Sequence[Source], decode: Decode) -> dict[int, Problem]:
        """Have all these images in the store; what is wrong with the others, by their numbers."""
        problems: dict[int, Problem] = {}
        by_digest: dict[str, Source] = {}
        again: list[tuple[Source, Source]] = []  # the same bytes by another name
        sizes: dict[tuple[int, int], list[tuple[Source, str, Pixels]]] = {}
        running: deque[Future[None]] = deque()
        for source, read in self._read_ahead(sources, decode):
            digest, pixels = read
            if isinstance(pixels, str):
                problems[source.number] = Problem(pixels, digest)
                continue
            first = by_digest.setdefault(digest, source)
            if first is not source:
                again.append((source, first))
                continue
            waiting = sizes.setdefault((pixels.shape[0], pixels.shape[1]), [])
            waiting.append((source, digest, pixels))
            if len(waiting) >= self._chunk:
                self._start(running, waiting.copy())
                waiting.clear()
        for waiting in sizes.values():
            if waiting:
                self._start(running, waiting)
        while running:
            running.popleft().result()
        for source, first in again:
            known = self._store.get(first.number, shared=first.shared)
            if known is None:  # given up since, and the disk is full
                problems |= self.embed([source], decode)
            else:
                self._store.put(source.number, known, shared=source.shared)
        return problems

    def _start(self, running: "deque[Future[None]]", images: list[tuple[Source, str, Pixels]]) -> None:
        """Embed images of one size: on another thread where the engine takes several, and then not too far ahead."""
        self.embedded += len(images)
        if self._engine.parallel == 1:
            self._embed(images)
            return
        running.append(self._embedders.submit(self._embed, images))
        while len(running) > 2 * self._engine.parallel:
            running.popleft().result()

    def _embed(self, images: list[tuple[Source, str, Pixels]]) -> None:
        pixels = [each for _, _, each in images]
        made = {name: self._engine.embed(pixels, more=True, network=name) for name in self._networks}
        rows = None if self._with_maps else self._statistics(made)
        for place, (source, digest, one) in enumerate(images):
            size = (one.shape[0], one.shape[1])
            if rows is None:
                known = Known(digest, size, {name: self._slim(features[place]) for name, features in made.items()})
            else:
                known = Known(digest, size, None, rows[place].copy())
            self._store.put(source.number, known, shared=source.shared)

    def _statistics(self, made: dict[str, Any]) -> NDArray[np.float32]:
        """The statistics that count, `(n, k)`."""
        if not isinstance(self._engine, PortableEngine):
            raise TypeError(f"the engine {self._engine.name} gives no statistics")
        found = {name: self._engine.statistics(features) for name, features in made.items()}  # (n, 2, c) each
        return np.concatenate([found[name][:, half] for name, half in self._places], axis=1)

    def _slim(self, features: Any) -> Any:
        """Features without the content network's maps, which masks alone need."""
        if features.network != CONTENT or not isinstance(self._engine, PortableEngine):
            return features
        return self._engine.restore(self._engine.store(features), CONTENT, (0, 0))

    def _read_ahead(
        self, sources: Sequence[Source], decode: Decode
    ) -> Iterator[tuple[Source, tuple[str, Pixels | str]]]:
        ahead = 2 * self._chunk * self._engine.parallel + READERS
        waiting: deque[tuple[Source, Future[tuple[str, Pixels | str]]]] = deque()
        for source in sources:
            if self._store.get(source.number, shared=source.shared) is not None:
                continue
            waiting.append((source, self._readers.submit(self._prepare, source, decode)))
            if len(waiting) > ahead:
                first, future = waiting.popleft()
                yield first, future.result()
        for first, future in waiting:
            yield first, future.result()

    def _prepare(self, source: Source, decode: Decode) -> tuple[str, Pixels | str]:
        """The hash of an image's bytes and its pixels, or what is wrong with it."""
        digest = ""
        try:
            content = source.cell.content
            if content is None:
                content = self._fetcher.fetch(source.cell.reference)
            digest = hashlib.sha256(content).hexdigest()
            if source.digest and digest != source.digest:
                return digest, "its bytes have changed since the table was planned"
            return digest, decode(content, self._resolution, self._max_pixels)
        except ImageError as error:
            return digest, str(error)
        except MemoryError:
            return digest, "there was not enough memory to decode it"


def statistics_places(families: Families) -> list[tuple[str, int]]:
    """Where the statistics that count lie: network, and which half of its statistics, in the order of `FAMILIES`."""
    halves = {"mean": 0, "std": 1, "content_mean": 0, "content_std": 1}
    return [(each.backbone, halves[each.name]) for each in FAMILIES if each.name in families and each.name in halves]
