"""Cells that hold images: names (paths, URLs), bytes, or both as a struct; alone or in lists. Each is one reference.

A reference is text that stands for an image: a name as it is written, or `\\0sha256:…` for bytes in the table.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from clpips.models.bulk.errors import BulkError
from clpips.models.bulk.options import Columns
from clpips.models.bulk.table import holds_images, is_list, lengths, plain

BYTES: Final = "\0sha256:"  # a reference to bytes, with their hash behind it
TEXT: Final = "\0text:"  # before a name that has a zero byte in it, so that no name is taken for a reference to bytes
EMPTY: Final = ""  # a cell without an image


@dataclass(frozen=True, slots=True)
class Cell:
    """An image as a cell has it: its reference, and its bytes where they are in the table."""

    reference: str
    content: bytes | None = None


def require_columns(schema: pa.Schema, columns: Columns, *, matrix: bool) -> None:
    """Raise `BulkError` unless a table has the columns, and they can hold images."""
    for name in (columns.target,) if matrix else (columns.target, columns.candidate):
        if name not in schema.names:
            raise BulkError(
                f"the table has no column {name!r}, it has {', '.join(schema.names)}: "
                "name them with --columns target=…,candidate=…"
            )
        kind = schema.field(name).type
        if is_list(kind) and name == columns.candidate and not matrix:
            kind = kind.value_type
        if not holds_images(kind):
            raise BulkError(f"the column {name!r} is {kind}: images are text, bytes, or structs of bytes and path")


def references(values: pa.Array) -> list[str]:
    """The reference of every cell of an array that is no list."""
    values = plain(values)
    if pa.types.is_null(values.type):
        return [EMPTY] * len(values)
    if pa.types.is_struct(values.type):
        of_bytes, names = references(values.field("bytes")), references(values.field("path"))
        return [one or other for one, other in zip(of_bytes, names, strict=True)]
    if pa.types.is_string(values.type) or pa.types.is_large_string(values.type):
        try:
            names = values.to_pylist()
        except UnicodeDecodeError as error:
            raise BulkError(f"a column of images has text that is not UTF-8: {error}") from error
        return [TEXT + name if name and "\0" in name else name or EMPTY for name in names]
    return [_of_bytes(value.as_buffer()) if value.is_valid else EMPTY for value in values]


def cells(values: pa.Array) -> list[Cell]:
    """Every cell of an array that is no list, with its bytes."""
    values = plain(values)
    if pa.types.is_struct(values.type):
        of_bytes, names = cells(values.field("bytes")), cells(values.field("path"))
        return [one if one.reference else other for one, other in zip(of_bytes, names, strict=True)]
    found = references(values)
    if not (pa.types.is_binary(values.type) or pa.types.is_large_binary(values.type)):
        return [Cell(reference) for reference in found]
    return [Cell(reference, value.as_py()) for reference, value in zip(found, values, strict=True)]


def _of_bytes(content: Any) -> str:
    return BYTES + hashlib.sha256(content).hexdigest() if len(content) else EMPTY


@dataclass(frozen=True)
class PairCells:
    """The pairs of some rows: which row each is of, and its two images."""

    rows: NDArray[np.int64]  # (pairs,), places among the rows that were given
    targets: list[Cell]
    candidates: list[Cell]
    listed: bool  # whether a row has a list of candidates, and lists of results


def pair_cells(table: pa.Table, columns: Columns) -> PairCells:
    """The pairs of a table's rows, in order."""
    targets = cells(table.column(columns.target))
    column = plain(table.column(columns.candidate))
    if not is_list(column.type):
        return PairCells(np.arange(len(targets)), targets, cells(column), listed=False)
    rows = np.repeat(np.arange(len(targets)), lengths(column))
    return PairCells(rows, [targets[row] for row in rows], cells(column.flatten()), listed=True)


def numbered(sides: Sequence[Sequence[Cell]], start: int = 0) -> list[NDArray[np.int32]]:
    """A number for each image, from `start`, by its reference alone: of each side `(n,)`."""
    known: dict[str, int] = {}
    return [
        np.array([known.setdefault(cell.reference, start + len(known)) for cell in side], np.int32) for side in sides
    ]
