"""Where a table comes from: Parquet as it lies, CSV and JSON Lines rewritten as Parquet once.

Parquet whose row groups are too large to hold is rewritten too, in smaller ones.
"""

import io
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final

import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.json as pa_json
import pyarrow.parquet as pq

from clpips.models.bulk.errors import BulkError
from clpips.models.bulk.folder import Folder, filesystem_of, is_url, store_errors
from clpips.models.bulk.table import PairTable

NULL_LINE: Final = re.compile(rb"[\r\n][ \t]*null")
WRITTEN_BYTES: Final = 8 * 2**20  # of a row group that is written
COPY: Final = "table.parquet"
FORMATS: Final = {
    ".parquet": "parquet",
    ".pq": "parquet",
    ".csv": "csv",
    ".tsv": "tsv",
    ".jsonl": "json",
    ".ndjson": "json",
    ".json": "json",
}


def source_files(source: str) -> tuple[list[str], str]:
    """The files of a table by its path or URL, and their format: one file, or a folder of Parquet files.

    Raises `BulkError` where there is nothing, or a format that is not read.
    """
    if is_url(source):
        filesystem, path = filesystem_of(source)
        files = [source]
        with store_errors(source):
            if filesystem.isdir(path):
                prefix = source.rstrip("/")
                files = [f"{prefix}/{each.rpartition('/')[2]}" for each in sorted(filesystem.ls(path, detail=False))]
    else:
        local = Path(source)
        if not local.exists():
            raise BulkError(f"{source}: there is no such file")
        files = sorted(str(each) for each in local.iterdir()) if local.is_dir() else [source]
    if len(files) != 1 or files[0] != source:
        files = [each for each in files if FORMATS.get(Path(each).suffix.lower()) == "parquet"]
    found = FORMATS.get(Path(files[0]).suffix.lower()) if files else None
    if found is None:
        raise BulkError(f"{source} is no table that is read: name a file {', '.join(FORMATS)}, or a folder of .parquet")
    return files, found


def open_table(source: str, work: Folder, texts: Sequence[str]) -> PairTable:
    """The table at a path or URL, by a copy in `work` where it must be rewritten; the copy is made if it is not there.

    `texts` names the columns of a CSV that are read as text whatever they look like. Raises `BulkError`.
    """
    if COPY in work.names():
        return PairTable([work.path(COPY)])
    files, form = source_files(source)
    if form == "parquet":
        try:
            table = PairTable(files)
        except OSError as error:
            if error.errno is not None:
                raise
            said = " ".join(str(error).split())  # Arrow's own words, of no system
            raise BulkError(f"{source} is a damaged Parquet file: {said}") from error
        if table.fits:
            return table
        rewrite(table.schema, table.batches(table.schema.names, rows=256), work)
        table.close()
    else:
        batches = _parsed(files[0], form, texts)
        try:
            first = next(batches)
            rewrite(first.schema, _with_first(first, batches), work)
        except StopIteration:
            raise BulkError(f"{source} has no rows") from None
        except (pa.ArrowInvalid, pa.ArrowKeyError) as error:
            if str(error).startswith("Empty "):
                raise BulkError(f"{source} is empty: write at least one pair into it") from error
            raise BulkError(f"{source}: {error}; where a column's type changes on the way, write Parquet") from error
    return PairTable([work.path(COPY)])


def rewrite(schema: pa.Schema, batches: Iterator[pa.RecordBatch], work: Folder) -> None:
    """Write a table into the folder, in row groups of a bounded size, in memory that does not grow with it."""
    with work.writing(COPY) as sink:
        _write_groups(schema, batches, sink)


def _write_groups(schema: pa.Schema, batches: Iterator[pa.RecordBatch], sink: Any) -> None:
    with pq.ParquetWriter(sink, schema, compression="zstd") as writer:
        waiting: list[pa.RecordBatch] = []
        size = 0
        for batch in batches:
            waiting.append(batch)
            size += batch.nbytes
            if size >= WRITTEN_BYTES:
                writer.write_table(pa.Table.from_batches(waiting, schema))
                waiting, size = [], 0
        if waiting:
            writer.write_table(pa.Table.from_batches(waiting, schema))


def _with_first(first: pa.RecordBatch, others: Iterator[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    yield first
    yield from others


class _Lines(io.RawIOBase):
    """The bytes of a JSON Lines file, of which no line is `null`: a block that begins with one crashes Arrow."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._line = b"\n"  # what has been read of the last line, as far as it may still become `null`

    def readable(self) -> bool:
        return True

    def read(self, size: int | None = -1) -> bytes:
        content = self._file.read(-1 if size is None else size)
        seen = self._line + content
        if NULL_LINE.search(seen):
            raise BulkError("a line of the table is `null`: each must be an object with the names of two images")
        begin = max(seen.rfind(b"\n"), seen.rfind(b"\r"), 0)
        self._line = seen[begin:] if b"null".startswith(seen[begin:].strip()) else b""
        return content

    def close(self) -> None:
        self._file.close()
        super().close()


def _parsed(file: str, form: str, texts: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The batches of a CSV or JSON Lines file."""
    source: Any = filesystem_of(file)[0].open(file, "rb") if is_url(file) else file
    block = 2**22  # bytes: a line must fit
    if form == "json":
        lines = _Lines(Path(source).open("rb") if source is file else source)  # noqa: SIM115 - Arrow closes it
        reader = pa_json.open_json(lines, read_options=pa_json.ReadOptions(block_size=block, use_threads=False))
    else:
        convert = pa_csv.ConvertOptions(column_types=dict.fromkeys(texts, pa.string()))  # no text is null
        parse = pa_csv.ParseOptions(delimiter="\t" if form == "tsv" else ",", newlines_in_values=True)
        read = pa_csv.ReadOptions(block_size=block, use_threads=False)
        reader = pa_csv.open_csv(source, read_options=read, parse_options=parse, convert_options=convert)
    for batch in reader:
        if batch.num_rows:
            yield batch
