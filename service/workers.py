"""The threads in which the work is done: a pool that decodes images, and the one thread that owns the engine."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from models.backbone import TOTAL_CHANNELS
from models.engines import Engine
from models.images import load_image
from service.telemetry import Telemetry

T = TypeVar("T")
Pixels = NDArray[np.uint8]  # (h, w, 3)

MAX_BATCH: Final = 16  # images in a forward pass: larger ones are no faster on a CPU and cost more memory
WARM_UP_SIDE: Final = 256


class Decoder:
    """A pool of threads that turns the bytes of images into pixels."""

    def __init__(self, threads: int, telemetry: Telemetry) -> None:
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="decode")
        self._telemetry = telemetry

    async def decode(self, content: bytes, resolution: int | None, max_pixels: int) -> Pixels:
        """An image at its scoring resolution, uint8 RGB `(h, w, 3)`. Raises `ImageError`."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._pool, self._decode, content, resolution, max_pixels)

    def close(self) -> None:
        self._pool.shutdown(cancel_futures=True)

    def _decode(self, content: bytes, resolution: int | None, max_pixels: int) -> Pixels:
        with self._telemetry.stage("decode"):
            pixels = load_image(content, resolution, max_pixels)
        self._telemetry.images.labels("decoded").inc()
        return pixels


class EngineThread:
    """The one thread in which the engine runs; whoever wants it waits in line."""

    def __init__(self, engine: Engine, telemetry: Telemetry) -> None:
        self.engine = engine
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="engine")
        self._telemetry = telemetry

    async def embed(self, images: Sequence[Pixels]) -> list[Any]:
        """Features of each image; the images may be of different sizes."""
        return await self._run(self._embed, images)

    async def compare(self, targets: Sequence[Any], candidates: Sequence[Any]) -> NDArray[np.float32]:
        """Channel distances `(n, 1152)` of n pairs of features of equally large images."""
        return await self._run(self._compare, targets, candidates)

    async def warm_up(self) -> None:
        """Run one small batch through both halves, so that no request pays for what an engine does only once."""
        blank = np.zeros((WARM_UP_SIDE, WARM_UP_SIDE, 3), np.uint8)
        await self._run(self._warm_up, np.stack([blank, blank]))

    def close(self) -> None:
        """Let the work in hand finish; what waits is dropped."""
        self._thread.shutdown(cancel_futures=True)

    async def _run(self, work: Callable[..., T], *arguments: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    def _embed(self, images: Sequence[Pixels]) -> list[Any]:
        features: list[Any] = [None] * len(images)
        for places in grouped(image.shape for image in images).values():
            for start in range(0, len(places), MAX_BATCH):
                batch = places[start : start + MAX_BATCH]
                with self._telemetry.stage("embed", engine=True):
                    embedded = self.engine.embed(np.stack([images[place] for place in batch]))
                for place, one in zip(batch, embedded, strict=True):
                    features[place] = one
        return features

    def _compare(self, targets: Sequence[Any], candidates: Sequence[Any]) -> NDArray[np.float32]:
        with self._telemetry.stage("compare", engine=True):
            channel_distances = self.engine.compare(targets, candidates)
        if channel_distances.shape != (len(targets), TOTAL_CHANNELS):
            raise RuntimeError(f"the engine compared {len(targets)} pairs and returned {channel_distances.shape}")
        return channel_distances

    def _warm_up(self, images: Pixels) -> None:
        target, candidate = self.engine.embed(images)
        self.engine.compare([target], [candidate])


def grouped(keys: Iterable[Hashable]) -> dict[Hashable, list[int]]:
    """Where each key stands, in the order of first appearance."""
    places: defaultdict[Hashable, list[int]] = defaultdict(list)
    for place, key in enumerate(keys):
        places[key].append(place)
    return places
