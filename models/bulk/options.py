"""What a job is asked for: everything that its distances and the rows of its parts depend on, as plain data."""

import hashlib
import math
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Final, Literal

from clpips import __version__
from clpips.models.bulk.errors import BulkError
from clpips.models.engines.contract import Convolution, DeviceName, EngineName, Precision
from clpips.models.images.pixels import MAX_PIXELS
from clpips.models.metric.backbone import DEFAULT_RESOLUTION, MIN_SIDE
from clpips.models.metric.nets import ALEX
from clpips.models.metric.weights import LayerWeights, WeightsError
from clpips.models.metric.weights_files import load_weights, shipped_weights

Dedupe = Literal["content", "name"]

SHARD_IMAGES: Final = 256  # of features with maps: 640 MiB at 256 × 256 pixels
STATISTICS_IMAGES: Final = 4096  # where statistics alone are kept
SHARD_PAIRS: Final = 4096
STATISTICS_PAIRS: Final = 16_384
FEATURE_BYTES: Final = 672 * 2**20  # of features in memory at a time
MAX_FILE_BYTES: Final = 128 * 2**20  # of an image file
FETCH_SECONDS: Final = 30.0  # that an image may take to come
MAX_SIDE: Final = math.isqrt(MAX_PIXELS)  # pixels
NATIVE_SIDE: Final = 1024  # pixels: what an image at native size is taken for when a shard is planned


@dataclass(frozen=True)
class Columns:
    """The table's columns that hold images; of a list of images for all pairs there is `target` alone."""

    target: str = "target"
    candidate: str = "candidate"


@dataclass(frozen=True)
class JobOptions:
    """All that the distances of a job, and which row stands in which part, depend on, beside the table."""

    weights: str = "lpips"  # a shipped name or a file
    resolution: int | None = DEFAULT_RESOLUTION
    columns: Columns = field(default_factory=Columns)
    root: str = ""  # what relative names are relative to; empty: the table's folder
    matrix: bool = False
    dedupe: Dedupe = "content"
    shard_images: int = 0  # 0: by what is kept of an image
    shard_pairs: int = 0
    drop: tuple[str, ...] = ()  # columns that the output leaves out
    engine: EngineName = "auto"
    device: DeviceName = "auto"
    precision: Precision = "exact"
    convolution: Convolution = "winograd"  # where the engine is ONNX Runtime's on a CPU
    backbone: str = ""
    max_pixels: int = MAX_PIXELS
    max_file_bytes: int = MAX_FILE_BYTES
    fetch_seconds: float = FETCH_SECONDS

    def load_weights(self) -> LayerWeights:
        """Raises `WeightsError` where there are none, or they are another backbone's than AlexNet's."""
        weights = load_weights(self.weights)
        if weights.layout.net != ALEX:
            raise WeightsError(
                f"bulk scoring knows AlexNet alone, and the weights {weights.name!r} belong to "
                f"{weights.layout.net.title}: take {', '.join(shipped_weights())}, or a file of weights for AlexNet"
            )
        return weights

    def as_json(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def of_json(cls, known: dict[str, Any]) -> "JobOptions":
        """The reverse of `as_json`."""
        names = {each.name for each in fields(cls)}
        given = {name: value for name, value in known.items() if name in names}
        return cls(**{**given, "columns": Columns(**given["columns"]), "drop": tuple(given["drop"])})


@dataclass(frozen=True)
class Bounds:
    """How large a shard gets, and how much of its features lies in memory."""

    images: int
    pairs: int
    feature_bytes: int


def statistics_alone(weights: LayerWeights) -> bool:
    """Whether the weights compare statistics of images alone, and no position with another."""
    return "aligned" not in weights.families


def bounds_of(options: JobOptions, weights: LayerWeights) -> Bounds:
    """The bounds of a job's shards. Raises `BulkError` for a resolution, or bounds, in which no pair has room."""
    images, pairs, side = options.shard_images, options.shard_pairs, options.resolution
    if side is not None and not MIN_SIDE <= side <= MAX_SIDE:
        raise BulkError(f"a resolution is {MIN_SIDE} to {MAX_SIDE} pixels a side, not {side}")
    if not images and statistics_alone(weights):
        images = STATISTICS_IMAGES
    elif not images:
        images = max(8, SHARD_IMAGES * 256**2 // (side or NATIVE_SIDE) ** 2)
        images = min(images, SHARD_IMAGES)
    pairs = pairs or (STATISTICS_PAIRS if statistics_alone(weights) else SHARD_PAIRS)
    if images < 2 or pairs < 1:
        raise BulkError(f"a shard needs room for two images and a pair, not {images} and {pairs}")
    return Bounds(images, pairs, FEATURE_BYTES)


def weights_identity(weights: LayerWeights) -> str:
    """What tells weights apart: the hash of their values."""
    return hashlib.sha256(weights.values.tobytes()).hexdigest()


def software() -> str:
    """The version that a job's figures belong to."""
    return __version__


def existing(path: str | Path) -> str:
    """A local path as text, absolute. Raises `BulkError` where there is nothing."""
    found = Path(path).absolute()
    if not found.exists():
        raise BulkError(f"{path}: there is no such file")
    return str(found)
