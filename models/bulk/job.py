"""A job's folder: what was asked for, what it is asked for again, and what is there already.

DIR/part-000000.parquet …   the final table
DIR/_summary.json           what it came to
DIR/_work/                  the job, its plan, and what helps while it runs; readers of Parquet pass it over
"""

import hashlib
import json
import tempfile
from collections import Counter
from collections.abc import Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from clpips.models.bulk.errors import BulkError
from clpips.models.bulk.folder import Folder, filesystem_of, is_url, local_path, store_errors
from clpips.models.bulk.options import FETCH_SECONDS, Bounds, JobOptions, bounds_of, software, weights_identity
from clpips.models.bulk.parts import ERRORS_KEY, errors_of, metadata_of, part_name
from clpips.models.bulk.plan_files import PlanFiles
from clpips.models.bulk.sources import COPY, open_table, source_files
from clpips.models.bulk.table import PairTable
from clpips.models.bulk.tiles import tile_sizes
from clpips.models.metric.weights import LayerWeights
from clpips.models.metric.weights_files import format_weights, parse_weights

JOB: Final = "job.json"
WEIGHTS: Final = "weights.safetensors"
BACKBONE: Final = "backbone.safetensors"
SUMMARY: Final = "_summary.json"
WHOLE_BYTES: Final = 256 * 2**20  # a table up to this size is told by all of its bytes, a larger one by its ends


class Job:
    """The folder of a job, for whoever starts it and for those who work on it."""

    def __init__(self, place: str | Path, spill: str | None = None) -> None:
        """`spill` is a folder in which the features that several shards need get one of their own."""
        self.folder = Folder(place)
        self.work = self.folder.sub("_work")
        self.hashes = self.work.sub("hashes")
        self.plan = PlanFiles(self.work.sub("plan"))
        self._spill = spill
        self._about: dict[str, Any] = {}
        self._table: PairTable | None = None
        self._weights: LayerWeights | None = None

    @property
    def about(self) -> dict[str, Any]:
        """What the job was begun with. Raises `FileNotFoundError` where there is no job."""
        if not self._about:
            self._about = json.loads(self.work.read(JOB))
        return self._about

    @property
    def options(self) -> JobOptions:
        return JobOptions.of_json(self.about["options"])

    @property
    def engine(self) -> Mapping[str, str]:
        """What the engine of each worker must be."""
        engine: dict[str, str] = self.about["engine"]
        return engine

    @property
    def weights(self) -> LayerWeights:
        if self._weights is None:
            self._weights = parse_weights(self.work.read(WEIGHTS), self.work.path(WEIGHTS))
        return self._weights

    @property
    def bounds(self) -> Bounds:
        return bounds_of(self.options, self.weights)

    @property
    def root(self) -> str:
        """What relative names are relative to."""
        root: str = self.about["root"]
        return root

    @property
    def spill(self) -> Path:
        """The folder of features that several shards need, which holds nothing else and is deleted in the end.

        Where the job lies elsewhere, it is one of this machine's.
        """
        if self._spill is None and self.work.local is not None:
            return self.work.local / "spill"
        own = f"clpips-{hashlib.sha256(self.folder.place.encode()).hexdigest()[:16]}"
        return Path(self._spill or tempfile.gettempdir()).absolute() / own

    @property
    def table(self) -> PairTable:
        if self._table is None:
            columns = self.options.columns
            self._table = open_table(self.about["source"], self.work, (columns.target, columns.candidate))
        return self._table

    def backbone(self) -> Path | None:
        """Another backbone's file than the one that ships, here."""
        if not self.options.backbone:
            return None
        if self.work.local is not None:
            return self.work.local / BACKBONE
        path = Path(tempfile.mkdtemp(prefix="clpips-")) / BACKBONE
        path.write_bytes(self.work.read(BACKBONE))
        return path

    def require_own(self) -> None:
        """Raise `BulkError` for a folder that holds other files and no job."""
        others = self.folder.names() - {"_work"}
        if others and JOB not in self.work.names():
            raise BulkError(f"{self.folder.place} holds other files ({sorted(others)[0]}, …): name an empty folder")

    def begin(
        self,
        source: str,
        options: JobOptions,
        weights: LayerWeights,
        engine: Mapping[str, str],
        *,
        alone: bool = False,
    ) -> bool:
        """Begin the job in an empty folder, or go on with it; whether it goes on.

        Raises `BulkError` for a folder with other files, or a job of another table, weights, engine or options: with
        what differs. A job without a plan, such as one whose table was refused, has scored nothing: whoever is `alone`
        in the folder puts another in its place.
        """
        wanted = {
            "version": software(),
            "table": identity(source),
            "weights": {"name": weights.name, "sha256": weights_identity(weights)},
            "engine": dict(engine),
            "root": _absolute(options.root) if options.root else _parent(source),
            "options": _of_rows(options),
        }
        if JOB in self.work.names():
            found = list(differences({key: self.about.get(key) for key in wanted}, wanted))
            if not found:
                return True
            if self.plan.done or not alone:
                raise BulkError(
                    f"{self.folder.place} holds another job, and parts of two make no table: {'; '.join(found)}. "
                    "Ask for the same again, or name another --out"
                )
            self._forget()
        self.require_own()
        self.work.write(WEIGHTS, format_weights(weights))
        if options.backbone:
            self.work.write(BACKBONE, Path(options.backbone).read_bytes())
        known = {**wanted, "source": _absolute(source)}
        self.work.write(JOB, json.dumps(known, indent=1).encode())
        return False

    def _forget(self) -> None:
        """Delete what a job without a plan has left, and let go of it."""
        self.hashes.delete()
        self.work.sub("plan").delete()
        for name in (JOB, COPY):
            Path(self.work.path(name)).unlink(missing_ok=True)
        self._about, self._table, self._weights = {}, None, None

    def parts(self) -> set[int]:
        """The numbers of the parts that are there."""
        names = self.folder.names()
        return {
            int(name[5:-8]) for name in names if name.startswith("part-") and name == part_name(_number(name[5:-8]))
        }

    def bad_rows(self, number: int) -> int:
        """How many rows of a part that is there have an error. Raises `BulkError` for a part that cannot be read."""
        try:
            with self.folder.open(part_name(number)) as file:
                return int(metadata_of(file)[ERRORS_KEY])
        except (pa.ArrowInvalid, KeyError) as error:
            place = self.folder.path(part_name(number))
            raise BulkError(f"{place} is no part of this job, or damaged: delete it, and it is done again") from error

    def errors(self, number: int) -> Counter[str]:
        """How many pairs of a part that is there have which error."""
        return errors_of(BytesIO(self.folder.read(part_name(number))))

    def sizes(self) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows and pairs of every part."""
        if not self.options.matrix:
            return self.plan.sizes()
        pairs = tile_sizes(int(self.plan.about["rows"]), int(self.plan.about["block"]))
        return pairs, pairs

    def metadata(self) -> dict[str, str]:
        """What every part says of itself."""
        weights = self.about["weights"]
        return {
            "clpips.version": self.about["version"],
            "clpips.weights": weights["name"],
            "clpips.weights_sha256": weights["sha256"],
            "clpips.resolution": str(self.options.resolution or "native"),
            **{f"clpips.{name}": value for name, value in self.engine.items()},
        }


def identity(source: str) -> dict[str, Any]:
    """What tells a table from another: its files' names and sizes, and the hash of their bytes, or of their ends."""
    files, _ = source_files(source)
    found: dict[str, Any] = {}
    for file in files:
        filesystem, path = filesystem_of(file) if is_url(file) else (None, file)
        with store_errors(file):
            size = filesystem.size(path) if filesystem is not None else Path(file).stat().st_size
            with filesystem.open(path, "rb") if filesystem is not None else Path(file).open("rb") as stream:
                found[Path(path).name] = f"{size} bytes, sha256 {_digest(stream, size)}"
    return found


