"""Staged pipeline with a queue before each stage: bytes → features, a pair of features → channel distances.

    bytes → held? on its way? → decode (threads, processes) → embed (engine threads) → pair → compare (engine thread)

Decoding the next images overlaps the engine's work on these. Each stage serves the waiting requests in turn. Light
files are decoded in threads, all others in processes, which have a line of their own. Where the engine's device decodes
JPEGs, a thread of their own hands them to it; those that it refuses go to the processes.
"""

import asyncio
from collections.abc import Callable, Hashable
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clpips.models.engines.contract import DevicePixels, Image
from clpips.models.images.formats import JPEG
from clpips.models.images.pixels import Pixels
from clpips.models.metric.families import Families
from clpips.service.admission.door import Ticket
from clpips.service.admission.throughput import Throughput
from clpips.service.batching.batcher import Batcher
from clpips.service.batching.errors import ExpiredError
from clpips.service.batching.feature_cache import FeatureCache, Flight
from clpips.service.ops.telemetry import Telemetry
from clpips.service.scoring.decoder import Decoder
from clpips.service.scoring.engine_threads import EngineThreads
from clpips.service.wire.schemas import HeldImage, SentImage

AHEAD: Final = 1  # batches that stand ready in the executor, so that no thread of the engine waits for the event loop
COMPARE_BATCH: Final = 64  # pairs; each costs the engine a small part of an image
YIELD_SECONDS: Final = 0.002  # the longest pause between two batches of images in which a request may ask to compare


class Embedded(NamedTuple):
    """An embedded image: its features, opaque, and the size at which it was scored."""

    features: Any
    size: tuple[int, int]  # height and width in pixels

    @property
    def nbytes(self) -> int:
        nbytes: int = self.features.nbytes
        return nbytes


class _Undecoded(NamedTuple):
    content: bytes
    resolution: int | None
    max_pixels: int
    wanted: Callable[[], bool]  # whether somebody still waits for it


class _Pair(NamedTuple):
    target: Any  # features
    candidate: Any
    families: Families  # the same throughout a batch


