"""Channel distances of all pairs that rankings name: each image embedded once, each pair kept on disk."""

import hashlib
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from clpips.models.engines.contract import Engine
from clpips.models.images.decoding import load_image
from clpips.models.images.errors import ImageError
from clpips.models.images.pixels import Pixels
from clpips.models.metric.backbone import TOTAL_CHANNELS
from clpips.models.rankings.distance_cache import Key, key_of, open_store
from clpips.models.rankings.files import Ranking, RankingsError
from clpips.models.rankings.pairs import RankedPairs, expand_ranks, expand_votes

BATCH: Final = 32  # images, and pairs, a run of the engine
FEATURE_BYTES: Final = 1 << 30  # of features kept at a time; beyond it the oldest are computed again where needed

Progress = Callable[[int, int], None]  # pairs done, pairs to do


@dataclass(frozen=True, eq=False)
class Measured:
    """Rankings with their channel distances.

    `rows` is float32 `(r, 1152)`; `rows_of[i]`, intp `(k,)`, names the rows of ranking i's candidates; `targets[i]`
    numbers its target image. Images of the same bytes are one image, whatever they are called.
    """

    rankings: Sequence[Ranking]
    rows: NDArray[np.float32]
    rows_of: Sequence[NDArray[np.intp]]
    targets: NDArray[np.intp]

    def take(self, rankings: Sequence[Ranking]) -> "Measured":
        """These of the rankings, over the same rows."""
        place = {id(ranking): index for index, ranking in enumerate(self.rankings)}
        chosen = [place[id(ranking)] for ranking in rankings]
        return Measured(list(rankings), self.rows, [self.rows_of[index] for index in chosen], self.targets[chosen])

    def pairs(self) -> RankedPairs:
        """Every ordered pair of every ranking; votes give a pair in each direction that got any, counted."""
        better, worse, counts, targets = [], [], [], []
        for ranking, rows, target in zip(self.rankings, self.rows_of, self.targets, strict=True):
            if ranking.votes is not None:
                first, second, votes = expand_votes(ranking.votes)
            else:
                first, second = expand_ranks(ranking.order)
                votes = np.ones(len(first))
            better.append(rows[first])
            worse.append(rows[second])
            counts.append(votes)
            targets.append(np.full(len(first), target, np.intp))
        if not better:
            none = np.zeros(0, np.intp)
            return RankedPairs(self.rows, none, none, np.zeros(0), none)
        return RankedPairs(
            self.rows,
            np.concatenate(better),
            np.concatenate(worse),
            np.concatenate(counts),
            np.concatenate(targets),
        )


def measure(
    rankings: Sequence[Ranking],
    open_engine: Callable[[], Engine],
    resolution: int | None,
    fingerprint: str,
    cache: Path | None,
    progress: Progress | None = None,
) -> Measured:
    """Channel distances of every (target, candidate) of the rankings, from the cache where they are known.

    `open_engine` is called only if something has to be computed; `fingerprint` is its backbone's. `cache` is a folder,
    or None to keep nothing. Raises `RankingsError` naming every image that is missing, broken, or at native size not
    as large as its target, and rankings whose `z` is of another backbone or resolution; what was computed until then
    stays in the cache.
    """
    _require_comparable(rankings, fingerprint, resolution)
    hashes = _hash_images(rankings, resolution)
    wanted = {
        key_of(hashes[ranking.target], hashes[candidate]): (ranking.target, candidate)
        for ranking in rankings
        for candidate in ranking.candidates
    }
    with open_store(cache, fingerprint, resolution) as store:
        known = store.read(wanted)
        missing = {key: paths for key, paths in wanted.items() if key not in known}
        if missing:
            with closing(open_engine()) as engine:
                problems = []
                for done, problem in _compute(engine, missing, hashes, resolution):
                    problems += problem
                    store.write(done)
                    known |= done
                    if progress:
                        progress(len(known), len(wanted))
            if problems:
                raise RankingsError("images cannot be scored", sorted(set(problems)))
    return _assemble(rankings, hashes, known)


def _require_comparable(rankings: Sequence[Ranking], fingerprint: str, resolution: int | None) -> None:
    problems = [
        f"line {ranking.line}: its z comes from the backbone {(ranking.backbone or '')[:12]}… at {ranking.resolution}, "
        f"this is {fingerprint[:12]}… at {resolution}"
        for ranking in rankings
        if ranking.z is not None
        and ranking.backbone
        and (ranking.backbone, ranking.resolution) != (fingerprint, resolution)
    ]
    if problems:
        raise RankingsError("channel distances of another backbone or resolution do not compare", problems)


def _hash_images(rankings: Sequence[Ranking], resolution: int | None) -> dict[str, str]:
    """sha256 of every image by its path. Where one cannot be read, the others are decoded too, to name all at once."""
    paths = list(dict.fromkeys(path for ranking in rankings for path in ranking.images))
    hashes, problems = {}, []
    with ThreadPoolExecutor() as pool:
        for path, digest in zip(paths, pool.map(_hash_file, paths), strict=True):
            if isinstance(digest, OSError):
                problems.append(f"{path}: {digest.strerror}")
            else:
                hashes[path] = digest
        if problems:
            for path, pixels in zip(hashes, pool.map(lambda path: _pixels(path, resolution), hashes), strict=True):
                if isinstance(pixels, str):
                    problems.append(f"{path}: {pixels}")
            raise RankingsError("images cannot be scored", problems)
    return hashes


