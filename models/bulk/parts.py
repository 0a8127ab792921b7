"""Parts of the final table: the columns of the input and those of the distances, as one Parquet file a shard.

Nothing in a part depends on when, where or how often it was written.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from clpips.models.bulk.comparing import LAYERS, Sums
from clpips.models.bulk.errors import BulkError
from clpips.models.metric.families import FAMILIES

ADDED: Final = ("row", "distance", "layers", "families", "target_sha256", "candidate_sha256", "error")
ERRORS_KEY: Final = b"clpips.errors"
GROUP_ROWS: Final = 65_536

_LAYERS: Final = pa.list_(pa.float32(), LAYERS)
_FAMILIES: Final = pa.struct([(family.name, pa.float32()) for family in FAMILIES])


@dataclass
class Results:
    """What came of the pairs of some rows: a row a pair; where there is an error, the numbers mean nothing."""

    sums: Sums  # (pairs, 11)
    targets: list[str | None]  # sha256
    candidates: list[str | None]
    errors: list[str | None]
    rows: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))  # (pairs,), where rows have lists


def part_name(number: int) -> str:
    """
    >>> part_name(3)
    'part-000003.parquet'
    """
    return f"part-{number:06}.parquet"


def require_free_names(schema: pa.Schema, dropped: Sequence[str]) -> None:
    """Raise `BulkError` where the table has columns called like those that are added, or lacks some to drop."""
    if missing := [name for name in dropped if name not in schema.names]:
        raise BulkError(f"there is no column {', '.join(missing)} to drop; the table has {', '.join(schema.names)}")
    if taken := [name for name in ADDED if name in schema.names and name not in dropped]:
        raise BulkError(
            f"the table has a column {', '.join(taken)} already, and the output adds one: rename it, or leave it out "
            f"with --drop {taken[0]}"
        )


def with_results(table: pa.Table, numbers: NDArray[np.int64], results: Results, *, listed: bool) -> pa.Table:
    """The rows of a table with what came of them; `numbers` are their places in the input, `(n,)`."""
    columns = results_columns(results)
    if listed:
        offsets = np.searchsorted(results.rows, np.arange(table.num_rows + 1)).astype(np.int32)
        columns = {
            name: values if name == "target_sha256" else pa.ListArray.from_arrays(pa.array(offsets), values)
            for name, values in columns.items()
        }
        empty = offsets[:-1] == offsets[1:]
        first = pa.array(np.where(empty, 0, offsets[:-1]), mask=empty)
        columns["target_sha256"] = columns["target_sha256"].take(first)
    table = table.append_column(pa.field("row", pa.int64()), pa.array(numbers, pa.int64()))
    for name, values in columns.items():
        table = table.append_column(name, values)
    return table


def results_columns(results: Results) -> dict[str, pa.Array]:
    """What came of n pairs, as columns by their names."""
    wrong = np.array([error is not None for error in results.errors], np.bool_)
    values = results.sums.values
    flat = pa.array(np.ascontiguousarray(results.sums.layers).ravel(), pa.float32())
    layers = pa.FixedSizeListArray.from_arrays(flat, type=_LAYERS, mask=pa.array(wrong))
    families = pa.StructArray.from_arrays(
        [pa.array(np.ascontiguousarray(part)) for part in results.sums.families.T],
        fields=list(_FAMILIES),
        mask=pa.array(wrong),
    )
    return {
        "distance": pa.array(np.ascontiguousarray(values[:, 0]), pa.float32(), mask=wrong),
        "layers": layers,
        "families": families,
        "target_sha256": pa.array(results.targets, pa.string()),
        "candidate_sha256": pa.array(results.candidates, pa.string()),
        "error": pa.array(results.errors, pa.string()),
    }


def part_bytes(table: pa.Table, about: dict[str, str], errors: int) -> bytes:
    """A part as the bytes of a Parquet file, with what it is of in the metadata."""
    # The input's own metadata (pandas', Hugging Face's) describes its columns alone, and misleads who reads these.
    metadata = {key.encode(): value.encode() for key, value in about.items()}
    sink = pa.BufferOutputStream()
    pq.write_table(
        table.replace_schema_metadata({**metadata, ERRORS_KEY: str(errors).encode()}),
        sink,
        compression="zstd",
        row_group_size=GROUP_ROWS,
    )
    content: bytes = sink.getvalue().to_pybytes()
    return content


def rows_with_errors(errors: pa.ChunkedArray) -> NDArray[np.bool_]:
    """Which rows have an error, `(n,)`, by the column `error`: of texts, or of lists of them."""
    return np.array([any(one) if isinstance(one, list) else one is not None for one in errors.to_pylist()], np.bool_)


def errors_of(file: Any) -> Counter[str]:
    """How many pairs of a part have which error."""
    column = pq.read_table(file, columns=["error"]).column("error").to_pylist()
    cells = (one if isinstance(one, list) else [one] for one in column)
    return Counter(error for cell in cells for error in cell if error is not None)


def metadata_of(file: Any) -> dict[bytes, bytes]:
    """The metadata of a Parquet file's table."""
    return pq.read_schema(file).metadata or {}
