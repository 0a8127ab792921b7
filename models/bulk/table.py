"""The table of pairs as rows at random, in Parquet files, which are read in row groups."""

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from clpips.models.bulk.errors import BulkError
from clpips.models.bulk.folder import filesystem_of, is_url

GROUP_BYTES: Final = 64 * 2**20  # of a row group, uncompressed: of those that are read where they lie
DECODED_BYTES: Final = 256 * 2**20  # of such a row group in memory: Parquet keeps cells that are alike once, Arrow each
SAMPLED_GROUPS: Final = 8  # whose first rows tell how large rows are in memory
SAMPLED_ROWS: Final = 16
KEPT_BYTES: Final = 96 * 2**20  # of row groups in memory
BATCH_ROWS: Final = 16_384
BATCH_BYTES: Final = 64 * 2**20  # of rows that are read at a time


@dataclass(frozen=True)
class Group:
    """A row group: in which file, which of its groups, and the table's rows that it holds."""

    file: str
    number: int
    start: int
    rows: int


class PairTable:
    """Rows of one or several Parquet files, one after the other."""

    def __init__(self, files: Sequence[str]) -> None:
        """Raises `BulkError` for files that are no Parquet files, or of different columns."""
        self._open: dict[str, pq.ParquetFile] = {}
        self._kept: OrderedDict[int, pa.Table] = OrderedDict()
        self.files = list(files)
        self.groups: list[Group] = []
        self.largest_group = 0  # bytes, uncompressed
        self.nbytes = 0  # of all rows in memory, about
        self.rows = 0
        schemas = []
        for file in files:
            metadata = self._file(file).metadata
            schemas.append(_storable(self._file(file).schema_arrow.remove_metadata()))
            if not schemas[0].equals(schemas[-1]):
                raise BulkError(f"{file} has other columns than {files[0]}: {schemas[-1].names}, {schemas[0].names}")
            for number in range(metadata.num_row_groups):
                group = metadata.row_group(number)
                if group.num_rows:
                    self.groups.append(Group(file, number, self.rows, group.num_rows))
                    self.rows += group.num_rows
                    self.nbytes += group.total_byte_size
                    self.largest_group = max(self.largest_group, group.total_byte_size)
        self.schema: pa.Schema = schemas[0]
        require_distinct(self.schema)
        self._starts = np.array([group.start for group in self.groups], np.int64)
        self._row_nbytes = self._sampled_row_nbytes()
        self.nbytes = max(self.nbytes, self._row_nbytes * self.rows)

    @property
    def fits(self) -> bool:
        """Whether each of its row groups is small enough to be held."""
        rows = max((group.rows for group in self.groups), default=0)
        return self.largest_group <= GROUP_BYTES and self._row_nbytes * rows <= DECODED_BYTES

    def batches(self, columns: Sequence[str], rows: int = BATCH_ROWS) -> Iterator[pa.RecordBatch]:
        """The columns of all rows, in order, so many at a time; fewer where rows are large."""
        rows = max(1, min(rows, BATCH_BYTES * self.rows // max(self.nbytes, 1)))
        schema = pa.schema([self.schema.field(name) for name in dict.fromkeys(columns)])
        for file in self.files:
            for batch in self._file(file).iter_batches(batch_size=rows, columns=schema.names):
                yield pa.record_batch(_columns_as(schema, batch), schema)

    def take(self, rows: NDArray[np.int64], columns: Sequence[str] | None = None) -> pa.Table:
        """These rows, ascending, of all columns or of some."""
        names = self.schema.names if columns is None else list(columns)
        if not len(rows):
            return self.schema.empty_table().select(names)
        of = np.searchsorted(self._starts, rows, side="right") - 1  # (n,) the group of each
        parts = [
            self._group(int(number)).select(names).take(pa.array(rows[of == number] - self.groups[number].start))
            for number in np.unique(of)
        ]
        return pa.concat_tables(parts).combine_chunks()

    def _sampled_row_nbytes(self) -> int:
        """Bytes of a row in memory, by the first rows of some row groups: of the group whose rows are the largest."""
        chosen = self.groups[:: max(1, -(-len(self.groups) // SAMPLED_GROUPS))]
        most = 0
        for group in chosen:
            batches = self._file(group.file).iter_batches(batch_size=SAMPLED_ROWS, row_groups=[group.number])
            first = next(batches)
            most = max(most, -(-first.nbytes // first.num_rows))
        return most

    def close(self) -> None:
        for file in self._open.values():
            file.close()
        self._open.clear()
        self._kept.clear()

    def _file(self, name: str) -> pq.ParquetFile:
        if name not in self._open:
            try:
                source = filesystem_of(name)[0].open(name, "rb") if is_url(name) else name
                self._open[name] = pq.ParquetFile(source, memory_map=not is_url(name))
            except pa.ArrowInvalid as error:
                raise BulkError(f"{name} is no Parquet file: {error}") from error
        return self._open[name]

    def _group(self, number: int) -> pa.Table:
        """A row group, kept as long as there is room."""
        if number in self._kept:
            self._kept.move_to_end(number)
            return self._kept[number]
        group = self.groups[number]
        found = self._file(group.file).read_row_group(group.number, use_threads=False)
        table = pa.table(_columns_as(self.schema, found), self.schema)
        self._kept[number] = table
        while len(self._kept) > 1 and sum(each.nbytes for each in self._kept.values()) > KEPT_BYTES:
            self._kept.popitem(last=False)
        return table


def require_distinct(schema: pa.Schema) -> None:
    """Raise `BulkError` for columns of the same name."""
    if twice := sorted({name for name in schema.names if schema.names.count(name) > 1}):
        raise BulkError(f"the table has several columns called {', '.join(twice)}: rename all but one")


def _columns_as(schema: pa.Schema, rows: pa.Table | pa.RecordBatch) -> list[Any]:
    """The columns of a schema, of the types that it says."""
    columns = [rows.column(name) for name in schema.names]
    kinds = zip(columns, schema.types, strict=True)
    return [column if column.type == kind else column.cast(kind) for column, kind in kinds]


def _storable(schema: pa.Schema) -> pa.Schema:
    return pa.schema([field.with_type(_storable_type(field.type)) for field in schema])


def _storable_type(kind: pa.DataType) -> pa.DataType:
    """A type of the same cells of which rows can be taken: views cannot."""
    if pa.types.is_string_view(kind):
        return pa.large_string()
    if pa.types.is_binary_view(kind):
        return pa.large_binary()
    if pa.types.is_struct(kind):
        return pa.struct([field.with_type(_storable_type(field.type)) for field in kind])
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_storable_type(kind.value_type)))
    if pa.types.is_large_list(kind):
        return pa.large_list(kind.value_field.with_type(_storable_type(kind.value_type)))
    return kind


def is_list(kind: pa.DataType) -> bool:
    """Whether a column's cells are lists."""
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def holds_images(kind: pa.DataType) -> bool:
    """Whether cells of this type can name or hold an image: text, bytes, or a struct with `bytes` or `path`."""
    if pa.types.is_dictionary(kind):
        kind = kind.value_type
    if pa.types.is_struct(kind):
        return {kind.field(place).name for place in range(kind.num_fields)} >= {"bytes", "path"}
    return bool(
        pa.types.is_string(kind)
        or pa.types.is_large_string(kind)
        or pa.types.is_binary(kind)
        or pa.types.is_large_binary(kind)
        or pa.types.is_string_view(kind)
        or pa.types.is_binary_view(kind)
        or pa.types.is_null(kind)
    )


def plain(values: pa.Array) -> pa.Array:
    """The same cells without a dictionary and not as a view, in one array."""
    if isinstance(values, pa.ChunkedArray):
        values = values.combine_chunks()
    if pa.types.is_dictionary(values.type):
        values = values.cast(values.type.value_type)
    return values if (kind := _storable_type(values.type)) == values.type else values.cast(kind)


def lengths(lists: pa.Array) -> NDArray[np.int64]:
    """How many items each list has, 0 where it is null: `(n,)`."""
    counted: NDArray[np.int64] = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    return counted.astype(np.int64)
