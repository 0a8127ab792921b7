"""Tables of pairs and the images that they name, and jobs that score them in this process."""

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from clpips.models.bulk.executors import Executor, InlineExecutor, ProcessExecutor
from clpips.models.bulk.job import Job
from clpips.models.bulk.options import JobOptions
from clpips.models.bulk.progress import Progress
from clpips.models.bulk.running import RunOptions, run
from clpips.models.bulk.worker import Worker
from tests.support.pictures import encode, picture

SIDE = 64
QUICK: dict[str, Any] = {
    "resolution": SIDE,
    "convolution": "direct",
}  # small images, and an engine that opens in half the time


def image_files(folder: Path, count: int) -> list[str]:
    """Image files called `0.png`, …; their names."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        (folder / f"{number}.png").write_bytes(encode(picture(number, SIDE)))
    return [f"{number}.png" for number in range(count)]


def random_pairs(images: int, pairs: int, seed: int = 0) -> tuple[list[str], list[str]]:
    """Names of `image_files` in pairs, all of them in one connected group."""
    rng = np.random.default_rng(seed)
    targets, candidates = (rng.integers(0, images, pairs).tolist() for _ in range(2))
    return [f"{one}.png" for one in targets], [f"{one}.png" for one in candidates]


def write_table(path: Path, **columns: Sequence[Any]) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def options(**changed: Any) -> JobOptions:
    return JobOptions(**{**QUICK, **changed})


def run_job(
    source: Path | str, out: Path | str, *, workers: int = 0, how: RunOptions | None = None, **changed: Any
) -> Progress:
    """Score a table into a folder, in this process or by worker processes."""
    asked = options(**changed)
    make = partial(Worker, str(out), asked)
    executor: Executor = ProcessExecutor(make, workers) if workers else InlineExecutor(make())
    try:
        return run(Job(out), str(source), asked, asked.load_weights(), executor, how)
    finally:
        executor.close()


def parts(out: Path) -> dict[str, bytes]:
    """The bytes of every part by its name."""
    return {path.name: path.read_bytes() for path in sorted(out.glob("part-*.parquet"))}


def whole(out: Path) -> pa.Table:
    """The final table in the order of the input."""
    return pa.concat_tables([pq.read_table(out / name) for name in parts(out)]).sort_by("row")
