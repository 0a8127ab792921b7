"""All references of a table, each once, and the pairs as numbers of them: columns of text become integers.

What is held in memory is each distinct reference once and eight bytes a pair, whatever else the table has.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from clpips.models.bulk.cells import references
from clpips.models.bulk.options import Columns
from clpips.models.bulk.table import PairTable, is_list, lengths, plain


@dataclass(frozen=True)
class References:
    """The distinct references of a table, and its pairs by their numbers."""

    names: pa.Array  # large_string (n,), in the order in which they were met
    rows: int  # of the table
    row_of: NDArray[np.int64]  # (pairs,), ascending; a row with an empty list has none
    targets: NDArray[np.int32]  # (pairs,)
    candidates: NDArray[np.int32]  # (pairs,)


def read_references(table: PairTable, columns: Columns) -> References:
    """The references of a table of pairs."""
    names = _Names()
    rows, targets, candidates = [], [], []
    start = 0
    for batch in table.batches([columns.target, columns.candidate]):
        own = names.numbers(batch.column(columns.target))
        column = plain(batch.column(columns.candidate))
        each = np.arange(start, start + len(own))
        if is_list(column.type):
            counts = lengths(column)
            own, each = np.repeat(own, counts), np.repeat(each, counts)
            column = column.flatten()
        rows.append(each)
        targets.append(own)
        candidates.append(names.numbers(column))
        start += batch.num_rows
    return References(names.array(), start, _joined(rows, np.int64), _joined(targets), _joined(candidates))


def read_list(table: PairTable, column: str) -> tuple[pa.Array, NDArray[np.int32]]:
    """The distinct references of one column, and the number of each row's."""
    names = _Names()
    numbers = [names.numbers(batch.column(column)) for batch in table.batches([column])]
    return names.array(), _joined(numbers)


class _Names:
    """Numbers for references, in the order in which they come."""

    def __init__(self) -> None:
        self._known: dict[str, int] = {}

    def numbers(self, values: pa.Array) -> NDArray[np.int32]:
        known = self._known
        found = references(values)
        return np.fromiter((known.setdefault(name, len(known)) for name in found), np.int32, len(found))

    def array(self) -> pa.Array:
        return pa.array(self._known, pa.large_string())


def _joined(parts: list[NDArray[Any]], kind: type[np.generic] = np.int32) -> NDArray[Any]:
    return np.concatenate(parts) if parts else np.zeros(0, kind)


def chunks_of(count: int, size: int) -> Iterator[range]:
    """Ranges of at most `size` numbers, up to `count`."""
    for start in range(0, count, size):
        yield range(start, min(start + size, count))
