"""All pairs of a list of images: the part of one tile of them (`tiles.py`)."""

import numpy as np
import pyarrow as pa

from clpips.models.bulk.cells import BYTES, Cell, cells, numbered
from clpips.models.bulk.comparing import SUMS, Sums
from clpips.models.bulk.parts import Results, results_columns
from clpips.models.bulk.plan_files import PlanFiles
from clpips.models.bulk.shard import ShardScorer, source_of
from clpips.models.bulk.table import PairTable
from clpips.models.bulk.tiles import tile, tile_pairs


def score_tile(
    number: int, table: PairTable, column: str, plan: PlanFiles, scorer: ShardScorer, *, careful: bool, again: bool
) -> tuple[pa.Table, list[str | None]]:
    """The rows of a tile's part, and what is wrong with each of its pairs.

    `again` is for a tile that is tried again: its images are what they are now, and not what was planned.
    """
    rows = int(plan.about["rows"])
    sides = tile(number, rows, int(plan.about["block"]))
    shared = int(plan.about["shared"]) > 0 and not again
    blocks = [cells(table.take(np.arange(side.start, side.stop), [column]).column(0)) for side in sides]
    anew = numbered(blocks, int(plan.about["images"]))
    sources, names = [], []
    for side, found, renumbered in zip(sides, blocks, anew, strict=True):
        images, digests = (renumbered.tolist(), {}) if again else plan.images_of(side)
        everyone = frozenset(images) if shared else frozenset[int]()
        pairs = zip(images, found, strict=True)
        sources.append([source_of(image, cell, digests, everyone) for image, cell in pairs])
        names.append([_name(cell) for cell in found])
    sums, images_found = scorer.block(sources[0], sources[1], careful=careful)
    i, j = tile_pairs(*sides)
    ends = [
        (sources[0][first].number, sources[1][second].number)
        for first, second in zip(i.tolist(), j.tolist(), strict=True)
    ]
    results = Results(
        Sums(sums[i, j].reshape(-1, SUMS)),
        [images_found.digest(target) for target, _ in ends],
        [images_found.digest(candidate) for _, candidate in ends],
        [images_found.said(target, candidate) for target, candidate in ends],
    )
    first, second = i + sides[0].start, j + sides[1].start
    place = first * rows - first * (first + 1) // 2 + second - first - 1  # among all pairs, row by row
    columns = {
        "target": pa.array([names[0][one] for one in i.tolist()], pa.string()),
        "candidate": pa.array([names[1][one] for one in j.tolist()], pa.string()),
        "target_row": pa.array(first, pa.int64()),
        "candidate_row": pa.array(second, pa.int64()),
        "row": pa.array(place, pa.int64()),
        **results_columns(results),
    }
    return pa.table(columns), results.errors


def _name(cell: Cell) -> str | None:
    return None if cell.reference.startswith(BYTES) else cell.reference
