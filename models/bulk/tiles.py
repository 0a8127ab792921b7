"""Loop tiling of all pairs of a list: a shard is a tile of two blocks of rows, and knows its place by its number.

Nothing is planned pair by pair: of n images there are n (n − 1) / 2 pairs.
"""

from typing import Final

import numpy as np
from numpy.typing import NDArray

from clpips.models.bulk.options import Bounds

MOST_ROWS: Final = 256  # of a block: a tile has 65,536 pairs at most


def block_rows(bounds: Bounds) -> int:
    """Rows of a block: two of them make a shard."""
    return max(1, min(bounds.images // 2, MOST_ROWS))


def tile_count(rows: int, block: int) -> int:
    """How many tiles all pairs of so many rows have.

    >>> tile_count(5, 2)
    6
    """
    blocks = -(-rows // block)
    return blocks * (blocks + 1) // 2


def tile(number: int, rows: int, block: int) -> tuple[range, range]:
    """The two blocks of rows of a tile; tiles are numbered along the rows of blocks.

    >>> [tile(number, 3, 2) for number in range(3)]
    [(range(0, 2), range(0, 2)), (range(0, 2), range(2, 3)), (range(2, 3), range(2, 3))]
    """
    blocks = -(-rows // block)
    top = 0
    while number >= blocks - top:
        number -= blocks - top
        top += 1
    starts = top * block, (top + number) * block
    return range(starts[0], min(starts[0] + block, rows)), range(starts[1], min(starts[1] + block, rows))


def tile_pairs(own: range, others: range) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """The places of a tile's pairs in its two blocks, row by row: each pair of two rows once, no row with itself."""
    i, j = np.meshgrid(np.arange(len(own)), np.arange(len(others)), indexing="ij")
    kept = (i + own.start) < (j + others.start)
    return i[kept], j[kept]


def tile_sizes(rows: int, block: int) -> NDArray[np.int64]:
    """The pairs of each tile.

    >>> tile_sizes(3, 2)
    array([1, 2, 0])
    """
    sizes = np.minimum(np.arange(0, rows, block) + block, rows) - np.arange(0, rows, block)  # (blocks,)
    pairs = np.outer(sizes, sizes)
    np.fill_diagonal(pairs, sizes * (sizes - 1) // 2)
    return pairs[np.triu_indices(len(sizes))]
