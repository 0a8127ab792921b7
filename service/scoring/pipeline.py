"""Staged pipeline with a queue before each stage: bytes → features, a pair of features → channel distances.

    bytes → held? on its way? → decode (threads, processes) → embed (engine threads) → pair → compare (engine thread)

Decoding the next images overlaps the engine's work on these. Each stage serves the waiting keys and their requests in
turn. Light files are decoded in threads, all others in processes, which have a line of their own. Where the engine's
device decodes JPEGs, a thread of their own hands them to it; those that it refuses go to the processes.
"""

import asyncio
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np
import structlog
from numpy.typing import NDArray

from clpips.models.engines.contract import DevicePixels, Image
from clpips.models.images.errors import ImageError
from clpips.models.images.formats import JPEG
from clpips.models.images.pixels import Pixels
from clpips.models.metric.families import Families
from clpips.service.admission.door import Ticket
from clpips.service.admission.throughput import Throughput, cost_of
from clpips.service.batching.batch import BatchReport
from clpips.service.batching.batcher import Batcher
from clpips.service.batching.errors import ExpiredError
from clpips.service.batching.feature_cache import FeatureCache, Flight, Loan
from clpips.service.batching.turns import Place
from clpips.service.decoding.processes import AbandonedError
from clpips.service.ops.telemetry import Telemetry
from clpips.service.scoring.decoder import Decoder
from clpips.service.scoring.engine_threads import EngineThreads
from clpips.service.scoring.errors import NotHeldError, UnscorableImageError
from clpips.service.scoring.quarantine import Quarantine
from clpips.service.scoring.verdicts import EngineRefusedImage
from clpips.service.wire.schemas import HeldImage, SentImage

log = structlog.get_logger()

AHEAD: Final = 1  # batches that stand ready in the executor, so that no thread of the engine waits for the event loop
COMPARE_BATCH: Final = 64  # pairs of the usual size; each costs the engine a small part of an image
HEAVY_COST: Final = 32.0  # of an image, in units, from which on one such image is embedded at a time: 1450² pixels
LENT_SHARE: Final = 7 / 8  # of the features that can be kept
LEAST_LENT_BYTES: Final = 448 * 2**20
BYTES_PER_PIXEL: Final = 42.0  # of features, in float32, before any have been seen
YIELD_SECONDS: Final = 0.002  # the longest pause between two batches of images in which a request may ask to compare


class Embedded(NamedTuple):
    """An embedded image: its features, opaque, and the size at which it was scored."""

    features: Any
    size: tuple[int, int]  # height and width in pixels

    @property
    def nbytes(self) -> int:
        nbytes: int = self.features.nbytes
        return nbytes


