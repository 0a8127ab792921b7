"""A worker: does the tasks of a job, one after the other, with an engine of its own. The same here and on a cluster."""

import hashlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from clpips.models.bulk.cells import BYTES, cells, numbered, pair_cells
from clpips.models.bulk.embedding import READERS, Source
from clpips.models.bulk.errors import BulkError
from clpips.models.bulk.fetching import Fetcher
from clpips.models.bulk.job import Job
from clpips.models.bulk.matrix import score_tile
from clpips.models.bulk.options import JobOptions
from clpips.models.bulk.parts import part_bytes, part_name, rows_with_errors, with_results
from clpips.models.bulk.plan_files import DIGEST
from clpips.models.bulk.shard import ShardScorer, source_of
from clpips.models.bulk.tasks import Outcome, Task, hashes_name
from clpips.models.engines.contract import GPU_BATCH, Engine
from clpips.models.engines.opening import open_engine, torch_sees_cuda
from clpips.models.images.errors import ImageError
from clpips.models.metric.backbone_file import load_backbone
from clpips.models.metric.nets import ALEX

COMMONEST: Final = 200  # kinds of errors that a worker reports


class Worker:
    """Works on the job in a folder."""

    def __init__(self, place: str, options: JobOptions, threads: int | None = None, spill: str | None = None) -> None:
        """`options` say which engine is opened before there is a job; `threads` is how many cores it may use."""
        self._limits = threadpool_limits(1)  # of matrix products: cores are shared out in larger pieces
        self._job = Job(place, spill)
        self._asked = options
        self._threads = threads

    def run(self, task: Task) -> Outcome:
        """Do a task. Raises `BulkError`, `OSError` or what an engine raises: never for what is wrong with an image."""
        match task.kind:
            case "describe":
                return Outcome(engine=describe(self._engine))
            case "hash":
                return self._hash(task)
            case "embed":
                return self._embed(task)
            case "score":
                return self._score(task)

    def close(self) -> None:
        if "_scorer" in self.__dict__:
            self._scorer.close()
        if "_engine" in self.__dict__:
            self._engine.close()
        self._limits.restore_original_limits()

    @cached_property
    def _engine(self) -> Engine:
        asked = self._asked
        backbone = None
        if asked.backbone:
            backbone = Path(asked.backbone) if Path(asked.backbone).exists() else self._job.backbone()
        engine = open_engine_as(asked, self._threads, backbone)
        if engine.device.startswith("cuda") and asked.resolution is not None:
            engine.prepare(asked.resolution, GPU_BATCH)
        return engine

    @cached_property
    def _scorer(self) -> ShardScorer:
        job = self._job
        found = describe(self._engine)
        if found != job.engine:
            raise BulkError(f"this worker's engine is {found}, the job was begun on {dict(job.engine)}")
        options = replace(job.options, fetch_seconds=self._asked.fetch_seconds)
        return ShardScorer(self._engine, job.weights, options, job.bounds, job.root, job.spill)

    def _hash(self, task: Task) -> Outcome:
        """The hashes of images by their names, 32 bytes each; zeros where one does not come."""
        options = self._job.options
        fetcher = Fetcher(self._job.root, options.max_file_bytes, self._asked.fetch_seconds)

        def digest(name: str) -> bytes:
            if name.startswith(BYTES):
                return bytes.fromhex(name.removeprefix(BYTES))
            try:
                return hashlib.sha256(fetcher.fetch(name)).digest()
            except ImageError:  # it is fetched once more when it is scored, and said of its rows what is wrong then
                return bytes(DIGEST)

        with ThreadPoolExecutor(READERS) as pool:
            self._job.hashes.write(hashes_name(task.number), b"".join(pool.map(digest, task.names)))
        return Outcome()

    def _embed(self, task: Task) -> Outcome:
        """Features of images that several shards need, onto the disk."""
        job, scorer = self._job, self._scorer
        before = scorer.embedded
        places, digests = job.plan.embed_task(task.number)
        rows = np.unique(np.array([place.row for place in places.values()], np.int64))
        at = {int(row): index for index, row in enumerate(rows)}
        columns = job.options.columns
        shared = frozenset(places)
        sources: list[Source] = []
        if job.options.matrix:
            listed = cells(job.table.take(rows, [columns.target]).column(0))
            for image, place in places.items():
                sources.append(source_of(image, listed[at[place.row]], digests, shared))
        else:
            pairs = pair_cells(job.table.take(rows, [columns.target, columns.candidate]), columns)
            first = np.searchsorted(pairs.rows, np.arange(len(rows)))
            for image, place in places.items():
                pair = int(first[at[place.row]]) + place.pair
                cell = (pairs.targets, pairs.candidates)[place.side][pair]
                sources.append(source_of(image, cell, digests, shared))
        scorer.begin(())
        scorer.embed([one for one in sources if not scorer.stored(one.number)], careful=task.careful)
        return Outcome(images=scorer.embedded - before, not_spilled=scorer.not_spilled)

    def _score(self, task: Task) -> Outcome:
        job, scorer = self._job, self._scorer
        before = scorer.embedded
        options = job.options
        part = wrong = None
        if task.retry:
            scorer.forget()  # images are numbered anew: those of the same broken bytes may be different ones by now
            part = pq.read_table(BytesIO(job.folder.read(part_name(task.number)))).replace_schema_metadata(None)
            wrong = rows_with_errors(part.column("error"))
        if options.matrix:
            column = options.columns.target
            table, errors = score_tile(
                task.number, job.table, column, job.plan, scorer, careful=task.careful, again=task.retry
            )
            if wrong is not None:
                table = table.filter(pa.array(wrong))
                errors = [errors[place] for place in np.flatnonzero(wrong)]
        else:
            table, errors = self._score_rows(task, wrong)
        if part is not None and wrong is not None:
            kept = part.filter(pa.array(~wrong))
            table = pa.concat_tables([kept.cast(table.schema), table]).sort_by("row")
        bad = int(rows_with_errors(table.column("error")).sum())
        job.folder.write(part_name(task.number), part_bytes(table.combine_chunks(), job.metadata(), bad))
        said = Counter(error for error in errors if error is not None)
        return Outcome(
            rows=table.num_rows,
            pairs=len(errors),
            bad_rows=bad,
            images=scorer.embedded - before,
            errors=Counter(dict(said.most_common(COMMONEST))),
            not_spilled=scorer.not_spilled,
        )

    def _score_rows(self, task: Task, wrong: NDArray[np.bool_] | None) -> tuple[pa.Table, list[str | None]]:
        """The rows of a shard's part and what is wrong with their pairs: of all, or of those that are tried again."""
        job = self._job
        shard = job.plan.shard(task.number)
        rows = shard.rows if wrong is None else shard.rows[wrong]
        table = job.table.take(rows)
        pairs = pair_cells(table, job.options.columns)
        targets, candidates, digests, shared = shard.targets, shard.candidates, shard.digests, shard.shared
        if wrong is not None:
            start = int(job.plan.about["images"])
            targets, candidates = numbered([pairs.targets, pairs.candidates], start)
            digests, shared = {}, frozenset()
        results = self._scorer.score(pairs, targets, candidates, digests, shared, careful=task.careful)
        table = table.drop_columns(list(job.options.drop)) if job.options.drop else table
        return with_results(table, rows, results, listed=pairs.listed), results.errors


def open_engine_as(options: JobOptions, threads: int | None, backbone: Path | None) -> Engine:
    """The engine that a job's options name: on a CPU, ONNX Runtime's convolves as they say, whatever is faster here.

    Raises `BulkError` for another backbone than AlexNet, and what `open_engine` raises.
    """
    if backbone is not None and (net := load_backbone(backbone).net) != ALEX:
        raise BulkError(f"bulk scoring knows AlexNet alone, and this backbone is {net.title}: leave --backbone out")
    of_onnx = options.engine == "onnx" or (options.engine == "auto" and options.precision == "exact")
    on_cpu = options.device == "cpu" or (
        options.device == "auto" and (options.engine == "onnx" or not torch_sees_cuda())
    )
    plain = of_onnx and on_cpu
    return open_engine(
        "onnx" if plain else options.engine,
        "cpu" if plain else options.device,
        options.precision,
        backbone,
        threads,
        convolution=options.convolution if plain else "direct",
    )


def describe(engine: Engine) -> dict[str, str]:
    """What tells the bits of an engine's distances from another's."""
    return {
        "engine": engine.name,
        "device": engine.device,
        "precision": engine.precision,
        "convolution": engine.convolution,
        "backbone": engine.fingerprint,
    }