def _digest(stream: Any, size: int) -> str:
    digest = hashlib.sha256()
    if size <= WHOLE_BYTES:
        while block := stream.read(2**20):
            digest.update(block)
    else:
        digest.update(stream.read(WHOLE_BYTES // 16))
        stream.seek(-WHOLE_BYTES // 16, 2)
        digest.update(stream.read())
    return digest.hexdigest()


def differences(then: Any, now: Any, place: str = "") -> list[str]:
    """Where two values differ, in words.

    >>> differences({"weights": {"name": "lpips"}}, {"weights": {"name": "balanced"}})
    ["weights name was 'lpips', now it is 'balanced'"]
    """
    if isinstance(then, dict) and isinstance(now, dict):
        names = [*then, *(name for name in now if name not in then)]
        return [
            words for name in names for words in differences(then.get(name), now.get(name), f"{place} {name}".strip())
        ]
    return [] if then == now else [f"{place} was {then!r}, now it is {now!r}"]


def _of_rows(options: JobOptions) -> dict[str, Any]:
    """The options as they are kept: without what another file says better, as JSON has it."""
    known: dict[str, Any] = json.loads(json.dumps(options.as_json()))
    return {**known, "weights": "", "engine": "auto", "device": "auto", "root": "", "fetch_seconds": FETCH_SECONDS}


def _absolute(source: str) -> str:
    place = local_path(source)
    return place if is_url(place) else str(Path(place).absolute())


def _parent(source: str) -> str:
    """The folder of a table: its own where it is a folder of files."""
    if is_url(source):
        return source.rpartition("/")[0]
    path = Path(source).absolute()
    return str(path if path.is_dir() else path.parent)


def _number(text: str) -> int:
    return int(text) if text.isdecimal() else -1