class Pipeline:
    """Embeds images, each once for all who need it, and compares them in pairs."""

    def __init__(
        self,
        decoder: Decoder,
        engine: EngineThreads,
        throughput: Throughput,
        telemetry: Telemetry,
        *,
        max_batch: int,
        max_delay: float,
        max_queue: int,
        max_pixels: int,
        cache_bytes: int | None,
        yield_seconds: float = YIELD_SECONDS,
    ) -> None:
        self._engine = engine
        self._throughput = throughput
        self._max_batch = max_batch
        self._max_pixels = max_pixels
        self._cache_bytes = cache_bytes
        self._cache: FeatureCache[Embedded] = FeatureCache(
            cache_bytes or 0, lambda source: telemetry.images.labels(source).inc()
        )
        self._decoder = decoder
        self._decoding: Batcher[_Undecoded, Pixels | None] = Batcher(
            lambda images: [decoder.load_light(*one[:3]) for one in images],
            decoder.pool,
            max_batch=1,
            max_queue=max_queue,
            parallel=decoder.threads,
            observe=telemetry.decoded,
        )
        self._decoding_apart: Batcher[_Undecoded, Pixels] = Batcher(
            lambda images: [decoder.load(*one) for one in images],
            decoder.apart,
            max_batch=1,
            max_queue=max_queue,
            parallel=decoder.waiters,
            observe=telemetry.decoded,
        )
        self._jpegs: Batcher[_Undecoded, DevicePixels | None] | None = None
        if (jpegs := decoder.jpegs) is not None:
            self._jpegs = Batcher(
                lambda images: jpegs.decode([one.content for one in images], images[0].resolution, max_pixels),
                decoder.jpeg_thread,
                max_batch=max_batch,
                max_queue=max_queue,
                observe=telemetry.decoded_jpegs,
            )
        self._embedding: Batcher[Image, Any] = Batcher(
            lambda images: engine.embed(images, more=throughput.in_work > len(images)),
            engine.embedding,
            max_batch=max_batch,
            max_queue=max_queue,
            max_delay=max_delay,
            parallel=engine.parallel + AHEAD if engine.parallel > 1 else 1,
            # One thread embeds and compares: a request whose features are all there is compared before the next batch.
            yield_seconds=yield_seconds if engine.parallel == 1 else 0.0,
            observe=engine.embedded,
        )
        self._comparing: Batcher[_Pair, NDArray[np.float32]] = Batcher(
            lambda pairs: [*engine.compare([p.target for p in pairs], [p.candidate for p in pairs], pairs[0].families)],
            engine.comparing,
            max_batch=COMPARE_BATCH,
            max_queue=max_queue,
            observe=engine.compared,
        )
        for stage, queue in self._stages().items():
            telemetry.queue_items.labels(stage).set_function(queue.__len__)
        telemetry.feature_cache_bytes.set_function(lambda: self._cache.nbytes)

    async def warm_up(self) -> None:
        """Let the engine prepare itself, and learn how many bytes of features it can keep."""
        self._cache.max_bytes = await self._engine.prepare(self._max_batch, self._cache_bytes, self._forget_half)

    def _forget_half(self) -> None:
        self._cache.shrink(self._cache.nbytes // 2)

    def knows(self, sha256: str, resolution: int | None) -> bool:
        """Whether the image's features are held or on their way. Such an image costs no work, and need not be sent."""
        return (sha256, resolution) in self._cache

    async def embed(self, image: SentImage | HeldImage, resolution: int | None, ticket: Ticket) -> Embedded:
        """The image's features, for a request. The features of a `HeldImage` must be held or on their way.

        Raises `ImageError`, an error of the engine, or a `BatcherError`.
        """

        async def make(flight: Flight[Embedded]) -> Embedded:
            assert isinstance(image, SentImage)  # noqa: S101 - what is known is not made
            clock = asyncio.get_running_loop().time
            undecoded = _Undecoded(
                image.content, resolution, self._max_pixels, lambda: flight.waiting > 0 and clock() < flight.deadline
            )
            with self._throughput.image():
                pixels = await self._decoded(undecoded, ticket, flight)
                height, width, _ = pixels.shape
                features = await _in_time(self._embedding, pixels, ticket, flight, shape=(height, width))
            return Embedded(features, (height, width))

        return await self._cache.fetch((image.sha256, resolution), make, ticket.deadline)

    async def size(self, image: SentImage, max_pixels: int, ticket: Ticket) -> tuple[int, int]:
        """Width and height of an image, from its head alone. Raises `ImageError`."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._decoder.apart, self._decoder.size, image.content, max_pixels, lambda: loop.time() < ticket.deadline
        )

    async def compare(
        self, target: Embedded, candidate: Embedded, families: Families, ticket: Ticket
    ) -> NDArray[np.float32]:
        """Channel distances `(3456,)` of two images of one size; families that are not asked for are 0.

        Raises an error of the engine, or a `BatcherError`.
        """
        pair = _Pair(target.features, candidate.features, families)
        shape = (target.size, families)
        return await self._comparing.submit(pair, turn=ticket, deadline=ticket.deadline, shape=shape)

    async def close(self) -> None:
        """Let what runs end; fail what waits."""
        for queue in self._stages().values():
            await queue.close()

    async def _decoded(self, image: _Undecoded, ticket: Ticket, flight: Flight[Embedded]) -> Image:
        """The image's pixels, from the device where it decodes this file, else from a thread or a process."""
        pixels: Image | None = None
        if self._jpegs is not None and image.content.startswith(JPEG):
            pixels = await _in_time(self._jpegs, image, ticket, flight, shape=image.resolution)
        if pixels is None and self._decoder.may_be_light(image.content):
            pixels = await _in_time(self._decoding, image, ticket, flight)
        if pixels is None:
            pixels = await _in_time(self._decoding_apart, image, ticket, flight)
        return pixels

    def _stages(self) -> dict[str, Batcher[Any, Any]]:
        jpegs = {} if self._jpegs is None else {"jpeg": self._jpegs}
        decoding: dict[str, Batcher[Any, Any]] = {"decode": self._decoding, "decode_apart": self._decoding_apart}
        return {**jpegs, **decoding, "embed": self._embedding, "compare": self._comparing}


async def _in_time(
    queue: Batcher[Any, Any], item: Any, turn: Ticket, flight: Flight[Embedded], shape: Hashable = None
) -> Any:
    """The item's result, for as long as somebody waits for it: others with later deadlines may have joined."""
    while True:
        try:
            return await queue.submit(item, turn=turn, deadline=flight.deadline, shape=shape)
        except ExpiredError:
            if flight.deadline <= asyncio.get_running_loop().time():
                raise
