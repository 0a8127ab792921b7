"""Staged pipeline with a queue before each stage: bytes → features, a pair of features → channel distances.

    bytes → held? on its way? → decode (threads, processes) → embed (engine threads) → pair → compare (engine thread)

Decoding the next images overlaps the engine's work on these. Each stage serves the waiting keys and their requests in
turn. Light files are decoded in threads, all others in processes, which have a line of their own. Where the engine's
device decodes JPEGs, a thread of their own hands them to it; those that it refuses go to the processes.

Each network has a line of its own, so that a batch is of images that need this network. An image is seen by the
networks that the first request for it needs; its pixels stay beside its features where these are not all, and a later
request that needs another network has it see those.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np
import structlog
from numpy.typing import NDArray

from clpips.models.engines.contract import Image, JpegDecoder
from clpips.models.images.errors import ImageError
from clpips.models.images.formats import JPEG
from clpips.models.images.jpeg import plain_jpeg_size
from clpips.models.images.pixels import DecodedImage, Pixels
from clpips.models.metric.distance import weigh
from clpips.models.metric.families import ALEXNET, FAMILIES_OF, NETWORKS, Families, Networks, networks_of
from clpips.models.metric.masks import MaskError, Region
from clpips.models.metric.nets import Net
from clpips.service.admission.door import Ticket
from clpips.service.admission.throughput import HEAVY_COST, Throughput, cost_of
from clpips.service.batching.batch import BatchReport
from clpips.service.batching.batcher import Batcher
from clpips.service.batching.errors import ExpiredError
from clpips.service.batching.feature_cache import FeatureCache, Flight, Loan
from clpips.service.batching.turns import Place
from clpips.service.decoding.processes import AbandonedError
from clpips.service.ops.memory import release_freed
from clpips.service.ops.telemetry import Telemetry, embed_stage
from clpips.service.ops.traces import joined_span, past_span, span
from clpips.service.scoring.decoder import Decoder
from clpips.service.scoring.engine_threads import EngineThreads
from clpips.service.scoring.errors import NotHeldError, UnscorableImageError
from clpips.service.scoring.quarantine import Quarantine
from clpips.service.scoring.scored_masks import ScoredMask, scored_mask
from clpips.service.scoring.verdicts import EngineRefusedImage
from clpips.service.wire.schemas import HeldImage, SentImage

log = structlog.get_logger()

AHEAD: Final = 1  # batches that stand ready in the executor, so that no thread of the engine waits for the event loop
COMPARE_BATCH: Final = 64  # pairs of the usual size; each costs the engine a small part of an image
LENT_SHARE: Final = 7 / 8  # of the features that can be kept
LEAST_LENT_BYTES: Final = 384 * 2**20
LARGE_COST: Final = 12.0  # of an image, in units, whose features find no hole that small ones leave
RELEASED_BYTES: Final = 32 * 2**20  # that are forgotten before it is worth to give them back to the system
LAYERS_SHARE: Final = 1.3  # bytes of layers for each byte of features, while AlexNet embeds an image
CONTENT_COST: Final = 0.4  # of an image by the content network, in units, whatever its size
BYTES_PER_PIXEL: Final = 42.0  # of features, in float32, before any have been seen
YIELD_SECONDS: Final = 0.002  # the longest pause between two batches of images in which a request may ask to compare


class Embedded(NamedTuple):
    """An embedded image: its features by network, opaque, and the size at which it was scored.

    `pixels` are there where further networks may be asked for.
    """

    features: Mapping[str, Any]
    size: tuple[int, int]  # height and width in pixels
    original: tuple[int, int]  # those of the picture in its file: of a mask for it
    pixels: Any = None

    @property
    def nbytes(self) -> int:
        pixels = 0 if self.pixels is None else int(self.pixels.nbytes)
        return sum(int(one.nbytes) for one in self.features.values()) + pixels


Borrowed = Loan[Embedded]  # what a request has borrowed of the features


class _Undecoded(NamedTuple):
    content: bytes
    resolution: int | None
    max_pixels: int
    wanted: Callable[[], bool]  # whether somebody still waits for it


class _Decoded(NamedTuple):
    pixels: Image
    original: tuple[int, int]


class _UndecodedMask(NamedTuple):
    content: bytes
    resolution: int | None
    max_pixels: int
    wanted: Callable[[], bool]


class _Pair(NamedTuple):
    target: Any  # features
    candidate: Any
    families: Families  # the same throughout a batch


class _MaskedPair(NamedTuple):
    target: Any  # features
    candidate: Any
    mask: Region
    families: Families


class _Located(NamedTuple):
    target: Any  # features
    candidate: Any
    weights: NDArray[np.float32]  # (1152,), of the family `aligned`
    mask: Region | None


class _Tile(NamedTuple):
    targets: Sequence[Embedded]
    candidates: Sequence[Embedded]
    families: Families
    weights: NDArray[np.float32]  # (z,)


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
        quarantine: Quarantine | None = None,
    ) -> None:
        """`networks` are those that may be asked for."""
        self._networks = networks
        self._engine = engine
        self._throughput = throughput
        self._max_batch = max_batch
        self._max_pixels = max_pixels
        self._cache_bytes = cache_bytes
        self._quarantine = quarantine or Quarantine()
        self.bytes_per_pixel = BYTES_PER_PIXEL  # of features, as the engine's last ones had it
        self._begun: dict[Any, Any] = {}  # the spans of images that are on their way, of traced requests
        self._cache: FeatureCache[Embedded] = FeatureCache(
            cache_bytes or 0, lambda source: telemetry.images.labels(source).inc()
        )
        self._released_nbytes = 0  # of what the cache has forgotten: they are the system's again
        self._decoder = decoder
        self._decoding: Batcher[_Undecoded, _Decoded | None] = Batcher(
            lambda images: [_decoded(decoder.load_light(*one[:3])) for one in images],
            decoder.pool,
            max_batch=1,
            max_queue=max_queue,
            parallel=decoder.threads,
            observe=lambda report: _count_decoded(report, telemetry),
            watched=partial(engine.running.work, "decode"),
            place=_place,
            waited=partial(past_span, "queue"),
        )
        # Not watched: what hangs there is ended by itself.
        self._decoding_apart: Batcher[_Undecoded | _UndecodedMask, _Decoded | ScoredMask] = Batcher(
            lambda files: [
                _scored_mask(decoder, one, engine.z_layout.net)
                if isinstance(one, _UndecodedMask)
                else _Decoded(*decoder.load(*one))
                for one in files
            ],
            decoder.apart,
            max_batch=1,
            max_queue=max_queue,
            parallel=decoder.waiters,
            observe=lambda report: _count_decoded(report, telemetry),
            place=_place,
            waited=partial(past_span, "queue"),
        )
        self._jpegs: Batcher[_Undecoded, _Decoded | None] | None = None
        if (jpegs := decoder.jpegs) is not None:
            self._jpegs = Batcher(
                lambda images: _decoded_on_device(jpegs, images),
                decoder.jpeg_thread,
                max_batch=max_batch,
                max_queue=max_queue,
                observe=telemetry.decoded_jpegs,
                watched=partial(engine.running.work, "jpeg"),
                place=_place,
                waited=partial(past_span, "queue"),
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
                watched=partial(engine.running.work, embed_stage(network)),
                judge=partial(self._judge_batch, network),
                place=_place,
                waited=partial(past_span, "queue"),
                max_cost=max_batch,
                heavy_cost=HEAVY_COST,
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
            watched=partial(engine.running.work, "compare"),
            judge=lambda pairs, errors, some_worked: engine.judge_pairs(
                [(pair.target, pair.candidate) for pair in pairs], errors, some_worked=some_worked
            ),
            place=_place,
            max_cost=COMPARE_BATCH,
        )
        self._masking: Batcher[_MaskedPair, NDArray[np.float32]] = Batcher(
            lambda pairs: [engine.compare_within(*pair) for pair in pairs],
            engine.comparing,
            max_batch=1,
            max_queue=max_queue,
            observe=partial(engine.compared, stage="mask"),
            watched=partial(engine.running.work, "mask"),
            judge=lambda pairs, errors, some_worked: engine.judge_pairs(
                [(pair.target, pair.candidate) for pair in pairs], errors, some_worked=some_worked
            ),
            place=_place,
        )
        self._locating: Batcher[_Located, list[NDArray[np.float32]]] = Batcher(
            lambda pairs: [engine.locate(*pair) for pair in pairs],
            engine.comparing,
            max_batch=1,
            max_queue=max_queue,
            observe=partial(engine.compared, stage="locate"),
            watched=partial(engine.running.work, "locate"),
            place=_place,
        )
        self._tiles: Batcher[_Tile, NDArray[np.float32]] = Batcher(
            lambda tiles: [self._compare_tile(tile) for tile in tiles],
            engine.comparing,
            max_batch=1,
            max_queue=max_queue,
            observe=partial(engine.compared, stage="matrix"),
            watched=partial(engine.running.work, "matrix"),
            place=_place,
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

    @property
    def decoded_at_a_time(self) -> int:
        """Files that are decoded apart at the same time."""
        return self._decoder.waiters

    async def load(self, networks: Networks) -> None:
        """Load these networks now, which else are loaded when they are first used."""
        for network in networks - {ALEXNET}:
            await self._engine.load(network)

    def _forget_half(self) -> None:
        self._cache.shrink(self._cache.nbytes // 2)

    @contextmanager
    def borrow(self, tenant: str, ticket: Ticket) -> Iterator[Borrowed]:
        """The features that a tenant's request has borrowed, until the context ends."""
        with self._cache.loan(ticket, ticket.deadline, tenant) as loan:
            yield loan

    def may_name(self, tenant: str, sha256: str, resolution: int | None) -> bool:
        """Whether this tenant has sent the image, and what is known of it is at hand: it need not be sent again.

        What networks say of it that have not seen it is made from its pixels.
        """
        return self._cache.known_to(tenant, (sha256, resolution))

    def missing(self, sha256: str, resolution: int | None, networks: Networks, loan: Borrowed) -> Networks:
        """Those of these networks whose features of the image are neither held nor on their way: they cost work.

        What is held is lent to the request, and stays.
        """
        key = (sha256, resolution)
        if not self._cache.reserve(loan, key):
            return networks
        base = self._cache.peek(key)
        if base is None:  # it is on its way, and whatever it lacks is made from its pixels
            return frozenset()
        return frozenset(
            network
            for network in networks
            if network not in base.features and not self._cache.reserve(loan, (*key, network))
        )

    def give_back(self, sha256: str, resolution: int | None, loan: Borrowed) -> None:
        """The request does not need the features of this image any more."""
        for key in self._keys(sha256, resolution):
            self._cache.give_back(loan, key)

    def blame(self, sha256: str, resolution: int | None, reason: BaseException | None) -> UnscorableImageError:
        """Keep out an image at which a sound engine failed, and forget its features."""
        self._quarantine.add((sha256, resolution))
        for key in self._keys(sha256, resolution):
            self._cache.forget(key)
        log.error("image quarantined", sha256=sha256, resolution=resolution, reason=repr(reason))
        return UnscorableImageError()

    def cost(self, pixels: int, networks: Networks) -> float:
        """What an image of so many pixels costs these networks, in units."""
        return sum(cost_of(pixels) if network == ALEXNET else CONTENT_COST for network in networks)

    async def embed(
        self, image: SentImage | HeldImage, resolution: int | None, networks: Networks, loan: Borrowed
    ) -> Embedded:
        """The image's features by these networks, lent to a request.

        Raises `ImageError`, `NotHeldError`, an error of the engine, or a `BatcherError`.
        """
        key = (image.sha256, resolution)
        if key in self._quarantine:
            raise UnscorableImageError

        async def make(flight: Flight[Embedded]) -> Embedded:
            with self._throughput.image() as came_through:
                with span("decode"):
                    pixels, original = await self._decoded(image, resolution, flight)
                came_through.cost = self.cost(pixels.shape[0] * pixels.shape[1], networks)
                features = await self._seen(key, pixels, networks, flight)
            height, width, _ = pixels.shape
            kept = None if networks == self._networks else pixels
            made = Embedded(features, (height, width), original, kept)
            if ALEXNET in networks:
                self.bytes_per_pixel = made.nbytes / (height * width)
            return made

        begun = self._begun.get(key)
        if begun is not None:  # by another request, which is waited for
            with joined_span("join", begun):
                base = await self._cache.fetch(loan, key, make)
        else:
            with span("image") as own:
                if own is not None:
                    self._begun[key] = own
                try:
                    base = await self._cache.fetch(loan, key, make)
                finally:
                    if own is not None:
                        self._begun.pop(key, None)
        features = dict(base.features)
        for network in sorted(networks - base.features.keys()):
            features |= (await self._completed(image, key, base, network, loan)).features
        return Embedded({network: features[network] for network in networks}, base.size, base.original)

    async def _completed(
        self, image: SentImage | HeldImage, key: tuple[str, int | None], base: Embedded, network: str, loan: Borrowed
    ) -> Embedded:
        """What a network says of an image that others have seen."""

        async def make(flight: Flight[Embedded]) -> Embedded:
            with self._throughput.image() as came_through:
                came_through.cost = self.cost(base.size[0] * base.size[1], frozenset({network}))
                pixels = base.pixels if base.pixels is not None else (await self._decoded(image, key[1], flight)).pixels
                features = await self._seen(key, pixels, frozenset({network}), flight)
                return Embedded(features, base.size, base.original)

        return await self._cache.fetch(loan, (*key, network), make, counted=False)

    async def _seen(
        self, key: tuple[str, int | None], pixels: Image, networks: Networks, flight: Flight[Embedded]
    ) -> dict[str, Any]:
        """The image's features by each of these networks, one after the other: a flight stands in one line at a time.

        Raises `UnscorableImageError` for an image on which a sound engine fails.
        """
        features: dict[str, Any] = {}
        height, width, _ = pixels.shape
        for network in (one for one in NETWORKS if one in networks):
            cost = cost_of(height * width) if network == ALEXNET else 1.0
            try:
                queue = self._embedding[network]
                async with self._memory_for(height * width, cost):
                    with span("embed", network=network):
                        features[network] = await _in_time(queue, pixels, flight, (height, width), cost)
            except EngineRefusedImage as refused:
                raise self.blame(*key, refused.__cause__) from refused
        return features

    @asynccontextmanager
    async def _memory_for(self, pixels: int, cost: float) -> AsyncIterator[None]:
        """Memory to embed an image of so many pixels: what is held makes room for a large one beforehand."""
        if cost < LARGE_COST:
            yield
            return
        nbytes = int(pixels * self.bytes_per_pixel * (1 + LAYERS_SHARE))
        with self._cache.displaced(nbytes):
            if self._cache.forgotten_nbytes - self._released_nbytes >= RELEASED_BYTES:
                self._released_nbytes = self._cache.forgotten_nbytes
                await asyncio.to_thread(release_freed)
            yield

    async def size(self, image: SentImage, max_pixels: int, ticket: Ticket) -> tuple[int, int]:
        """Width and height of an image, from its head alone. Raises `ImageError`, or what `Decoder.size` raises."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._decoder.apart, self._decoder.size, image.content, max_pixels, lambda: loop.time() < ticket.deadline
        )

    async def mask_pixels(self, mask: SentImage, ticket: Ticket) -> int:
        """How many pixels a mask has, by its head alone. Raises `ImageError`, or what `Decoder.mask_pixels` raises."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(
            self._decoder.apart,
            self._decoder.mask_pixels,
            mask.content,
            self._max_pixels,
            lambda: loop.time() < ticket.deadline,
        )

    async def mask(self, mask: SentImage, resolution: int | None, ticket: Ticket) -> ScoredMask:
        """A mask, brought to the grids of images that are scored at this resolution.

        Raises `ImageError`, `MaskError` where nothing counts, what `Decoder.mask` raises, or a `BatcherError`.
        """
        with span("decode"), _own_flight(ticket) as flight:
            undecoded = _UndecodedMask(mask.content, resolution, self._max_pixels, lambda: flight.waiting > 0)
            found = await _in_time(self._decoding_apart, undecoded, flight)
        assert isinstance(found, ScoredMask)  # noqa: S101 - what came of a mask is one
        return found

    async def compare(
        self,
        target: Embedded,
        candidate: Embedded,
        families: Families,
        ticket: Ticket,
        mask: Region | None = None,
    ) -> NDArray[np.float32]:
        """Channel distances `(z,)` of two images of one size, within a mask if there is one.

        Families that are not asked for are 0. Pairs without a mask share batches.
        Both must have been embedded by the networks that the families need. Raises `EngineRefusedPair`, another error
        of the engine, or a `BatcherError`.
        """
        z: NDArray[np.float32] | None = None
        height, width = target.size
        for network in networks_of(families):
            own = families & FAMILIES_OF[network]
            pair = target.features[network], candidate.features[network]
            if mask is not None:
                masked = _MaskedPair(*pair, mask, own)
                part = await self._masking.submit(masked, turn=ticket, deadline=ticket.deadline)
            else:
                part = await self._comparing.submit(
                    _Pair(*pair, own),
                    turn=ticket,
                    deadline=ticket.deadline,
                    shape=(target.size, own),
                    cost=cost_of(height * width),
                )
            z = part if z is None else z + part
        assert z is not None  # noqa: S101 - some family is always asked for
        return z

    async def compare_tile(
        self,
        targets: Sequence[Embedded],
        candidates: Sequence[Embedded],
        families: Families,
        weights: NDArray[np.float32],
        ticket: Ticket,
    ) -> NDArray[np.float32]:
        """Distances `(t, c)` of every target from every candidate, images of one size, by weights `(z,)`.

        All must have been embedded by the networks that the families need. Raises an error of the engine, or a
        `BatcherError`.
        """
        tile = _Tile(targets, candidates, families, weights)
        return await self._tiles.submit(tile, turn=ticket, deadline=ticket.deadline)

    def _compare_tile(self, tile: _Tile) -> NDArray[np.float32]:
        length = self._engine.z_layout.length
        z = np.zeros((len(tile.targets), len(tile.candidates), length), np.float32)
        for network in networks_of(tile.families):
            sides = [[one.features[network] for one in side] for side in (tile.targets, tile.candidates)]
            z += self._engine.compare_all(sides[0], sides[1], tile.families & FAMILIES_OF[network])
        return weigh(z.reshape(-1, length), tile.weights).reshape(z.shape[:2])

    async def locate(
        self,
        target: Embedded,
        candidate: Embedded,
        weights: NDArray[np.float32],
        ticket: Ticket,
        mask: Region | None = None,
    ) -> list[NDArray[np.float32]]:
        """Where two images of one size differ, a map a layer, within a mask if there is one: as `Engine.locate` has it.

        Both must have been embedded by AlexNet. Raises an error of the engine, or a `BatcherError`.
        """
        pair = _Located(target.features[ALEXNET], candidate.features[ALEXNET], weights, mask)
        return await self._locating.submit(pair, turn=ticket, deadline=ticket.deadline)

    async def pixels(
        self, image: SentImage | HeldImage, resolution: int | None, loan: Borrowed, ticket: Ticket
    ) -> Pixels:
        """The image's pixels at the scoring resolution: those that are held, else decoded from what was sent.

        Raises `ImageError`, or `NotHeldError` where they are not held and the image was only named.
        """
        held = loan.features.get((image.sha256, resolution))
        if held is not None and isinstance(held.pixels, np.ndarray):
            return held.pixels
        with _own_flight(ticket) as flight:
            decoded = await self._decoded(image, resolution, flight, on_host=True)
        return np.asarray(decoded.pixels)

    async def close(self) -> None:
        """Let what runs end; fail what waits."""
        for queue in self._stages().values():
            await queue.close()

    async def _decoded(
        self, image: SentImage | HeldImage, resolution: int | None, flight: Flight[Embedded], *, on_host: bool = False
    ) -> _Decoded:
        """The image's pixels, from the device where it decodes this file, else from a thread or a process.

        With `on_host` they lie in main memory.

        Raises `NotHeldError` where the image was not sent.
        """
        if not isinstance(image, SentImage):
            raise NotHeldError(image.sha256)
        clock = asyncio.get_running_loop().time
        undecoded = _Undecoded(
            image.content, resolution, self._max_pixels, lambda: flight.waiting > 0 and clock() < flight.deadline
        )
        decoded: _Decoded | None = None
        if self._jpegs is not None and not on_host and image.content.startswith(JPEG):
            decoded = await _in_time(self._jpegs, undecoded, flight, shape=resolution)
        if decoded is None and self._decoder.may_be_light(image.content):
            decoded = await _in_time(self._decoding, undecoded, flight)
        if decoded is None:
            decoded = await _in_time(self._decoding_apart, undecoded, flight)
        assert decoded is not None  # noqa: S101 - the last line decodes, or raises
        return decoded

    def _embed_batch(self, network: str, images: Sequence[Image]) -> Sequence[Any]:
        return self._engine.embed(images, more=self._throughput.in_work > len(images), network=network)

    def _judge_batch(
        self, network: str, _: Sequence[Image], errors: Sequence[BaseException], some_worked: bool
    ) -> Sequence[BaseException]:
        return self._engine.judge_images(errors, some_worked=some_worked, network=network)

    def _keys(self, sha256: str, resolution: int | None) -> list[Hashable]:
        """Under which the cache may hold something of an image."""
        return [(sha256, resolution), *((sha256, resolution, network) for network in NETWORKS)]

    def _stages(self) -> dict[str, Batcher[Any, Any]]:
        jpegs = {} if self._jpegs is None else {"jpeg": self._jpegs}
        decoding: dict[str, Batcher[Any, Any]] = {"decode": self._decoding, "decode_apart": self._decoding_apart}
        embedding = {embed_stage(network): queue for network, queue in self._embedding.items()}
        return {
            **jpegs,
            **decoding,
            **embedding,
            "compare": self._comparing,
            "mask": self._masking,
            "locate": self._locating,
            "matrix": self._tiles,
        }


