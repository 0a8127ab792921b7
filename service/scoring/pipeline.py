"""Staged pipeline with a queue before each stage: bytes → features, a pair of features → channel distances.

    bytes → held? on its way? → decode (`decoding.py`) → embed (a lane: `lanes/`) → pair (`pairs.py`) → compare (a lane)

Decoding the next images overlaps the engines' work on these. Each stage serves the waiting keys and their requests in
turn. Each device has a lane; an image is embedded on one of them, and its features stay there.

An image is seen by the networks that the first request for it needs; its pixels stay beside its features where these
are not all, and a later request that needs another network has it see those.
"""

from collections.abc import Hashable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any, Final

import numpy as np
import structlog

from clpips.models.images.pixels import Pixels
from clpips.models.metric.families import ALEXNET, NETWORKS, Networks
from clpips.service.admission.door import Ticket
from clpips.service.admission.headroom import Headroom
from clpips.service.admission.throughput import Throughput, cost_of
from clpips.service.batching.feature_cache import FeatureCache, Flight
from clpips.service.ops.telemetry import Telemetry
from clpips.service.ops.traces import SharedSpans, span
from clpips.service.scoring.decoder import Decoder
from clpips.service.scoring.decoding import Decoding
from clpips.service.scoring.embedded import Borrowed, Embedded
from clpips.service.scoring.errors import FeaturesLostError, UnscorableImageError
from clpips.service.scoring.flights import own_flight
from clpips.service.scoring.lanes.choosing import Lanes
from clpips.service.scoring.lanes.device_jpegs import Decoded
from clpips.service.scoring.lanes.engine_threads import EngineThreads
from clpips.service.scoring.lanes.lane import Lane, Placed
from clpips.service.scoring.lanes.verdicts import EngineRefusedImage
from clpips.service.scoring.quarantine import Quarantine
from clpips.service.wire.schemas import HeldImage, SentImage

log = structlog.get_logger()

LENT_SHARE: Final = 7 / 8  # of the features that can be kept
LEAST_LENT_BYTES: Final = 384 * 2**20
CONTENT_COST: Final = 0.4  # of an image by the content network, in units, whatever its size
THUMBNAIL_SIDE: Final = 384  # pixels of the longest
YIELD_SECONDS: Final = 0.002  # the longest pause between two batches of images in which a request may ask to compare

Thumbnails = dict[str, bytes | None]  # WebP files by the hashes of the images that are to have one, None until then
Key = tuple[str, int | None]  # an image's sha256 and the resolution at which it is scored


