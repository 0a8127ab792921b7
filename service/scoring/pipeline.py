"""Staged pipeline with a queue before each stage: bytes → features, a pair of features → channel distances.

    bytes → held? on its way? → decode (thread pool) → embed (engine threads) → pair → compare (engine thread)

Decoding the next images overlaps the engine's work on these. Each stage serves the waiting requests in turn. Where the
engine's device decodes JPEGs, a thread of their own hands them to it; those that it refuses go to the thread pool.

Each network has a line of its own, and features are held by network: a batch is of images that need this network, and
an image that another one has seen is not embedded by it again. The pixels of an image stay beside its features until
all networks have seen it.
"""

import asyncio
from collections.abc import Awaitable, Hashable, Iterable, Mapping, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clpips.models.engines.contract import DevicePixels, Image
from clpips.models.images.decoding import load_image
from clpips.models.images.formats import JPEG
from clpips.models.images.pixels import Pixels
from clpips.models.metric.families import ALEXNET, FAMILIES_OF, NETWORKS, Families, Networks, networks_of
from clpips.service.admission.door import Ticket
from clpips.service.admission.throughput import Throughput
from clpips.service.batching.batcher import Batcher
from clpips.service.batching.errors import ExpiredError
from clpips.service.batching.feature_cache import FeatureCache, Flight
from clpips.service.ops.telemetry import Telemetry, embed_stage
from clpips.service.scoring.decoder import Decoder
from clpips.service.scoring.engine_threads import EngineThreads
from clpips.service.wire.schemas import HeldImage, SentImage

AHEAD: Final = 1  # batches that stand ready in the executor, so that no thread of the engine waits for the event loop
COMPARE_BATCH: Final = 64  # pairs; each costs the engine a small part of an image
PIXELS: Final = "pixels"  # in a key of the cache, in place of a network
YIELD_SECONDS: Final = 0.002  # the longest pause between two batches of images in which a request may ask to compare


class Embedded(NamedTuple):
    """An embedded image: its features by network, opaque, and the size at which it was scored."""

    features: Mapping[str, Any]
    size: tuple[int, int]  # height and width in pixels


class _Part(NamedTuple):
    """What is held of an image under one key: its features by one network, or its pixels; and its size."""

    content: Any
    size: tuple[int, int]

    @property
    def nbytes(self) -> int:
        nbytes: int = self.content.nbytes
        return nbytes


class NotHeldError(Exception):
    """An image was named by its hash, and neither its features nor its pixels are at hand any more."""


