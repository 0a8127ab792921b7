"""A plan on a disk or in a store: flat arrays, of which a worker reads the few ranges that its shard needs."""

import json
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from clpips.models.bulk.folder import Folder
from clpips.models.bulk.planning import Shards

DONE: Final = "plan.json"  # written last
DIGEST: Final = 32  # bytes of an image's hash; zeros where it is not known
EMBED_IMAGES: Final = 64  # shared images that are embedded at a time


@dataclass(frozen=True)
class Place:
    """Where in the table an image stands: row, place among the row's pairs, and side (0 target, 1 candidate)."""

    row: int
    pair: int
    side: int


@dataclass(frozen=True)
class ShardPlan:
    """What a worker knows of its shard."""

    rows: NDArray[np.int64]  # (rows,) of the table, ascending
    targets: NDArray[np.int32]  # (pairs,) images' numbers
    candidates: NDArray[np.int32]  # (pairs,)
    digests: dict[int, str]  # of those images whose hash is known
    shared: frozenset[int]


class PlanFiles:
    """The files of a job's plan."""

    def __init__(self, folder: Folder) -> None:
        self._folder = folder
        self._about: dict[str, Any] = {}

    @property
    def about(self) -> dict[str, Any]:
        """How large it is: rows, pairs, images, shards, shared images. Raises `FileNotFoundError` without a plan."""
        if not self._about:
            self._about = json.loads(self._folder.read(DONE))
        return self._about

    @property
    def done(self) -> bool:
        return DONE in self._folder.names()

    def write(
        self,
        shards: Shards,
        row_of: NDArray[np.int64],
        targets: NDArray[np.int32],
        candidates: NDArray[np.int32],
        digests: NDArray[np.uint8],
        **about: Any,
    ) -> None:
        """Write a plan: `row_of`, `targets`, `candidates` of all pairs `(pairs,)`, `digests` of images `(n, 32)`."""
        first = np.searchsorted(row_of, np.arange(len(shards.rows) + 1))
        counts = np.diff(first)[shards.rows]  # (rows,) pairs, in the shards' order
        ends = np.cumsum(counts)
        order = np.repeat(first[:-1][shards.rows] - (ends - counts), counts) + np.arange(len(row_of))  # (pairs,)
        pair_ends = np.concatenate([[0], ends])[shards.row_ends]
        where = self._places(shards.shared, row_of, first, targets, candidates)
        arrays = {
            "rows": shards.rows,
            "row_ends": shards.row_ends,
            "pair_ends": pair_ends,
            "targets": targets[order],
            "candidates": candidates[order],
            "shared": where,
        }
        for name, array in arrays.items():
            kind = np.int32 if name in {"targets", "candidates"} else np.int64
            self._folder.write(f"{name}.bin", np.ascontiguousarray(array, kind).tobytes())
        for side in ("targets", "candidates"):
            self._folder.write(f"{side}_digests.bin", digests[arrays[side]].tobytes())
            self._folder.write(f"{side}_shared.bin", shards.shared[arrays[side]].tobytes())
        self._folder.write("shared_digests.bin", digests[where[:, 0]].tobytes())
        sizes = {"shards": len(shards), "rows": len(shards.rows), "pairs": len(row_of), "images": len(digests)}
        self._folder.write(DONE, json.dumps({**sizes, "shared": len(where), **about}).encode())

    def write_list(
        self, numbers: NDArray[np.int32], digests: NDArray[np.uint8], tiles: int, block: int, **about: Any
    ) -> None:
        """Write the plan of all pairs of a list: the image of each row `(rows,)`, all images' digests `(n, 32)`."""
        images, at = np.unique(numbers, return_index=True)
        order = np.argsort(at)
        where = np.zeros((len(images), 4), np.int64)
        where[:, 0], where[:, 1] = images[order], at[order]
        where = where if tiles > 1 else where[:0]
        self._folder.write("images.bin", np.ascontiguousarray(numbers, np.int32).tobytes())
        self._folder.write("images_digests.bin", digests[numbers].tobytes())
        self._folder.write("shared.bin", where.tobytes())
        self._folder.write("shared_digests.bin", digests[where[:, 0]].tobytes())
        rows = len(numbers)
        sizes = {"shards": tiles, "rows": rows, "pairs": rows * (rows - 1) // 2, "images": len(digests)}
        self._folder.write(DONE, json.dumps({**sizes, "shared": len(where), "block": block, **about}).encode())

    def images_of(self, rows: range) -> tuple[list[int], dict[int, str]]:
        """Of some rows of a list the images' numbers, and their hashes where these are known."""
        numbers = self._array("images", np.int32, rows.start, rows.stop)
        return numbers.tolist(), self._digests("images_digests", numbers, rows.start)

    def shard(self, number: int) -> ShardPlan:
        row_start, row_end = self._range("row_ends", number)
        start, end = self._range("pair_ends", number)
        digests: dict[int, str] = {}
        shared: set[int] = set()
        sides = []
        for name in ("targets", "candidates"):
            images = self._array(name, np.int32, start, end)
            digests |= self._digests(f"{name}_digests", images, start)
            shared.update(images[self._array(f"{name}_shared", np.bool_, start, end)].tolist())
            sides.append(images)
        rows = self._array("rows", np.int64, row_start, row_end)
        return ShardPlan(rows, sides[0], sides[1], digests, frozenset(shared))

    @property
    def embed_tasks(self) -> int:
        """Into how many tasks the embedding of shared images is divided."""
        return -(-int(self.about["shared"]) // EMBED_IMAGES)

    def embed_task(self, number: int) -> tuple[dict[int, Place], dict[int, str]]:
        """The shared images of a task, where each stands in the table, and their hashes where these are known."""
        start = number * EMBED_IMAGES
        end = min(start + EMBED_IMAGES, int(self.about["shared"]))
        rows = self._array("shared", np.int64, start * 4, end * 4).reshape(-1, 4)
        places = {int(image): Place(*map(int, place)) for image, *place in rows}
        return places, self._digests("shared_digests", rows[:, 0], start)

    def sizes(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows and pairs of every shard."""
        found = [
            np.diff(self._array(name, np.int64, 0, int(self.about["shards"])), prepend=0)
            for name in ("row_ends", "pair_ends")
        ]
        return found[0], found[1]

    @staticmethod
    def _places(
        shared: NDArray[np.bool_],
        row_of: NDArray[np.int64],
        first: NDArray[np.int64],
        targets: NDArray[np.int32],
        candidates: NDArray[np.int32],
    ) -> NDArray[np.int64]:
        """Of each shared image its number and the place where it is met first, in that order: `(shared, 4)`."""
        named = np.stack([targets, candidates], axis=1).ravel()
        images, at = np.unique(named, return_index=True)
        kept = shared[images]
        images, at = images[kept], at[kept]
        order = np.argsort(at)
        images, at = images[order], at[order]
        rows = row_of[at // 2]
        found: NDArray[np.int64] = np.stack([images, rows, at // 2 - first[rows], at % 2], axis=1)
        return found

    def _range(self, name: str, number: int) -> tuple[int, int]:
        if number == 0:
            return 0, int(self._array(name, np.int64, 0, 1)[0])
        start, end = self._array(name, np.int64, number - 1, number + 1)
        return int(start), int(end)

    def _digests(self, name: str, images: NDArray[Any], start: int) -> dict[int, str]:
        """The known hashes of these images, which stand in a file of digests from `start` on."""
        rows = self._array(name, np.uint8, start * DIGEST, (start + len(images)) * DIGEST).reshape(-1, DIGEST)
        known = rows.any(axis=1)
        return {int(image): row.tobytes().hex() for image, row in zip(images[known], rows[known], strict=True)}

    def _array(self, name: str, kind: type[np.generic], start: int, end: int) -> NDArray[Any]:
        size = np.dtype(kind).itemsize
        return np.frombuffer(self._folder.read(f"{name}.bin", start * size, (end - start) * size), kind)
