"""Bulk scoring for programs: of a whole table with `score`, of one batch of a pipeline with `Scorer`."""

import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq

from clpips.models.bulk.cells import numbered, pair_cells, require_columns
from clpips.models.bulk.errors import BulkError
from clpips.models.bulk.executors import InlineExecutor
from clpips.models.bulk.job import Job
from clpips.models.bulk.options import Columns, JobOptions, bounds_of
from clpips.models.bulk.parts import part_name, require_free_names, with_results
from clpips.models.bulk.running import RunOptions, run
from clpips.models.bulk.shard import ShardScorer
from clpips.models.bulk.table import require_distinct
from clpips.models.bulk.worker import Worker, open_engine_as
from clpips.models.engines.contract import Engine
from clpips.models.metric.backbone import DEFAULT_RESOLUTION
from clpips.models.metric.weights import LayerWeights

# What Arrow raises for a table that it cannot write: the second is its name for a type that Parquet lacks, and says
# nothing of this project, in which there is nothing unfinished here.
UNFIT: Final = (pa.ArrowInvalid, pa.ArrowNotImplementedError)
GROUP_ROWS: Final = 4096  # of a table in memory that is written down


def score(
    table: Any,
    *,
    out: str | Path | None = None,
    weights: str | Path = "lpips",
    resolution: int | None = DEFAULT_RESOLUTION,
    target: str = "target",
    candidate: str = "candidate",
    root: str | Path = "",
    matrix: bool = False,
    max_error_share: float = 1.0,
    retry_errors: bool = False,
    **options: Any,
) -> Any:
    """Score a table of pairs with one engine in this process, each distinct image once.

    `table` is a path or URL of Parquet, CSV or JSON Lines, a pyarrow table or record batch, a pandas frame, or a
    Hugging Face dataset. Its columns `target` and `candidate` hold images: paths and URLs, bytes, structs of `bytes`
    and `path`, or for the candidates a list of these. Relative names belong to `root`: by default the table's own
    folder, or the current one. With `matrix` all pairs of the images in `target` are scored. `options` are further
    fields of `JobOptions`.

    Returns a pyarrow table in the order of the input, with the columns `row`, `distance` (float32), `layers` (five),
    `families`, `target_sha256`, `candidate_sha256` and `error` added; or, with `out`, the pyarrow dataset of the parts
    that lie there, from which a job that was stopped goes on. Raises `BulkError` as `clpips score` does, and
    `WeightsError`.

    >>> import io
    >>> from PIL import Image
    >>> def png(level):
    ...     file = io.BytesIO()
    ...     Image.new("L", (64, 64), level).save(file, "PNG")
    ...     return file.getvalue()
    >>> pairs = pa.table({"target": [png(0), png(0)], "candidate": [png(0), png(255)]})
    >>> found = score(pairs, resolution=64)
    >>> found["distance"][0].as_py(), found["distance"][1].as_py() > 0.1
    (0.0, True)
    """
    asked = JobOptions(
        weights=str(weights),
        resolution=resolution,
        columns=Columns(target, candidate),
        root=str(root) if isinstance(table, str | Path) or root else str(Path.cwd()),
        matrix=matrix,
        **options,
    )
    chosen = asked.load_weights()
    how = RunOptions(retry_errors, max_error_share)
    with tempfile.TemporaryDirectory(prefix="clpips-") as folder:
        source = str(table) if isinstance(table, str | Path) else _written(table, Path(folder))
        place = str(out) if out is not None else f"{folder}/out"
        job = Job(place)
        executor = InlineExecutor(Worker(place, asked))
        try:
            run(job, source, asked, chosen, executor, how)
        finally:
            executor.close()
        parts = [part_name(number) for number in sorted(job.parts())]
        if out is not None:
            paths, filesystem = job.folder.files(parts)
            return ds.dataset(paths, format="parquet", filesystem=filesystem)
        whole = pa.concat_tables([pq.read_table(job.folder.path(part), memory_map=False) for part in parts])
        return whole.sort_by("row").combine_chunks()


class Scorer:
    """Scores one batch of pairs after the other: a callable for Ray Data's and Hugging Face's `map`.

    The engine is opened at the first batch; each distinct image of a batch is embedded once. Use it from one thread,
    and `close` it, or use it as a context.
    """

    def __init__(
        self,
        weights: str | Path = "lpips",
        *,
        resolution: int | None = DEFAULT_RESOLUTION,
        target: str = "target",
        candidate: str = "candidate",
        root: str | Path = "",
        threads: int | None = None,
        **options: Any,
    ) -> None:
        """As `score` has them; `threads` are the cores that it may use, None all. Raises `WeightsError`."""
        self._options = JobOptions(
            weights=str(weights), resolution=resolution, columns=Columns(target, candidate), root=str(root), **options
        )
        self._weights: LayerWeights = self._options.load_weights()
        self._threads = threads
        self._engine: Engine | None = None
        self._scorer: ShardScorer | None = None
        self._rows = 0

    def __call__(self, table: pa.Table) -> pa.Table:
        """The rows with the columns that `score` adds; `row` counts the rows that this scorer has seen.

        Raises `BulkError` for what is no table, and for columns that hold no images or are called like those added.
        """
        columns = self._options.columns
        table = as_arrow(table)
        require_distinct(table.schema)
        require_free_names(table.schema, ())
        require_columns(table.schema, columns, matrix=False)
        scorer = self._ready()
        pairs = pair_cells(table, columns)
        targets, candidates = numbered([pairs.targets, pairs.candidates])
        scorer.forget()
        results = scorer.score(pairs, targets, candidates, {}, frozenset())
        rows = np.arange(self._rows, self._rows + table.num_rows)
        self._rows += table.num_rows
        return with_results(table.replace_schema_metadata(None), rows, results, listed=pairs.listed)

    def close(self) -> None:
        """Give the engine's memory back."""
        if self._scorer is not None:
            self._scorer.close()
        if self._engine is not None:
            self._engine.close()
        self._scorer = self._engine = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def __getstate__(self) -> Mapping[str, Any]:
        return {**self.__dict__, "_engine": None, "_scorer": None}  # an engine stays where it is

    def _ready(self) -> ShardScorer:
        if self._scorer is None:
            options = replace(self._options)
            backbone = Path(options.backbone) if options.backbone else None
            self._engine = open_engine_as(options, self._threads, backbone)
            self._weights.require_backbone(self._engine.fingerprint)
            bounds = bounds_of(options, self._weights)
            self._scorer = ShardScorer(self._engine, self._weights, options, bounds, options.root)
        return self._scorer


def _written(table: Any, folder: Path) -> str:
    """A table in memory as a Parquet file."""
    path = folder / "table.parquet"
    try:
        pq.write_table(as_arrow(table), path, row_group_size=GROUP_ROWS)
    except UNFIT as error:
        raise BulkError(f"Parquet cannot hold the table: {error}") from error
    return str(path)


def as_arrow(table: Any) -> pa.Table:
    """A pyarrow table of a table, a record batch, a pandas frame, or a Hugging Face dataset. Raises `BulkError`."""
    if isinstance(table, pa.RecordBatch):
        return pa.Table.from_batches([table])
    if hasattr(table, "with_format") and hasattr(table, "features"):  # datasets.Dataset
        table = table.with_format("arrow")[:]
    if isinstance(table, pa.Table):
        return table
    if hasattr(table, "columns") and hasattr(table, "to_dict"):  # pandas.DataFrame
        return pa.Table.from_pandas(table, preserve_index=False)
    raise BulkError(f"a table is a path, a pyarrow table, a pandas frame or a Hugging Face dataset, not {type(table)}")
