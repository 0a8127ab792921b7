"""Scoring of a few rows: every distinct image of theirs is embedded once, every distinct pair compared once."""

import tempfile
import threading
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from clpips.models.bulk.apart import ApartDecoder
from clpips.models.bulk.cells import Cell, PairCells
from clpips.models.bulk.comparing import PRODUCT_ROWS, RUN, SUMS, Comparison, Sums
from clpips.models.bulk.embedding import Embedder, Problem, Source
from clpips.models.bulk.feature_store import FeatureStore, Known
from clpips.models.bulk.fetching import Fetcher
from clpips.models.bulk.options import Bounds, JobOptions, statistics_alone
from clpips.models.bulk.parts import Results
from clpips.models.engines.contract import Engine, PortableEngine
from clpips.models.images.decoding import load_image
from clpips.models.metric.weights import LayerWeights

Size = tuple[int, int]


class ShardScorer:
    """An engine with all that it takes to score rows. One thread at a time may use it."""

    def __init__(
        self,
        engine: Engine,
        weights: LayerWeights,
        options: JobOptions,
        bounds: Bounds,
        root: str,
        shared: Path | None = None,
    ) -> None:
        """`shared` is a folder for features that several shards need; `root` is what relative names are relative to."""
        if shared is not None:
            shared.mkdir(parents=True, exist_ok=True)
        self._private = tempfile.TemporaryDirectory(prefix="clpips-", dir=shared, ignore_cleanup_errors=True)
        self._store = FeatureStore(engine, bounds.feature_bytes, shared, Path(self._private.name))
        fetcher = Fetcher(root, options.max_file_bytes, options.fetch_seconds)
        self._embedder = Embedder(
            engine, self._store, fetcher, weights.families, options.resolution, options.max_pixels
        )
        self._comparison = Comparison(engine, weights)
        comparing = engine.comparing if isinstance(engine, PortableEngine) else 1
        self._threads = ThreadPoolExecutor(comparing, thread_name_prefix="compare") if comparing > 1 else None
        self._run = PRODUCT_ROWS * 16 if statistics_alone(weights) else RUN
        self._apart = ApartDecoder()
        self._again = threading.Lock()

    @property
    def embedded(self) -> int:
        """Images that were embedded."""
        return self._embedder.embedded

    @property
    def not_spilled(self) -> int:
        """Files of features that had no room on the disk."""
        return self._store.failed

    def close(self) -> None:
        self._embedder.close()
        if self._threads is not None:
            self._threads.shutdown(cancel_futures=True)
        self._apart.close()
        self._private.cleanup()

    def embed(self, sources: Sequence[Source], *, careful: bool = False) -> dict[int, Problem]:
        """Have these images in the store; what is wrong with the others."""
        return self._embedder.embed(sources, self._apart.load if careful else load_image)

    def score(
        self,
        pairs: PairCells,
        targets: NDArray[np.int32],
        candidates: NDArray[np.int32],
        digests: Mapping[int, str],
        shared: frozenset[int],
        *,
        careful: bool = False,
    ) -> Results:
        """The distances of pairs, whose images have the numbers `targets`, `candidates` `(pairs,)`.

        `digests` are those that are known; `shared` are the images that other shards need too.
        """
        sources: dict[int, Source] = {}
        for numbers, cells in ((targets, pairs.targets), (candidates, pairs.candidates)):
            for number, cell in zip(numbers.tolist(), cells, strict=True):
                if number not in sources:
                    sources[number] = source_of(number, cell, digests, shared)
        images = _Images(self, sources, careful)
        ends = np.stack([np.minimum(targets, candidates), np.maximum(targets, candidates)], axis=1)
        distinct, inverse = np.unique(ends, axis=0, return_inverse=True)  # (m, 2), (pairs,)
        sums = self._compare(distinct.tolist(), images)  # (m, 11)
        sides = list(zip(targets.tolist(), candidates.tolist(), strict=True))
        return Results(
            Sums(sums[inverse.reshape(-1)]),
            [images.digest(target) for target, _ in sides],
            [images.digest(candidate) for _, candidate in sides],
            [images.said(target, candidate) for target, candidate in sides],
            pairs.rows,
        )

    def block(
        self, targets: Sequence[Source], candidates: Sequence[Source], *, careful: bool = False
    ) -> tuple[NDArray[np.float32], "_Images"]:
        """The sums `(t, c, 11)` of every target with every candidate; where an image has a problem they are 0."""
        images = _Images(self, {one.number: one for one in [*targets, *candidates]}, careful)
        sums = np.zeros((len(targets), len(candidates), SUMS), np.float32)
        sides = [
            [(place, images.known(one.number)) for place, one in enumerate(side)] for side in (targets, candidates)
        ]
        by_size: list[dict[Size, list[tuple[int, Known]]]] = [{}, {}]
        for side, sizes in zip(sides, by_size, strict=True):
            for place, known in side:
                if known is not None:
                    sizes.setdefault(known.size, []).append((place, known))
        for size in by_size[0].keys() & by_size[1].keys():
            rows, columns = by_size[0][size], by_size[1][size]
            found = self._comparison.block([known for _, known in rows], [known for _, known in columns])
            sums[np.ix_([place for place, _ in rows], [place for place, _ in columns])] = found
        return sums, images

    def stored(self, number: int) -> bool:
        """Whether a shared image is on the disk."""
        return self._store.stored(number)

    def forget(self) -> None:
        """Keep no image: numbers mean other ones from now on."""
        self._store.clear()

    def begin(self, needed: Iterable[int]) -> None:
        """From now on these images are needed."""
        self._store.begin(needed)

    def known(self, source: Source, *, careful: bool) -> Known | Problem:
        """An image, computed again where it was given up and the disk had no room for it. Threads may call this."""
        known = self._store.get(source.number, shared=source.shared)
        if known is None:
            with self._again:
                problems = self.embed([source], careful=careful)
            known = self._store.get(source.number, shared=source.shared)
            if known is None:
                return problems[source.number]
        return known

    def _compare(self, pairs: list[list[int]], images: "_Images") -> NDArray[np.float32]:
        """The sums of pairs of images, `(n, 11)`, run by run."""
        sums = np.zeros((len(pairs), SUMS), np.float32)

        def one_run(start: int) -> None:
            by_size: dict[Size, list[tuple[int, Known, Known]]] = {}
            for place in range(start, min(start + self._run, len(pairs))):
                first, second = (images.known(number) for number in pairs[place])
                if first is not None and second is not None and first.size == second.size:
                    by_size.setdefault(first.size, []).append((place, first, second))
            for group in by_size.values():
                found = self._comparison.pairs([one for _, one, _ in group], [one for _, _, one in group])
                sums[[place for place, _, _ in group]] = found.values

        runs = range(0, len(pairs), self._run)
        for _ in map(one_run, runs) if self._threads is None else self._threads.map(one_run, runs):
            pass
        return sums