def _hash_file(path: str) -> str | OSError:
    try:
        with Path(path).open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        return error


def _pixels(path: str, resolution: int | None) -> Pixels | str:
    """The image at the scoring resolution, or what is wrong with it."""
    try:
        return load_image(Path(path).read_bytes(), resolution)
    except ImageError as error:
        return str(error)
    except OSError as error:
        return str(error.strerror)


def _compute(
    engine: Engine, missing: dict[Key, tuple[str, str]], hashes: dict[str, str], resolution: int | None
) -> Iterator[tuple[dict[Key, NDArray[np.float32]], list[str]]]:
    """Batch by batch: channel distances by key, and what is wrong with images that were met."""
    features = _Features(engine, hashes, resolution)
    ordered = sorted(missing.items())  # a target's pairs side by side
    for start in range(0, len(ordered), BATCH):
        batch = ordered[start : start + BATCH]
        problems = features.load([path for _, paths in batch for path in paths])
        found: dict[tuple[int, int], list[tuple[Key, Any, Any]]] = {}  # by size: one run takes equally large images
        for key, (target, candidate) in batch:
            first, second = features.get(target), features.get(candidate)
            if first is None or second is None:
                continue
            if first.size != second.size:
                problems.append(
                    f"{candidate}: {second.size[1]}×{second.size[0]} pixels, its target {target} has "
                    f"{first.size[1]}×{first.size[0]}; at native size both must be equally large"
                )
                continue
            found.setdefault(first.size, []).append((key, first.features, second.features))
        done: dict[Key, NDArray[np.float32]] = {}
        for group in found.values():
            keys, targets, candidates = zip(*group, strict=True)
            done |= dict(zip(keys, engine.compare(targets, candidates), strict=True))
        yield done, problems


@dataclass(frozen=True)
class _Image:
    size: tuple[int, int]
    features: Any


class _Features:
    """Features by image hash, the oldest given up beyond `FEATURE_BYTES`."""

    def __init__(self, engine: Engine, hashes: dict[str, str], resolution: int | None) -> None:
        self._engine = engine
        self._hashes = hashes
        self._resolution = resolution
        self._kept: OrderedDict[str, _Image] = OrderedDict()
        self._broken: set[str] = set()

    def get(self, path: str) -> _Image | None:
        return self._kept.get(self._hashes[path])

    def load(self, paths: Sequence[str]) -> list[str]:
        """Have the features of all these images; returns what is wrong with those that have none."""
        problems = []
        needed = {self._hashes[path]: path for path in paths}
        for digest in needed:
            if digest in self._kept:
                self._kept.move_to_end(digest)
        new = {
            digest: path for digest, path in needed.items() if digest not in self._kept and digest not in self._broken
        }
        by_size: dict[tuple[int, ...], list[tuple[str, Pixels]]] = {}
        with ThreadPoolExecutor() as pool:
            for (digest, path), pixels in zip(
                new.items(), pool.map(lambda path: _pixels(path, self._resolution), new.values()), strict=True
            ):
                if isinstance(pixels, str):
                    self._broken.add(digest)
                    problems.append(f"{path}: {pixels}")
                else:
                    by_size.setdefault(pixels.shape, []).append((digest, pixels))
        for shape, images in by_size.items():
            for start in range(0, len(images), BATCH):
                digests, arrays = zip(*images[start : start + BATCH], strict=True)
                for digest, features in zip(digests, self._engine.embed(np.stack(arrays)), strict=True):
                    self._kept[digest] = _Image((shape[0], shape[1]), features)
        self._forget(set(needed))
        return problems

    def _forget(self, needed: set[str]) -> None:
        held = sum(image.features.nbytes for image in self._kept.values())
        for digest in list(self._kept):
            if held <= FEATURE_BYTES:
                break
            if digest not in needed:
                held -= self._kept.pop(digest).features.nbytes


def _assemble(rankings: Sequence[Ranking], hashes: dict[str, str], known: dict[Key, NDArray[np.float32]]) -> Measured:
    place = {key: index for index, key in enumerate(known)}
    blocks = [np.stack(list(known.values()))] if known else []
    count = len(known)
    rows_of: list[NDArray[np.intp]] = []
    numbers: dict[str, int] = {}
    targets = []
    for ranking in rankings:
        if ranking.z is None:
            digest = hashes[ranking.target]
            rows = [place[key_of(digest, hashes[candidate])] for candidate in ranking.candidates]
            rows_of.append(np.array(rows, np.intp))
            name = f"sha256:{digest}"
        else:
            blocks.append(ranking.z.astype(np.float32))
            rows_of.append(np.arange(count, count + len(ranking.z), dtype=np.intp))
            count += len(ranking.z)
            name = ranking.target
        targets.append(numbers.setdefault(name, len(numbers)))
    rows_all = np.concatenate(blocks) if blocks else np.zeros((0, TOTAL_CHANNELS), np.float32)
    return Measured(rankings, rows_all, rows_of, np.array(targets, np.intp))