class Pipeline:
    """Embeds images, each once for all who need it, on `lanes`; `decoding` decodes them."""

    def __init__(
        self,
        decoder: Decoder,
        engines: Sequence[EngineThreads],
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
        headroom: Headroom | None = None,
    ) -> None:
        """`networks` are those that may be asked for; `engines` are of one kind, one for each device."""
        self._networks = networks
        self._throughput = throughput
        self._max_batch = max_batch
        self._cache_bytes = cache_bytes
        self._quarantine = quarantine or Quarantine()
        self.net = engines[0].z_layout.net  # the backbone
        self.bytes_per_pixel = self.net.bytes_per_pixel  # of features, as the engine's last ones had it
        self._spans = SharedSpans("image")  # of images that are on their way
        self._cache: FeatureCache[Embedded] = FeatureCache(
            cache_bytes or 0, lambda source: telemetry.images.labels(source).inc(), lambda embedded: embedded.memory
        )
        memories = [None if one.shares_main_memory else number for number, one in enumerate(engines)]
        lanes = [
            Lane(
                engine,
                throughput,
                memory,
                self._cache.shelf(memory),
                max_batch=max_batch,
                max_delay=max_delay,
                max_queue=max_queue,
                networks=networks,
                yield_seconds=yield_seconds,
                headroom=headroom,
            )
            for engine, memory in zip(engines, memories, strict=True)
        ]
        self.lanes = Lanes(lanes, self._cache.lose, telemetry)
        self.decoding = Decoding(
            decoder,
            self.lanes.decode_jpeg if self.lanes.decode_jpegs else None,
            engines[0].running,
            telemetry,
            max_queue=max_queue,
            max_pixels=max_pixels,
            net=self.net,
        )
        telemetry.feature_cache_bytes.set_function(lambda: self._cache.nbytes)
        telemetry.quarantined.set_function(self._quarantine.__len__)

    async def warm_up(self, lent_bytes: int | None = None) -> int:
        """Let the engines prepare themselves, and learn their pace, and how many bytes of features they can keep.

        Returns the bytes of features that requests may have borrowed at a time: `lent_bytes`, or where that is None
        most of what can be kept. What is kept and what is lent takes no more together, in each memory, than the larger
        of what may be kept there and its part of what may be lent.
        """
        kept = await self.lanes.prepare(self._max_batch, self._cache_bytes, self._forget_half)
        self._throughput.seed(self.lanes.seconds_per_unit)
        lent = {memory: max(int(nbytes * LENT_SHARE), LEAST_LENT_BYTES) for memory, nbytes in kept.items()}
        if lent_bytes is not None:
            lent = dict.fromkeys(kept, lent_bytes // len(kept))
        for memory, nbytes in kept.items():
            shelf = self._cache.shelf(memory)
            shelf.max_bytes, shelf.most_bytes = nbytes, max(nbytes, lent[memory])
        return sum(lent.values()) if lent_bytes is None else lent_bytes

    async def load(self, networks: Networks) -> None:
        """Load these networks now, which else are loaded when they are first used."""
        await self.lanes.load(networks)

    def forget(self, nbytes: int) -> int:
        """Forget so many bytes of features that are kept in main memory, or all; how many have been."""
        shelf = self._cache.shelf(None)
        before = shelf.nbytes
        shelf.shrink(before - nbytes)
        return before - shelf.nbytes

    def _forget_half(self, lane: Lane) -> None:
        lane.shelf.shrink(lane.shelf.nbytes // 2)

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
        for key in _keys(sha256, resolution):
            self._cache.give_back(loan, key)

    def blame(self, sha256: str, resolution: int | None, reason: BaseException | None) -> UnscorableImageError:
        """Keep out an image at which a sound engine failed, and forget its features."""
        self._quarantine.add((sha256, resolution))
        for key in _keys(sha256, resolution):
            self._cache.forget(key)
        log.error("image quarantined", sha256=sha256, resolution=resolution, reason=repr(reason))
        return UnscorableImageError()

    def cost(self, pixels: int, networks: Networks) -> float:
        """What an image of so many pixels costs these networks, in units."""
        return sum(cost_of(pixels) if network == ALEXNET else CONTENT_COST for network in networks)

    async def embed(
        self,
        image: SentImage | HeldImage,
        resolution: int | None,
        networks: Networks,
        loan: Borrowed,
        thumbnails: Thumbnails | None = None,
    ) -> Embedded:
        """The image's features by these networks, lent to a request.

        A thumbnail that is to be made is made where the image is decoded here, and no device does it: an image that is
        held or on its way has none yet. Raises `ImageError`, `NotHeldError`, an error of the engine, or a
        `BatcherError`.
        """
        key = (image.sha256, resolution)
        if key in self._quarantine:
            raise UnscorableImageError

        async def make(flight: Flight[Embedded]) -> Embedded:
            with self._throughput.image() as came_through:
                with span("decode"):
                    longest = THUMBNAIL_SIDE if thumbnails is not None and image.sha256 in thumbnails else None
                    decoded = await self.decoding.image(image, resolution, flight, longest=longest)
                    if thumbnails is not None and decoded.thumbnail is not None:
                        thumbnails[image.sha256] = decoded.thumbnail
                height, width, _ = decoded.pixels.shape
                came_through.cost = self.cost(height * width, networks)
                decoded, features = await self._seen(image, key, decoded, networks, flight)
            kept = None if networks == self._networks else decoded.pixels
            made = Embedded(features, (height, width), decoded.original, kept)
            if ALEXNET in networks:
                self.bytes_per_pixel = made.nbytes / (height * width)
            return made

        with self._spans.of(key):
            base = await self._cache.fetch(loan, key, make)
        features = dict(base.features)
        for network in sorted(networks - base.features.keys()):
            features |= (await self._completed(image, key, base, network, loan)).features
        return Embedded({network: features[network] for network in networks}, base.size, base.original)

    async def _completed(
        self, image: SentImage | HeldImage, key: Key, base: Embedded, network: str, loan: Borrowed
    ) -> Embedded:
        """What a network says of an image that others have seen."""

        async def make(flight: Flight[Embedded]) -> Embedded:
            with self._throughput.image() as came_through:
                came_through.cost = self.cost(base.size[0] * base.size[1], frozenset({network}))
                if base.pixels is None:
                    decoded = await self.decoding.image(image, key[1], flight)
                else:
                    decoded = Decoded(base.pixels, base.original, base.lane_of_pixels)
                _, features = await self._seen(image, key, decoded, frozenset({network}), flight)
                return Embedded(features, base.size, base.original)

        return await self._cache.fetch(loan, (*key, network), make, counted=False)

    async def _seen(
        self,
        image: SentImage | HeldImage,
        key: Key,
        decoded: Decoded,
        networks: Networks,
        flight: Flight[Embedded],
    ) -> tuple[Decoded, dict[str, Placed]]:
        """The image's features by each of these networks, all on one lane, and the pixels that they were made from.

        Pixels that lay on a device that is lost are decoded again. Raises `UnscorableImageError` for an image on which
        a sound engine fails.
        """
        try:
            try:
                work = partial(self._seen_on, pixels=decoded.pixels, networks=networks, flight=flight)
                return decoded, await self.lanes.on_one(work, decoded.lane)
            except FeaturesLostError:
                decoded = await self.decoding.image(image, key[1], flight, on_host=True)
                work = partial(self._seen_on, pixels=decoded.pixels, networks=networks, flight=flight)
                return decoded, await self.lanes.on_one(work)
        except EngineRefusedImage as refused:
            raise self.blame(*key, refused.__cause__) from refused

    async def _seen_on(
        self, lane: Lane, *, pixels: Any, networks: Networks, flight: Flight[Embedded]
    ) -> dict[str, Placed]:
        """The image's features by each network, one after the other: a flight stands in one line at a time."""
        features: dict[str, Placed] = {}
        size = pixels.shape[0] * pixels.shape[1]
        with lane.in_work(self.cost(size, networks)):
            for network in (one for one in NETWORKS if one in networks):
                cost = cost_of(size) if network == ALEXNET else 1.0
                features[network] = await lane.embed(network, pixels, flight, cost, size * self.bytes_per_pixel)
        return features

    async def pixels(
        self, image: SentImage | HeldImage, resolution: int | None, loan: Borrowed, ticket: Ticket
    ) -> Pixels:
        """The image's pixels at the scoring resolution: those that are held, else decoded from what was sent.

        Raises `ImageError`, or `NotHeldError` where they are not held and the image was only named.
        """
        held = loan.features.get((image.sha256, resolution))
        if held is not None and isinstance(held.pixels, np.ndarray):
            return held.pixels
        with own_flight(ticket) as flight:
            decoded = await self.decoding.image(image, resolution, flight, on_host=True)
        return np.asarray(decoded.pixels)

    async def close(self) -> None:
        """Let what runs end; fail what waits."""
        await self.decoding.close()
        await self.lanes.close()


def _keys(sha256: str, resolution: int | None) -> list[Hashable]:
    """Under which the cache may hold something of an image."""
    return [(sha256, resolution), *((sha256, resolution, network) for network in NETWORKS)]
