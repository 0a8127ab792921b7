"""From a table to a plan: its references, their hashes where images are told by their bytes, and its shards."""

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from clpips.models.bulk.cells import BYTES
from clpips.models.bulk.errors import BulkError
from clpips.models.bulk.job import Job
from clpips.models.bulk.plan_files import DIGEST
from clpips.models.bulk.planning import plan
from clpips.models.bulk.references import read_list, read_references
from clpips.models.bulk.tasks import Task, hashes_name
from clpips.models.bulk.tiles import block_rows, tile_count

HASHED: Final = 2048  # images a task
ROWS_BYTES: Final = 256 * 2**20  # of the rows of a shard: where images are bytes in the table, there are fewer


def make_plan(job: Job, hashed: Callable[[Iterator[Task]], None]) -> None:
    """Write the plan of a job; `hashed` does the tasks that hash images. Raises `BulkError` for an empty table."""
    columns = job.options.columns
    if job.options.matrix:
        names, numbers = read_list(job.table, columns.target)
        if len(numbers) < 2:
            raise BulkError(f"all pairs of a list need two images or more, the table has {len(numbers)}")
        digests, image_of = _images(job, names, hashed)
        block = block_rows(job.bounds)
        tiles = tile_count(len(numbers), block)
        job.plan.write_list(image_of[numbers], digests, tiles, block)
        return
    found = read_references(job.table, columns)
    if not found.rows:
        raise BulkError("the table has no rows")
    digests, image_of = _images(job, found.names, hashed)
    targets, candidates = image_of[found.targets], image_of[found.candidates]
    fitting = max(1, ROWS_BYTES * found.rows // max(job.table.nbytes, 1))
    bounds = replace(job.bounds, pairs=min(job.bounds.pairs, fitting))
    shards = plan(found.rows, found.row_of, targets, candidates, len(digests), bounds)
    job.plan.write(shards, found.row_of, targets, candidates, digests)


def _images(
    job: Job, names: pa.Array, hashed: Callable[[Iterator[Task]], None]
) -> tuple[NDArray[np.uint8], NDArray[np.int32]]:
    """The distinct images: hashes `(images, 32)`, zeros where not known, and the image of each name `(names,)`."""
    if job.options.dedupe == "content":
        there = job.hashes.names()
        pieces = list(enumerate(range(0, len(names), HASHED)))
        hashed(
            Task("hash", number, tuple(names[start : start + HASHED].to_pylist()))
            for number, start in pieces
            if hashes_name(number) not in there
        )
        content = b"".join(job.hashes.read(hashes_name(number)) for number, _ in pieces)
        digests = np.frombuffer(content, np.uint8).reshape(-1, DIGEST)
    else:
        digests = np.zeros((len(names), DIGEST), np.uint8)
        for place, name in enumerate(names.to_pylist()):
            if name.startswith(BYTES):
                digests[place] = np.frombuffer(bytes.fromhex(name.removeprefix(BYTES)), np.uint8)
    known = digests.any(axis=1)
    keys = np.ascontiguousarray(digests).view(f"V{DIGEST}").ravel()
    first = np.arange(len(names))
    _, starts, inverse = np.unique(keys[known], return_index=True, return_inverse=True)
    first[known] = np.flatnonzero(known)[starts][inverse.reshape(-1)]  # the first name of the same bytes
    distinct, image_of = np.unique(first, return_inverse=True)
    return digests[distinct], image_of.reshape(-1).astype(np.int32)
