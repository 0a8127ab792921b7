"""A lane: the queues before one device's engine, and the memory in which its features lie.

    pixels → embed (engine threads) → features → pair → compare (engine thread)

Each network has a line of its own, so that a batch is of images that need this network. Features that other devices
have made are copied to this one when a pair needs them here. A copy spares decoding and embedding the image again,
needs nobody to send it again, and gives the same numbers.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Hashable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, contextmanager, nullcontext
from functools import partial
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clpips.models.engines.contract import Image
from clpips.models.metric.distance import weigh
from clpips.models.metric.families import FAMILIES_OF, NETWORKS, Families, Networks, networks_of
from clpips.models.metric.masks import Region
from clpips.service.admission.headroom import Headroom
from clpips.service.admission.throughput import HEAVY_COST, Throughput
from clpips.service.batching.batch import Judge
from clpips.service.batching.batcher import Batcher
from clpips.service.batching.feature_cache import Flight
from clpips.service.batching.shelf import Shelf
from clpips.service.batching.turns import ItemT, ResultT
from clpips.service.ops.memory import release_freed
from clpips.service.ops.telemetry import embed_stage
from clpips.service.ops.traces import past_span, span
from clpips.service.scoring.errors import FeaturesLostError
from clpips.service.scoring.flights import in_time, place
from clpips.service.scoring.lanes.device_jpegs import Decoded, Undecoded, decoded_on_device
from clpips.service.scoring.lanes.engine_threads import EngineThreads

AHEAD: Final = 1  # batches that stand ready in the executor, so that no thread of the engine waits for the event loop
COMPARE_BATCH: Final = 64  # pairs of the usual size; each costs the engine a small part of an image
LARGE_COST: Final = 12.0  # of an image, in units, whose features find no hole that small ones leave
RELEASED_BYTES: Final = 32 * 2**20  # that are forgotten before it is worth to give them back to the system
LAYERS_SHARE: Final = 1.3  # bytes of layers for each byte of features, while AlexNet embeds an image
HEAVY_LAYERS_SHARE: Final = 0.5  # of a heavy one, whose layers go as soon as they are not needed any more


class Placed(NamedTuple):
    """What one network says of an image, and the lane whose engine has said it."""

    features: Any
    lane: "Lane"

    @property
    def nbytes(self) -> int:
        return int(self.features.nbytes)


class Pair(NamedTuple):
    """Two images to be compared; the families are the same throughout a batch."""

    target: Placed
    candidate: Placed
    families: Families


class MaskedPair(NamedTuple):
    """Two images to be compared within a mask."""

    target: Placed
    candidate: Placed
    mask: Region
    families: Families


class Located(NamedTuple):
    """Two images whose differences are to be located."""

    target: Placed
    candidate: Placed
    weights: NDArray[np.float32]  # (1152,), of the family `aligned`
    mask: Region | None


class Tile(NamedTuple):
    """Images of which every target is to be compared with every candidate; the features of each by network."""

    targets: Sequence[Mapping[str, Placed]]
    candidates: Sequence[Mapping[str, Placed]]
    families: Families
    weights: NDArray[np.float32]  # (z,)


class Lane:
    """One device's queues. For the event loop, but for what their batches run in the engine's threads."""

    def __init__(
        self,
        engine: EngineThreads,
        throughput: Throughput,
        memory: Hashable,
        shelf: Shelf[Any],
        *,
        max_batch: int,
        max_delay: float,
        max_queue: int,
        networks: Networks,
        yield_seconds: float,
        headroom: Headroom | None = None,
    ) -> None:
        """`memory` is where the engine's features lie, and `shelf` what is kept there."""
        self.engine = engine
        self.memory = memory
        self.shelf = shelf
        self.cost = 0.0  # of the images in work here, in units
        self.seconds_per_unit = 0.0  # as the warm-up measured it
        self._throughput = throughput
        self._headroom = headroom or Headroom()
        self._released_nbytes = 0  # of what the shelf has forgotten: they are the system's again
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
                place=place,
                waited=partial(past_span, "queue"),
                max_cost=max_batch,
                heavy_cost=HEAVY_COST,
            )
            for network in NETWORKS
            if network in networks
        }
        self._comparing: Batcher[Pair, NDArray[np.float32]] = Batcher(
            self._compare_batch,
            engine.comparing,
            max_batch=COMPARE_BATCH,
            max_queue=max_queue,
            observe=engine.compared,
            watched=partial(engine.running.work, "compare"),
            judge=self._judge_pairs,
            place=place,
            max_cost=COMPARE_BATCH,
        )
        self._masking = _one_by_one(engine, "mask", self._compare_within, max_queue, self._judge_pairs)
        self._locating = _one_by_one(engine, "locate", self._locate, max_queue)
        self._tiles = _one_by_one(engine, "matrix", self._compare_tile, max_queue)
        self._jpegs: Batcher[Undecoded, Decoded | None] | None = None
        if (jpegs := engine.jpegs) is not None:
            self._jpegs = Batcher(
                partial(decoded_on_device, jpegs),
                engine.jpeg_thread,
                max_batch=max_batch,
                max_queue=max_queue,
                observe=engine.decoded_jpegs,
                watched=partial(engine.running.work, "jpeg"),
                place=place,
                waited=partial(past_span, "queue"),
            )
        self.compare = self._comparing.submit
        self.compare_within = self._masking.submit
        self.locate = self._locating.submit
        self.compare_tile = self._tiles.submit

    @property
    def queues(self) -> dict[str, Batcher[Any, Any]]:
        """The lane's queues by stage."""
        jpegs = {} if self._jpegs is None else {"jpeg": self._jpegs}
        embedding = {embed_stage(network): queue for network, queue in self._embedding.items()}
        return {
            **jpegs,
            **embedding,
            "compare": self._comparing,
            "mask": self._masking,
            "locate": self._locating,
            "matrix": self._tiles,
        }

    @property
    def is_lent_out(self) -> bool:
        """Whether requests have borrowed all that may be kept here."""
        return self.shelf.borrowed_nbytes >= self.shelf.max_bytes

    @contextmanager
    def in_work(self, cost: float) -> Iterator[None]:
        """An image of this cost is in work here for as long as the context lasts."""
        self.cost += cost
        try:
            yield
        finally:
            self.cost -= cost

    async def decode(self, image: Undecoded, flight: Flight[Any]) -> Decoded | None:
        """A JPEG's pixels on this device; None where the host must decode it. Raises a `BatcherError`."""
        if self._jpegs is None:
            return None
        with self.in_work(1.0):
            decoded: Decoded | None = await in_time(self._jpegs, image, flight, shape=image.resolution)
        if decoded is None or isinstance(decoded.pixels, np.ndarray):
            return decoded
        return decoded._replace(lane=self)

    async def embed(self, network: str, pixels: Image, flight: Flight[Any], cost: float, nbytes: float) -> Placed:
        """What a network says of an image. `nbytes` are those of its features, about; `cost` is in units.

        Raises `EngineRefusedImage`, another error of the engine, or a `BatcherError`.
        """
        height, width, _ = pixels.shape
        layers = HEAVY_LAYERS_SHARE if cost >= HEAVY_COST else LAYERS_SHARE
        async with self._memory_for(int(nbytes), int(nbytes * layers), cost):
            with span("embed", network=network):
                return Placed(await in_time(self._embedding[network], pixels, flight, (height, width), cost), self)

    @asynccontextmanager
    async def _memory_for(self, features: int, layers: int, cost: float) -> AsyncIterator[None]:
        """So many bytes to embed an image: what is held makes room for a large one beforehand, which waits for it.

        A small one waits for a moment where there is too little for anything.
        """
        if cost < LARGE_COST:
            if self.memory is None:
                await self._headroom.pause()
            yield
            return
        with self.shelf.displaced(features + layers):
            if self.shelf.forgotten_nbytes - self._released_nbytes >= RELEASED_BYTES:
                self._released_nbytes = self.shelf.forgotten_nbytes
                await asyncio.to_thread(release_freed)
            # Only what lies in main memory counts there.
            async with nullcontext() if self.memory is not None else self._headroom.of(features + layers, features):
                yield

    def _embed_batch(self, network: str, images: Sequence[Image]) -> Sequence[Any]:
        return self.engine.embed(images, more=self._throughput.others(len(images)), network=network)

    def _judge_batch(
        self, network: str, _: Sequence[Image], errors: Sequence[BaseException], some_worked: bool
    ) -> Sequence[BaseException]:
        return self.engine.judge_images(errors, some_worked=some_worked, network=network)

    def _compare_batch(self, pairs: Sequence[Pair]) -> list[NDArray[np.float32]]:
        features = self._here([pair.target for pair in pairs] + [pair.candidate for pair in pairs])
        return [*self.engine.compare(features[: len(pairs)], features[len(pairs) :], pairs[0].families)]

    def _compare_within(self, pair: MaskedPair) -> NDArray[np.float32]:
        target, candidate = self._here([pair.target, pair.candidate])
        return self.engine.compare_within(target, candidate, pair.mask, pair.families)

    def _locate(self, pair: Located) -> list[NDArray[np.float32]]:
        target, candidate = self._here([pair.target, pair.candidate])
        return self.engine.locate(target, candidate, pair.weights, pair.mask)

    def _compare_tile(self, tile: Tile) -> NDArray[np.float32]:
        length = self.engine.z_layout.length
        z = np.zeros((len(tile.targets), len(tile.candidates), length), np.float32)  # (t, c, z)
        for network in networks_of(tile.families):
            features = self._here([one[network] for side in (tile.targets, tile.candidates) for one in side])
            targets, candidates = features[: len(tile.targets)], features[len(tile.targets) :]
            z += self.engine.compare_all(targets, candidates, tile.families & FAMILIES_OF[network])
        return weigh(z.reshape(-1, length), tile.weights).reshape(z.shape[:2])

    def _judge_pairs(
        self, pairs: Sequence[Pair | MaskedPair], errors: Sequence[BaseException], some_worked: bool
    ) -> Sequence[BaseException]:
        if any(isinstance(error, FeaturesLostError) for error in errors):
            return errors
        features = [self._here([pair.target, pair.candidate]) for pair in pairs]
        return self.engine.judge_pairs([(one, other) for one, other in features], errors, some_worked=some_worked)

    def _here(self, placed: Sequence[Placed]) -> list[Any]:
        """Features as this lane's engine compares them: those of another memory are copied. For its threads.

        Raises `FeaturesLostError` where a device gives none, `MemoryError` where this one has no room.
        """
        if all(one.lane.memory == self.memory for one in placed):
            return [one.features for one in placed]
        try:
            return [*self.engine.adopt([one.features for one in placed])]
        except MemoryError:
            raise
        except Exception as error:
            raise FeaturesLostError("features cannot be copied from one device to another") from error


def _one_by_one(
    engine: EngineThreads,
    stage: str,
    compute: Callable[[ItemT], ResultT],
    max_queue: int,
    judge: Judge[ItemT] | None = None,
) -> Batcher[ItemT, ResultT]:
    """A queue whose items share no batches, as their sizes or masks differ."""
    return Batcher(
        lambda items: [compute(item) for item in items],
        engine.comparing,
        max_batch=1,
        max_queue=max_queue,
        observe=partial(engine.compared, stage=stage),
        watched=partial(engine.running.work, stage),
        judge=judge,
        place=place,
    )