class _Images:
    """The images of a shard by their numbers: those that are known, and what is wrong with the others."""

    def __init__(self, scorer: ShardScorer, sources: Mapping[int, Source], careful: bool) -> None:
        self._scorer = scorer
        self._sources = sources
        self._careful = careful
        self._digests = {number: source.digest for number, source in sources.items()}
        self._sizes: dict[int, Size] = {}
        scorer.begin(sources)
        self._problems = scorer.embed(list(sources.values()), careful=careful)

    def known(self, number: int) -> Known | None:
        """The image, or None where something is wrong with it."""
        if number in self._problems:
            return None
        found = self._scorer.known(self._sources[number], careful=self._careful)
        if isinstance(found, Problem):
            self._problems[number] = found
            return None
        self._digests[number], self._sizes[number] = found.digest, found.size
        return found

    def digest(self, number: int) -> str | None:
        problem = self._problems.get(number)
        return self._digests[number] or (problem.digest if problem else None) or None

    def said(self, target: int, candidate: int) -> str | None:
        """What is wrong with a pair, if anything is."""
        problems = {"target": self._problems.get(target), "candidate": self._problems.get(candidate)}
        words = [f"{side}: {problem.words}" for side, problem in problems.items() if problem is not None]
        if words:
            return "; ".join(words)
        sizes = [f"{width}×{height}" for height, width in (self._sizes[target], self._sizes[candidate])]
        if sizes[0] == sizes[1]:
            return None
        return (
            f"candidate: {sizes[1]} pixels, its target has {sizes[0]}; at native size both must be equally large: "
            "name a resolution"
        )


def source_of(number: int, cell: Cell, digests: Mapping[int, str], shared: frozenset[int]) -> Source:
    """An image as the pipeline takes it."""
    return Source(number, cell, digests.get(number, ""), number in shared)
