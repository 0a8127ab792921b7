"""Least-recently-used cache of image features: each image of a data set is embedded once, as far as memory allows."""

from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from clpips.models.engines.contract import Engine
from clpips.models.engines.several import ImageFeatures, embed_images, nbytes_of
from clpips.models.images.decoding import load_image
from clpips.models.images.errors import ImageError
from clpips.models.images.pixels import Pixels


@dataclass(frozen=True)
class EmbeddedImage:
    """One image's features by every network, as its engine made them, and its height and width in pixels."""

    size: tuple[int, int]
    features: ImageFeatures


class ImageEmbedder:
    """Features of image files, kept by the hash of their bytes.

    `hashes` names the sha256 of every path that will be asked for. `batch` images go into one run of the engine. Beyond
    `max_bytes` the features that were not asked for the longest are given up, and computed again where needed.
    """

    def __init__(
        self, engine: Engine, hashes: Mapping[str, str], resolution: int | None, batch: int, max_bytes: int
    ) -> None:
        self._engine = engine
        self._hashes = hashes
        self._resolution = resolution
        self._batch = batch
        self._max_bytes = max_bytes
        self._kept: OrderedDict[str, EmbeddedImage] = OrderedDict()
        self._broken: set[str] = set()

    def get(self, path: str) -> EmbeddedImage | None:
        """The image, if the last `load` was asked for it and could read it."""
        return self._kept.get(self._hashes[path])

    def load(self, paths: Sequence[str]) -> list[str]:
        """Have the features of all these images; returns what is wrong with those that have none."""
        needed = {self._hashes[path]: path for path in paths}
        for digest in needed:
            if digest in self._kept:
                self._kept.move_to_end(digest)
        new = {
            digest: path for digest, path in needed.items() if digest not in self._kept and digest not in self._broken
        }
        by_size, problems = self._read(new)
        for (height, width), images in by_size.items():
            for start in range(0, len(images), self._batch):
                digests, arrays = zip(*images[start : start + self._batch], strict=True)
                embedded = embed_images(self._engine, np.stack(arrays))  # from (n, h, w, 3)
                for digest, features in zip(digests, embedded, strict=True):
                    self._kept[digest] = EmbeddedImage((height, width), features)
        self._evict(needed)
        return problems

    def _read(self, paths: Mapping[str, str]) -> tuple[dict[tuple[int, int], list[tuple[str, Pixels]]], list[str]]:
        """Hashes and pixels by height and width, because one run takes equally large images; and what is wrong."""
        by_size: dict[tuple[int, int], list[tuple[str, Pixels]]] = {}
        problems = []
        with ThreadPoolExecutor() as pool:
            decoded = pool.map(lambda path: load_pixels(path, self._resolution), paths.values())
            for (digest, path), pixels in zip(paths.items(), decoded, strict=True):
                if isinstance(pixels, str):
                    self._broken.add(digest)
                    problems.append(f"{path}: {pixels}")
                else:
                    by_size.setdefault((pixels.shape[0], pixels.shape[1]), []).append((digest, pixels))
        return by_size, problems

    def _evict(self, needed: Collection[str]) -> None:
        held = sum(nbytes_of(image.features) for image in self._kept.values())
        for digest in list(self._kept):
            if held <= self._max_bytes:
                break
            if digest not in needed:
                held -= nbytes_of(self._kept.pop(digest).features)


def load_pixels(path: str, resolution: int | None) -> Pixels | str:
    """The image file at the scoring resolution, uint8 `(h, w, 3)`, or what is wrong with it."""
    try:
        return load_image(Path(path).read_bytes(), resolution)
    except ImageError as error:
        return str(error)
    except OSError as error:
        return str(error.strerror)
