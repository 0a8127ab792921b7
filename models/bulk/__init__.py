"""Bulk scoring: a table of pairs of images → a table of distances, on this machine or on a Ray cluster.

It needs the extra `bulk` (pyarrow, fsspec), and `ray` for a cluster. The ways in are `score` and `Scorer` for programs,
`clpips score` for the command line; each is loaded when it is asked for.

    table ─plan→ shards of bounded size ─workers→ parts of one Parquet table, each written whole or not at all

The plan (`planning.py`) puts pairs that share images into one shard, so that an image is embedded once; where so many
pairs hang together that no shard could hold them, the shared images' features lie on a disk (`feature_store.py`).
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from clpips.models.bulk.api import Scorer, score

__all__ = ["Scorer", "score"]


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from clpips.models.bulk import api

    return getattr(api, name)
