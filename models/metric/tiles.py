"""Loop tiling: all pairs of a set of images, a few images with a few others at a time."""

from collections.abc import Iterator, Sequence
from typing import Final, TypeVar

T = TypeVar("T")

TILE: Final = 8  # images a side: 64 pairs are compared at a time, and other requests' pairs come in between


def tile_rows(items: Sequence[T], size: int = TILE) -> Iterator[list[tuple[Sequence[T], Sequence[T]]]]:
    """Tiles that have every pair of items at least once, each item with itself too; a row at a time.

    >>> [[(*a, *b) for a, b in row] for row in tile_rows("xyz", size=1)]
    [[('x', 'x'), ('x', 'y'), ('x', 'z')], [('y', 'y'), ('y', 'z')], [('z', 'z')]]
    """
    parts = [items[start : start + size] for start in range(0, len(items), size)]
    for number, part in enumerate(parts):
        yield [(part, other) for other in parts[number:]]