def _count_decoded(report: BatchReport, telemetry: Telemetry) -> None:
    telemetry.decoded(report)
    errors = [error for error in report.errors if not isinstance(error, AbandonedError)]
    inputs = sum(isinstance(error, ImageError | MaskError) for error in errors)
    telemetry.failed("decode", inputs=inputs, service=len(errors) - inputs)


@contextmanager
def _own_flight(ticket: Ticket) -> Iterator[Flight[Embedded]]:
    """A flight for one request alone, which waits until the context ends."""
    flight: Flight[Embedded] = Flight(ticket, ticket.deadline)
    flight.waiting = 1
    try:
        yield flight
    finally:
        flight.waiting = 0


def _decoded(image: DecodedImage | None) -> _Decoded | None:
    return None if image is None else _Decoded(*image)


def _decoded_on_device(jpegs: JpegDecoder, images: Sequence[_Undecoded]) -> list[_Decoded | None]:
    """What the device decodes of files for one resolution; None for those that the host must decode."""
    found = jpegs.decode([one.content for one in images], images[0].resolution, images[0].max_pixels)
    sizes = [plain_jpeg_size(one.content) for one in images]  # those of plain files, which are upright
    return [
        None if pixels is None or size is None else _Decoded(pixels, (size[1], size[0]))
        for pixels, size in zip(found, sizes, strict=True)
    ]


def _scored_mask(decoder: Decoder, mask: _UndecodedMask, net: Net) -> ScoredMask:
    return scored_mask(decoder.mask(mask.content, mask.max_pixels, mask.wanted), mask.resolution, net)


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