Borrowed = Loan[Embedded]  # what a request has borrowed of the features


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
        quarantine: Quarantine | None = None,
    ) -> None:
        self._engine = engine
        self._throughput = throughput
        self._max_batch = max_batch
        self._max_pixels = max_pixels
        self._cache_bytes = cache_bytes
        self._quarantine = quarantine or Quarantine()
        self.bytes_per_pixel = BYTES_PER_PIXEL  # of features, as the engine's last ones had it
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
            observe=lambda report: _count_decoded(report, telemetry),
            watched=partial(engine.running.work, "decode"),
            place=_place,
        )
        # Not watched: what hangs there is ended by itself.
        self._decoding_apart: Batcher[_Undecoded, Pixels] = Batcher(
            lambda images: [decoder.load(*one) for one in images],
            decoder.apart,
            max_batch=1,
            max_queue=max_queue,
            parallel=decoder.waiters,
            observe=lambda report: _count_decoded(report, telemetry),
            place=_place,
        )
        self._jpegs: Batcher[_Undecoded, DevicePixels | None] | None = None
        if (jpegs := decoder.jpegs) is not None:
            self._jpegs = Batcher(
                lambda images: jpegs.decode([one.content for one in images], images[0].resolution, max_pixels),
                decoder.jpeg_thread,
                max_batch=max_batch,
                max_queue=max_queue,
                observe=telemetry.decoded_jpegs,
                watched=partial(engine.running.work, "jpeg"),
                place=_place,
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
            watched=partial(engine.running.work, "embed"),
            judge=lambda _, errors, some_worked: engine.judge_images(errors, some_worked=some_worked),
            place=_place,
            max_cost=max_batch,
            heavy_cost=HEAVY_COST,
        )
        self._comparing: Batcher[_Pair, NDArray[np.float32]] = Batcher(
            lambda pairs: [*engine.compare([p.target for p in pairs], [p.candidate for p in pairs], pairs[0].families)],
            engine.comparing,
            max_batch=COMPARE_BATCH,
            max_queue=max_queue,
            observe=engine.compared,
            watched=partial(engine.running.work, "compare"),
            judge=lambda pairs, errors, some_worked: engine.judge_pairs(
                [(pair.target, pair.candidate) for pair in pairs], errors, some_worked=some_worked
            ),
            place=_place,
            max_cost=COMPARE_BATCH,
        )
        for stage, queue in self._stages().items():
            telemetry.queue_items.labels(stage).set_function(queue.__len__)
            telemetry.batch_running_seconds.labels(stage).set_function(partial(engine.running.oldest, stage))
        telemetry.feature_cache_bytes.set_function(lambda: self._cache.nbytes)
        telemetry.quarantined.set_function(self._quarantine.__len__)

    async def warm_up(self, lent_bytes: int | None = None) -> int:
        """Let the engine prepare itself, and learn its pace, and how many bytes of features it can keep.

        Returns the bytes of features that requests may have borrowed at a time: `lent_bytes`, or where that is None
        most of what can be kept. What is kept and what is lent takes no more together than the larger of both.
        """
        kept, seconds = await self._engine.prepare(self._max_batch, self._cache_bytes, self._forget_half)
        self._throughput.seed(seconds)
        if lent_bytes is None:
            lent_bytes = max(int(kept * LENT_SHARE), LEAST_LENT_BYTES)
        self._cache.max_bytes, self._cache.most_bytes = kept, max(kept, lent_bytes)
        return lent_bytes

    def _forget_half(self) -> None:
        self._cache.shrink(self._cache.nbytes // 2)

    @contextmanager
    def borrow(self, tenant: str, ticket: Ticket) -> Iterator[Borrowed]:
        """The features that a tenant's request has borrowed, until the context ends."""
        with self._cache.loan(ticket, ticket.deadline, tenant) as loan:
            yield loan

    def knows_from(self, tenant: str, sha256: str, resolution: int | None) -> bool:
        """Whether the image's features are held or on their way, and this tenant has sent it: it may name the image."""
        return self._cache.known_to(tenant, (sha256, resolution))

    def knows(self, sha256: str, resolution: int | None, loan: Borrowed) -> bool:
        """Whether the image's features are held or on their way. Such an image costs no work, and need not be sent.

        What is held is lent to the request, and stays.
        """
        return self._cache.reserve(loan, (sha256, resolution))

    def give_back(self, sha256: str, resolution: int | None, loan: Borrowed) -> None:
        """The request does not need the features of this image any more."""
        self._cache.give_back(loan, (sha256, resolution))

    def blame(self, sha256: str, resolution: int | None, reason: BaseException | None) -> UnscorableImageError:
        """Keep out an image at which a sound engine failed, and forget its features."""
        self._quarantine.add((sha256, resolution))
        self._cache.forget((sha256, resolution))
        log.error("image quarantined", sha256=sha256, resolution=resolution, reason=repr(reason))
        return UnscorableImageError()

    async def embed(self, image: SentImage | HeldImage, resolution: int | None, loan: Borrowed) -> Embedded:
        """The image's features, lent to a request.

        Raises `ImageError`, `NotHeldError`, an error of the engine, or a `BatcherError`.
        """
        key = (image.sha256, resolution)
        if key in self._quarantine:
            raise UnscorableImageError

        async def make(flight: Flight[Embedded]) -> Embedded:
            if not isinstance(image, SentImage):
                raise NotHeldError(image.sha256)
            clock = asyncio.get_running_loop().time
            undecoded = _Undecoded(
                image.content, resolution, self._max_pixels, lambda: flight.waiting > 0 and clock() < flight.deadline
            )
            with self._throughput.image() as came_through:
                pixels = await self._decoded(undecoded, flight)
                height, width, _ = pixels.shape
                cost = came_through.cost = cost_of(height * width)
                try:
                    features = await _in_time(self._embedding, pixels, flight, (height, width), cost)
                except EngineRefusedImage as refused:
                    raise self.blame(image.sha256, resolution, refused.__cause__) from refused
            self.bytes_per_pixel = features.nbytes / (height * width)
            return Embedded(features, (height, width))

        return await self._cache.fetch(loan, key, make)

    async def size(self, image: SentImage, max_pixels: int, ticket: Ticket) -> tuple[int, int]:
        """Width and height of an image, from its head alone. Raises `ImageError`, or what `Decoder.size` raises."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._decoder.apart, self._decoder.size, image.content, max_pixels, lambda: loop.time() < ticket.deadline
        )

    async def compare(
        self, target: Embedded, candidate: Embedded, families: Families, ticket: Ticket
    ) -> NDArray[np.float32]:
        """Channel distances `(z,)` of two images of one size; families that are not asked for are 0.

        Raises `EngineRefusedPair`, another error of the engine, or a `BatcherError`.
        """
        pair = _Pair(target.features, candidate.features, families)
        height, width = target.size
        return await self._comparing.submit(
            pair,
            turn=ticket,
            deadline=ticket.deadline,
            shape=(target.size, families),
            cost=cost_of(height * width),
        )

    async def close(self) -> None:
        """Let what runs end; fail what waits."""
        for queue in self._stages().values():
            await queue.close()

    async def _decoded(self, image: _Undecoded, flight: Flight[Embedded]) -> Image:
        """The image's pixels, from the device where it decodes this file, else from a thread or a process."""
        pixels: Image | None = None
        if self._jpegs is not None and image.content.startswith(JPEG):
            pixels = await _in_time(self._jpegs, image, flight, shape=image.resolution)
        if pixels is None and self._decoder.may_be_light(image.content):
            pixels = await _in_time(self._decoding, image, flight)
        if pixels is None:
            pixels = await _in_time(self._decoding_apart, image, flight)
        return pixels

    def _stages(self) -> dict[str, Batcher[Any, Any]]:
        jpegs = {} if self._jpegs is None else {"jpeg": self._jpegs}
        decoding: dict[str, Batcher[Any, Any]] = {"decode": self._decoding, "decode_apart": self._decoding_apart}
        return {**jpegs, **decoding, "embed": self._embedding, "compare": self._comparing}


def _count_decoded(report: BatchReport, telemetry: Telemetry) -> None:
    telemetry.decoded(report)
    errors = [error for error in report.errors if not isinstance(error, AbandonedError)]
    inputs = sum(isinstance(error, ImageError) for error in errors)
    telemetry.failed("decode", inputs=inputs, service=len(errors) - inputs)


def _place(turn: Hashable) -> Place:
    return turn.place if isinstance(turn, Ticket) else Place()


async def _in_time(
    queue: Batcher[Any, Any], item: Any, flight: Flight[Embedded], shape: Hashable = None, cost: float = 1.0
) -> Any:
    """The item's result, for as long as somebody waits for it: others with later deadlines may have joined."""
    while True:
        try:
            return await queue.submit(item, turn=flight.claims, deadline=flight.deadline, shape=shape, cost=cost)
        except ExpiredError:
            if flight.deadline <= asyncio.get_running_loop().time():
                raise
