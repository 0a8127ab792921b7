"""Pairwise distance computation: channel distances of every (target, candidate) that rankings name, kept on disk."""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from clpips.models.engines.contract import Engine
from clpips.models.engines.several import ImageFeatures, compare_images
from clpips.models.metric.families import Z_LENGTH
from clpips.models.metric.packing import unpack_z
from clpips.models.rankings.distance_cache import PairKey, open_cache, pair_key
from clpips.models.rankings.embedding import ImageEmbedder, load_pixels
from clpips.models.rankings.files import Ranking, RankingsError, name_resolution
from clpips.models.rankings.measured import MeasuredRankings

BATCH: Final = 32  # images, and pairs, a run of the engine
FEATURE_BYTES: Final = 1 << 30  # of features kept at a time

Progress = Callable[[int, int], None]  # pairs done, pairs to do


def measure_rankings(
    rankings: Sequence[Ranking],
    open_engine: Callable[[], Engine],
    resolution: int | None,
    fingerprint: str,
    cache: Path | None,
    progress: Progress | None = None,
    *,
    batch: int = BATCH,
    feature_bytes: int = FEATURE_BYTES,
) -> MeasuredRankings:
    """Channel distances of every (target, candidate) of the rankings, from the cache where they are known.

    `open_engine` is called only if something has to be computed; `fingerprint` is its backbone's. `cache` is a folder,
    or None to keep nothing. `batch` images or pairs go into a run of the engine; `feature_bytes` of features are kept.
    Raises `RankingsError` naming every image that is missing, broken, or at native size not as large as its target,
    and rankings whose `z` is of another backbone or resolution; what was computed until then stays in the cache.
    """
    _require_comparable(rankings, fingerprint, resolution)
    hashes = _hash_images(rankings, resolution)
    wanted = {
        pair_key(hashes[ranking.target], hashes[candidate]): (ranking.target, candidate)
        for ranking in rankings
        if ranking.z is None
        for candidate in ranking.candidates
    }
    with open_cache(cache, fingerprint, resolution) as kept:
        known = kept.read(wanted)
        missing = {key: paths for key, paths in wanted.items() if key not in known}
        if missing:
            with closing(open_engine()) as engine:
                images = ImageEmbedder(engine, hashes, resolution, batch, feature_bytes)
                problems = []
                for done, problem in _compute(engine, images, missing, batch):
                    problems += problem
                    kept.write(done)
                    known |= done
                    if progress:
                        progress(len(known), len(wanted))
            if problems:
                raise RankingsError("images cannot be scored", sorted(set(problems)))
    return _assemble(rankings, hashes, known)


def _require_comparable(rankings: Sequence[Ranking], fingerprint: str, resolution: int | None) -> None:
    """Raise `RankingsError` for `z` of another backbone, and where none at all is of the resolution that is asked for.

    A file of several resolutions is one that a service wrote whose users chose them.
    """
    measured = [ranking for ranking in rankings if ranking.z is not None and ranking.backbone]
    alien = [ranking for ranking in measured if ranking.backbone != fingerprint]
    if not alien and all(ranking.resolution != resolution for ranking in measured):
        alien = measured
    if alien:
        raise RankingsError(
            "channel distances of another backbone or resolution do not compare",
            [
                f"line {ranking.line}: its z comes from the backbone {(ranking.backbone or '')[:12]}… at "
                f"{name_resolution(ranking.resolution)}, this is {fingerprint[:12]}… at {name_resolution(resolution)}"
                for ranking in alien
            ],
        )


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
            for path, pixels in zip(hashes, pool.map(lambda path: load_pixels(path, resolution), hashes), strict=True):
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


def _compute(
    engine: Engine, images: ImageEmbedder, missing: Mapping[PairKey, tuple[str, str]], batch_size: int
) -> Iterator[tuple[dict[PairKey, NDArray[np.float32]], list[str]]]:
    """Batch by batch: channel distances by key, and what is wrong with images that were met."""
    ordered = sorted(missing.items())  # a target's pairs side by side
    for start in range(0, len(ordered), batch_size):
        batch = ordered[start : start + batch_size]
        problems = images.load([path for _, paths in batch for path in paths])
        found: dict[
            tuple[int, int], list[tuple[PairKey, ImageFeatures, ImageFeatures]]
        ] = {}  # by size: one run takes equally large images
        for key, (target, candidate) in batch:
            first, second = images.get(target), images.get(candidate)
            if first is None or second is None:
                continue
            if first.size != second.size:
                problems.append(
                    f"{candidate}: {second.size[1]}×{second.size[0]} pixels, its target {target} has "
                    f"{first.size[1]}×{first.size[0]}; at native size both must be equally large"
                )
                continue
            found.setdefault(first.size, []).append((key, first.features, second.features))
        done: dict[PairKey, NDArray[np.float32]] = {}
        for group in found.values():
            keys, targets, candidates = zip(*group, strict=True)
            z = compare_images(engine, targets, candidates)  # (n, z)
            done |= dict(zip(keys, z, strict=True))
        yield done, problems


def _assemble(
    rankings: Sequence[Ranking], hashes: dict[str, str], known: dict[PairKey, NDArray[np.float32]]
) -> MeasuredRankings:
    place = {key: index for index, key in enumerate(known)}
    blocks = [np.stack(list(known.values()))] if known else []
    count = len(known)
    rows_of: list[NDArray[np.intp]] = []
    for ranking in rankings:
        if ranking.z is None:
            digest = hashes[ranking.target]
            rows = [place[pair_key(digest, hashes[candidate])] for candidate in ranking.candidates]
            rows_of.append(np.array(rows, np.intp))
        else:
            blocks.append(unpack_z(ranking.z))
            rows_of.append(np.arange(count, count + len(ranking.z), dtype=np.intp))
            count += len(ranking.z)
    rows_all = np.concatenate(blocks) if blocks else np.zeros((0, Z_LENGTH), np.float32)
    names, targets, candidates_of = _number_images(rankings, hashes)
    return MeasuredRankings(rankings, rows_all, rows_of, targets, candidates_of, names)


def _number_images(
    rankings: Sequence[Ranking], hashes: Mapping[str, str]
) -> tuple[list[str], NDArray[np.intp], list[NDArray[np.intp] | None]]:
    """All images' names, and a number for each, by its content: the order of the rankings changes none.

    The numbers are the targets', and the candidates' of each ranking, None where they have no names. A ranking that
    holds `z` names its images as the service does, `sha256:` and the hash.
    """

    def named(ranking: Ranking) -> list[str]:
        names = [ranking.target, *ranking.candidates]
        return names if ranking.z is not None else [f"sha256:{hashes[name]}" for name in names]

    own = [named(ranking) for ranking in rankings]
    names = sorted({name for each in own for name in each})
    numbers = {name: number for number, name in enumerate(names)}
    numbered = [np.array([numbers[name] for name in each], np.intp) for each in own]
    targets = np.array([images[0] for images in numbered], np.intp)
    return names, targets, [images[1:] if len(images) > 1 else None for images in numbered]