class _Undecoded(NamedTuple):
    content: bytes
    resolution: int | None
    max_pixels: int


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
        networks: Networks,
        yield_seconds: float = YIELD_SECONDS,
    ) -> None:
        """`networks` are those that may be asked for."""
        self._engine = engine
        self._networks = networks
        self._throughput = throughput
        self._max_batch = max_batch
        self._max_pixels = max_pixels
        self._cache_bytes = cache_bytes
        self._cache: FeatureCache[_Part] = FeatureCache(
            cache_bytes or 0, lambda source: telemetry.images.labels(source).inc()
        )
        self._decoding: Batcher[_Undecoded, Pixels] = Batcher(
            _decode,
            decoder.pool,
            max_batch=1,
            max_queue=max_queue,
            parallel=decoder.threads,
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
        self._embedding: dict[str, Batcher[Image, Any]] = {
            network: Batcher(
                partial(self._embed_batch, network),
                engine.embedding,
                max_batch=max_batch,
                max_queue=max_queue,
                max_delay=max_delay,
                parallel=engine.parallel + AHEAD if engine.parallel > 1 else 1,
                # One thread embeds and compares: a request whose features are all there is compared before the next
                # batch.
                yield_seconds=yield_seconds if engine.parallel == 1 else 0.0,
                observe=partial(engine.embedded, network=network),
            )
            for network in NETWORKS
            if network in networks
        }
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

    async def load(self, networks: Networks) -> None:
        """Load these networks now, which else are loaded when they are first used."""
        for network in networks - {ALEXNET}:
            await self._engine.load(network)

    def _embed_batch(self, network: str, images: Sequence[Image]) -> Sequence[Any]:
        return self._engine.embed(images, more=self._throughput.in_work > len(images), network=network)

    def _forget_half(self) -> None:
        self._cache.shrink(self._cache.nbytes // 2)

    def knows(self, sha256: str, resolution: int | None, networks: Networks) -> bool:
        """Whether the image's features by these networks are held or on their way, so that it costs no work."""
        return all((sha256, resolution, network) in self._cache for network in networks)

    def has_from(self, tenant: str, sha256: str, resolution: int | None, networks: Networks) -> bool:
        """Whether this tenant has sent the image, so that it may name it, and need not send it again.

        What is not known of it can be made from its pixels, as long as they are at hand.
        """
        keys = [(sha256, resolution, part) for part in (*self._networks, PIXELS)]
        at_hand = self.knows(sha256, resolution, networks) or (sha256, resolution, PIXELS) in self._cache
        return at_hand and any(self._cache.known_to(tenant, key) for key in keys)

    async def embed(
        self, tenant: str, image: SentImage | HeldImage, resolution: int | None, networks: Networks, ticket: Ticket
    ) -> Embedded:
        """The image's features by these networks, for a tenant's request; it may name those that `has_from` knows.

        Raises `ImageError`, an error of the engine, a `BatcherError`, or `NotHeldError` for a `HeldImage` that must be
        sent.
        """
        key = (image.sha256, resolution)
        wanted = [network for network in NETWORKS if network in networks]
        missing = [network for network in wanted if (*key, network) not in self._cache]

        async def make(network: str, flight: Flight[_Part]) -> _Part:
            # However many networks see it, one image is in work.
            with self._throughput.image() if network in missing[:1] else nullcontext():
                keep = networks != self._networks  # the others may be asked for later
                pixels, size = await self._pixels(tenant, image, resolution, ticket, flight, keep=keep)
                features = await _in_time(self._embedding[network], pixels, ticket, flight, shape=size)
            return _Part(features, size)

        parts = await _all_or_nothing(
            self._cache.fetch((*key, network), partial(make, network), ticket.deadline, tenant, counted=place == 0)
            for place, network in enumerate(wanted)
        )
        if self._cache.holds((*key, PIXELS)) and all((*key, network) in self._cache for network in self._networks):
            self._cache.forget((*key, PIXELS))
        return Embedded({network: part.content for network, part in zip(wanted, parts, strict=True)}, parts[0].size)

    async def _pixels(
        self,
        tenant: str,
        image: SentImage | HeldImage,
        resolution: int | None,
        ticket: Ticket,
        flight: Flight[_Part],
        *,
        keep: bool,
    ) -> _Part:
        """The image at the scoring resolution, decoded once for all networks that are about to see it.

        With `keep` it stays at hand for those that are not.
        """

        async def decode(decoding: Flight[_Part]) -> _Part:
            if isinstance(image, HeldImage):
                raise NotHeldError(image.sha256)
            pixels = await self._decoded(_Undecoded(image.content, resolution, self._max_pixels), ticket, decoding)
            return _Part(pixels, (pixels.shape[0], pixels.shape[1]))

        while True:
            try:
                key = (image.sha256, resolution, PIXELS)
                return await self._cache.fetch(key, decode, flight.deadline, tenant, counted=False, keep=keep)
            except ExpiredError:
                if flight.deadline <= asyncio.get_running_loop().time():
                    raise

    async def compare(
        self, target: Embedded, candidate: Embedded, families: Families, ticket: Ticket
    ) -> NDArray[np.float32]:
        """Channel distances `(6016,)` of two images of one size; families that are not asked for are 0.

        Both must have been embedded by the networks that the families need. Raises an error of the engine, or a
        `BatcherError`.
        """
        parts = await _all_or_nothing(
            self._comparing.submit(
                _Pair(target.features[network], candidate.features[network], families & FAMILIES_OF[network]),
                turn=ticket,
                deadline=ticket.deadline,
                shape=(target.size, families & FAMILIES_OF[network]),
            )
            for network in networks_of(families)
        )
        z: NDArray[np.float32] = parts[0] if len(parts) == 1 else np.sum(parts, axis=0)  # (z,)
        return z

    async def close(self) -> None:
        """Let what runs end; fail what waits."""
        for queue in self._stages().values():
            await queue.close()

    async def _decoded(self, image: _Undecoded, ticket: Ticket, flight: Flight[_Part]) -> Image:
        """The image's pixels, from the device where it decodes this file, else from the pool."""
        pixels: Image | None = None
        if self._jpegs is not None and image.content.startswith(JPEG):
            pixels = await _in_time(self._jpegs, image, ticket, flight, shape=image.resolution)
        if pixels is None:
            pixels = await _in_time(self._decoding, image, ticket, flight)
        return pixels

    def _stages(self) -> dict[str, Batcher[Any, Any]]:
        jpegs = {} if self._jpegs is None else {"jpeg": self._jpegs}
        embedding = {embed_stage(network): queue for network, queue in self._embedding.items()}
        return {**jpegs, "decode": self._decoding, **embedding, "compare": self._comparing}


def _decode(images: Sequence[_Undecoded]) -> list[Pixels]:
    return [load_image(*image) for image in images]


async def _in_time(
    queue: Batcher[Any, Any], item: Any, turn: Ticket, flight: Flight[_Part], shape: Hashable = None
) -> Any:
    """The item's result, for as long as somebody waits for it: others with later deadlines may have joined."""
    while True:
        try:
            return await queue.submit(item, turn=turn, deadline=flight.deadline, shape=shape)
        except ExpiredError:
            if flight.deadline <= asyncio.get_running_loop().time():
                raise


async def _all_or_nothing(works: Iterable[Awaitable[Any]]) -> list[Any]:
    """What some works come to, side by side; where one fails, the others are given up."""
    works = list(works)
    if len(works) == 1:
        return [await works[0]]
    tasks = [asyncio.ensure_future(work) for work in works]
    try:
        return list(await asyncio.gather(*tasks))
    finally:
        for task in tasks:
            task.cancel()
