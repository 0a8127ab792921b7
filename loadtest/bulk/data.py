"""Image files and tables of pairs for the benchmark of bulk scoring."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from loadtest.kit.pictures import Pictures


def write_images(folder: Path, count: int, side: int) -> list[str]:
    """Unique PNG files of `side`² pixels; their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    source = Pictures(side)
    paths = [folder / f"{number:06}.png" for number in range(count)]
    for path in paths:
        path.write_bytes(next(source))
    return [str(path) for path in paths]


def write_pairs(path: Path, targets: list[str], candidates: list[str]) -> Path:
    pq.write_table(pa.table({"target": targets, "candidate": candidates}), path)
    return path


def each_in(images: list[str], times: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """Pairs in which each image stands `times` times, with others at random; all hang together."""
    rng = np.random.default_rng(seed)
    drawn = np.concatenate([rng.permutation(len(images)) for _ in range(times)])
    return [images[place] for place in drawn[0::2]], [images[place] for place in drawn[1::2]]


def in_groups(images: list[str], size: int, pairs: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """So many pairs within each group of `size` images, at random."""
    rng = np.random.default_rng(seed)
    targets, candidates = [], []
    for start in range(0, len(images), size):
        group = images[start : start + size]
        for first, second in rng.integers(0, len(group), (pairs, 2)).tolist():
            targets.append(group[first])
            candidates.append(group[second])
    return targets, candidates
