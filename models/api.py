"""The metric as a Python API (a facade): for programs that need no service.

>>> import numpy as np
>>> from clpips.models import Metric
>>> black, grey, white = (np.full((64, 64, 3), level, np.uint8) for level in (0, 99, 255))
>>> with Metric.load("lpips", resolution=None) as metric:
...     [row.index for row in metric.rank(black, [white, grey])]
[1, 0]
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
from numpy.typing import NDArray

from clpips.models.engines.contract import DeviceName, Engine, EngineName
from clpips.models.engines.opening import open_engine
from clpips.models.engines.several import ImageFeatures, all_distances, compare_images, embed_images
from clpips.models.images.errors import PixelTypeError, TooSmallError
from clpips.models.images.masks import require_mask_size
from clpips.models.images.pixels import Pixels
from clpips.models.images.resize import require_native_size, resize
from clpips.models.metric.backbone import DEFAULT_RESOLUTION
from clpips.models.metric.distance import distance_by_family, weigh
from clpips.models.metric.families import ALEXNET, FAMILIES, Networks
from clpips.models.metric.masks import Mask, MaskError, region
from clpips.models.metric.spatial import Upsampling, heat_map
from clpips.models.metric.weights import LayerWeights
from clpips.models.metric.weights_files import load_weights


@dataclass(frozen=True, eq=False)
class Embedding:
    """What the networks say of one image: stands wherever an image may, and saves the forward pass.

    So it does for every metric with the same kind of engine and the same backbone whose weights use no further network.
    """

    features: ImageFeatures
    size: tuple[int, int]  # height and width at which it is scored
    picture: tuple[int, int]  # height and width as it came: a mask has these
    made_by: tuple[str, str]  # the engine's name, and the backbone's fingerprint


Picture = NDArray[np.uint8] | Embedding  # uint8 RGB (h, w, 3), or what `Metric.embed` made of it


@dataclass(frozen=True)
class Distance:
    """The distance of a pair, ≥ 0, and what each family of channels adds to it."""

    value: float
    families: Mapping[str, float]


@dataclass(frozen=True)
class Ranked:
    """A candidate in its place."""

    rank: int  # 1 is the most similar
    index: int  # where it stood among the candidates
    distance: float


@dataclass(frozen=True, eq=False)
class HeatMap:
    """Where a pair differs."""

    values: NDArray[np.float32]  # (h, w), ≥ 0, at the scored size
    distance: Distance
    unplaced: float  # the share of the distance that has no place and is not in the map


class Metric:
    """Weights, and the engine that computes what they weigh. One thread at a time may use it."""

    def __init__(self, weights: LayerWeights, engine: Engine, resolution: int | None = DEFAULT_RESOLUTION) -> None:
        """Images are resized to a square of `resolution` pixels a side; None scores them at native size.

        The engine is closed with the metric. Raises `WeightsError` where it has another backbone than the weights.
        """
        weights.require_backbone(engine.fingerprint, engine.net.name)
        self.weights = weights
        self.engine = engine
        self.resolution = resolution

    @classmethod
    def load(
        cls,
        weights: str | Path = "lpips",
        *,
        resolution: int | None = DEFAULT_RESOLUTION,
        engine: EngineName = "auto",
        device: DeviceName = "auto",
        backbone: str | Path | None = None,
    ) -> Self:
        """The metric by shipped weights or a weights file. Raises `WeightsError`, `BackboneError` or `EngineError`."""
        opened = open_engine(engine, device, backbone=None if backbone is None else Path(backbone))
        return cls(load_weights(weights, opened.net.name), opened, resolution)

    def embed(self, images: Sequence[NDArray[np.uint8]]) -> list[Embedding]:
        """What the networks that count say of each image, uint8 RGB `(h, w, 3)` of any sizes.

        Raises an `ImageError` for another type or shape, or an image that is too small.
        """
        embedded = []
        for image in images:
            pixels = self._scored(image)
            (features,) = embed_images(self.engine, pixels[np.newaxis], self._networks)
            size, picture = ((one.shape[0], one.shape[1]) for one in (pixels, image))
            embedded.append(Embedding(features, size, picture, self._maker))
        return embedded

    def distance(self, target: Picture, candidate: Picture, mask: NDArray[np.uint8] | None = None) -> Distance:
        """The distance of one pair, within a mask as `rank` has it. Raises as `rank` does."""
        return self._distances(target, [candidate], mask)[0]

    def rank(
        self, target: Picture, candidates: Sequence[Picture], mask: NDArray[np.uint8] | None = None
    ) -> list[Ranked]:
        """The candidates, the most similar first; equal distances keep their order.

        `mask`, uint8 `(h, w)`, says what of the target's picture counts, 255 fully, 0 not at all. Raises an
        `ImageError` as `embed` does, `MaskError` for a mask that is none or has another size than the target's picture,
        and `ValueError` for images of a pair that are scored at two sizes, and embeddings that this metric cannot use.
        """
        values = [one.value for one in self._distances(target, candidates, mask)]
        order = sorted(range(len(values)), key=values.__getitem__)
        return [Ranked(rank, index, values[index]) for rank, index in enumerate(order, start=1)]

    def heatmap(
        self,
        target: Picture,
        candidate: Picture,
        upsample: Upsampling = "nearest",
        mask: NDArray[np.uint8] | None = None,
    ) -> HeatMap:
        """Where a pair differs; `upsample` as `heat_map` has it. Raises as `rank` and `heat_map` do."""
        a, b = self._embedded(target), self._embedded(candidate)
        distance = self.distance(a, b, mask)
        weights, within = self.weights.aligned, _within(mask, a)
        maps = self.engine.locate(a.features[ALEXNET], b.features[ALEXNET], weights, within)
        height, width = a.size
        unplaced = 1 - distance.families["aligned"] / distance.value if distance.value else 0.0
        return HeatMap(heat_map(maps, height, width, upsample), distance, unplaced)

    def matrix(self, images: Sequence[Picture]) -> NDArray[np.float32]:
        """The distances of all images from each other, float32 `(n, n)`. Raises as `rank` does."""
        embedded = [self._embedded(image) for image in images]
        for one in embedded:
            _require_equal_sizes(embedded[0], one)
        return all_distances(
            self.engine, [one.features for one in embedded], self.weights.values, self.weights.families
        )

    def close(self) -> None:
        """Give the engine's memory back."""
        self.engine.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _distances(
        self, target: Picture, candidates: Sequence[Picture], mask: NDArray[np.uint8] | None
    ) -> list[Distance]:
        own, others = self._embedded(target), [self._embedded(candidate) for candidate in candidates]
        for other in others:
            _require_equal_sizes(own, other)
        within = _within(mask, own)
        z = compare_images(
            self.engine, [own.features] * len(others), [one.features for one in others], self.weights.families, within
        )  # (n, z)
        values = weigh(z, self.weights.values)  # (n,)
        parts = distance_by_family(z, self.weights.values)  # (n, families)
        names = [family.name for family in FAMILIES]
        return [
            Distance(float(value), dict(zip(names, row.tolist(), strict=True)))
            for value, row in zip(values, parts, strict=True)
        ]

    @property
    def _networks(self) -> Networks:
        """Those that an image is embedded by."""
        return self.weights.networks | {ALEXNET}

    @property
    def _maker(self) -> tuple[str, str]:
        return self.engine.name, self.engine.fingerprint

    def _embedded(self, image: Picture) -> Embedding:
        if not isinstance(image, Embedding):
            return self.embed([image])[0]
        if image.made_by != self._maker:
            raise ValueError(
                "the embedding was made by a metric with another engine or backbone: embed the image with this one"
            )
        if missing := sorted(self._networks - image.features.keys()):
            raise ValueError(
                f"the weights {self.weights.name!r} use {', '.join(missing)}, which this embedding was made without: "
                "let this metric embed the image"
            )
        return image

    def _scored(self, image: object) -> Pixels:
        """The pixels that are scored. Raises an `ImageError`."""
        if not isinstance(image, np.ndarray) or image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise PixelTypeError(f"an image must be an array of uint8 (h, w, 3) in RGB, this is {_described(image)}")
        if not image.size:
            raise TooSmallError(f"the image is {image.shape[1]}×{image.shape[0]} pixels: it has none")
        if self.resolution is not None:
            return resize(np.ascontiguousarray(image), self.resolution)
        require_native_size(image)
        return image


def _within(mask: NDArray[np.uint8] | None, target: Embedding) -> Mask | None:
    """What counts of a target. Raises `MaskError` for what is no mask of its picture."""
    if mask is None:
        return None
    if not isinstance(mask, np.ndarray):
        raise MaskError(f"a mask must be an array of uint8 (h, w), this is {_described(mask)}")
    within = region(mask)
    require_mask_size(mask.shape, target.picture)
    return within


def _described(value: object) -> str:
    return f"{value.dtype} {value.shape}" if isinstance(value, np.ndarray) else f"a {type(value).__name__}"


def _require_equal_sizes(target: Embedding, candidate: Embedding) -> None:
    if target.size != candidate.size:
        sizes = " and ".join(f"{height}×{width}" for height, width in (target.size, candidate.size))
        raise ValueError(f"both images of a pair must be scored at one size, these are {sizes}: name a resolution")
