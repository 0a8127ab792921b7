"""Decoding, with a queue before it: the bytes of an image, or of a mask, become pixels.

Light files are decoded in threads, all others in processes, which have a line of their own, and those of them that need
more memory than their share another. Where the engines' devices
decode JPEGs, a thread of each hands them to it; those that it refuses go to the processes.
"""

import asyncio
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, NamedTuple

from clpips.models.images.errors import ImageError
from clpips.models.images.formats import JPEG
from clpips.models.images.pixels import DecodedImage
from clpips.models.images.thumbnails import webp
from clpips.models.metric.masks import MaskError
from clpips.models.metric.nets import ALEX, Net
from clpips.service.admission.door import Ticket
from clpips.service.batching.batch import BatchReport
from clpips.service.batching.batcher import Batcher
from clpips.service.batching.feature_cache import Flight
from clpips.service.batching.running import Running
from clpips.service.decoding.processes import SHARE, AbandonedError, Memory, WantsMoreError
from clpips.service.ops.telemetry import Telemetry
from clpips.service.ops.traces import past_span, span
from clpips.service.scoring.decoder import Decoder
from clpips.service.scoring.errors import NotHeldError
from clpips.service.scoring.flights import in_time, own_flight, place
from clpips.service.scoring.lanes.device_jpegs import Decoded, Undecoded
from clpips.service.scoring.scored_masks import ScoredMask, scored_mask
from clpips.service.wire.schemas import HeldImage, SentImage


class _UndecodedMask(NamedTuple):
    content: bytes
    resolution: int | None
    max_pixels: int
    wanted: Callable[[], bool]


class _Large(NamedTuple):
    """A file that needs more memory than its share."""

    file: Undecoded | _UndecodedMask
    needs: int  # bytes


class Decoding:
    """Decodes what requests send, in their turns."""

    def __init__(
        self,
        decoder: Decoder,
        on_device: Callable[[Undecoded, Flight[Any]], Awaitable[Decoded | None]] | None,
        running: Running,
        telemetry: Telemetry,
        *,
        max_queue: int,
        max_pixels: int,
        net: Net = ALEX,
    ) -> None:
        """`on_device` decodes JPEGs on a device, or leaves one to the host; `net` is the backbone of masks' grids."""
        self._decoder = decoder
        self._on_device = on_device
        self._max_pixels = max_pixels
        self._light: Batcher[Undecoded, Decoded | None] = Batcher(
            lambda images: [
                _decoded(decoder.load_light(one.content, one.resolution, one.max_pixels, one.longest)) for one in images
            ],
            decoder.pool,
            max_batch=1,
            max_queue=max_queue,
            parallel=decoder.threads,
            observe=lambda report: _count_decoded(report, telemetry),
            watched=partial(running.work, "decode"),
            place=place,
            waited=partial(past_span, "queue"),
        )
        # Not watched: what hangs there is ended by itself.
        self._apart: Batcher[Undecoded | _UndecodedMask, Decoded | ScoredMask] = Batcher(
            lambda files: [_decoded_apart(decoder, one, net, SHARE) for one in files],
            decoder.apart,
            max_batch=1,
            max_queue=max_queue,
            parallel=decoder.waiters,
            observe=lambda report: _count_decoded(report, telemetry),
            place=place,
            waited=partial(past_span, "queue"),
        )
        self._large: Batcher[_Large, Decoded | ScoredMask] = Batcher(
            lambda files: [_decoded_apart(decoder, one.file, net, Memory(needs=one.needs)) for one in files],
            decoder.large,
            max_batch=1,
            max_queue=max_queue,
            observe=lambda report: _count_decoded(report, telemetry),
            place=place,
            waited=partial(past_span, "queue"),
        )
        queues: dict[str, Batcher[Any, Any]] = {
            "decode": self._light,
            "decode_apart": self._apart,
            "decode_large": self._large,
        }
        for stage, queue in queues.items():
            telemetry.queue_items.labels(stage).set_function(queue.__len__)
            telemetry.batch_running_seconds.labels(stage).set_function(partial(running.oldest, stage))

    @property
    def at_a_time(self) -> int:
        """Files that are decoded apart at the same time."""
        return self._decoder.waiters

    async def image(
        self,
        image: SentImage | HeldImage,
        resolution: int | None,
        flight: Flight[Any],
        *,
        on_host: bool = False,
        longest: int | None = None,
    ) -> Decoded:
        """The image's pixels, from a device where it decodes this file, else from a thread or a process.

        With `on_host` they lie in main memory. With `longest` a thumbnail of that side comes with what the host
        decodes, where there is room for it. Raises `ImageError`, `NotHeldError` where the image was not sent, or a
        `BatcherError`.
        """
        if not isinstance(image, SentImage):
            raise NotHeldError(image.sha256)
        clock = asyncio.get_running_loop().time
        undecoded = Undecoded(
            image.content,
            resolution,
            self._max_pixels,
            lambda: flight.waiting > 0 and clock() < flight.deadline,
            longest,
        )
        decoded: Decoded | None = None
        if self._on_device is not None and not on_host and image.content.startswith(JPEG):
            decoded = await self._on_device(undecoded, flight)
        if decoded is None and self._decoder.may_be_light(image.content):
            decoded = await in_time(self._light, undecoded, flight)
        if decoded is None:
            decoded = await self._apart_or_alone(undecoded, flight)
        assert decoded is not None  # noqa: S101 - the last line decodes, or raises
        return decoded

    async def size(self, image: SentImage, max_pixels: int, ticket: Ticket) -> tuple[int, int]:
        """Width and height of an image, from its head alone. Raises `ImageError`, or what `Decoder.size` raises."""
        loop = asyncio.get_running_loop()
        return await self._decoder.apart_or_alone(
            partial(self._decoder.size, image.content, max_pixels, lambda: loop.time() < ticket.deadline)
        )

    async def mask_pixels(self, mask: SentImage, ticket: Ticket) -> int:
        """How many pixels a mask has, by its head alone. Raises `ImageError`, or what `Decoder.mask_pixels` raises."""
        loop = asyncio.get_running_loop()
        return await self._decoder.apart_or_alone(
            partial(self._decoder.mask_pixels, mask.content, self._max_pixels, lambda: loop.time() < ticket.deadline)
        )

    async def mask(self, mask: SentImage, resolution: int | None, ticket: Ticket) -> ScoredMask:
        """A mask, brought to the grids of images that are scored at this resolution.

        Raises `ImageError`, `MaskError` where nothing counts, what `Decoder.mask` raises, or a `BatcherError`.
        """
        with span("decode"), own_flight(ticket) as flight:
            undecoded = _UndecodedMask(mask.content, resolution, self._max_pixels, lambda: flight.waiting > 0)
            found = await self._apart_or_alone(undecoded, flight)
        assert isinstance(found, ScoredMask)  # noqa: S101 - what came of a mask is one
        return found

    async def _apart_or_alone(self, file: Undecoded | _UndecodedMask, flight: Flight[Any]) -> Any:
        try:
            return await in_time(self._apart, file, flight)
        except WantsMoreError as more:
            return await in_time(self._large, _Large(file, more.nbytes), flight)

    async def close(self) -> None:
        """Let what runs end; fail what waits."""
        await self._light.close()
        await self._apart.close()
        await self._large.close()


def _count_decoded(report: BatchReport, telemetry: Telemetry) -> None:
    telemetry.decoded(report)
    errors = [error for error in report.errors if not isinstance(error, AbandonedError | WantsMoreError)]
    inputs = sum(isinstance(error, ImageError | MaskError) for error in errors)
    telemetry.failed("decode", inputs=inputs, service=len(errors) - inputs)


def _decoded(image: DecodedImage | None) -> Decoded | None:
    return None if image is None else _pictured(image)


def _pictured(image: DecodedImage) -> Decoded:
    thumbnail = None if image.thumbnail is None else webp(image.thumbnail)
    return Decoded(image.pixels, image.size, thumbnail=thumbnail)


def _decoded_apart(
    decoder: Decoder, file: Undecoded | _UndecodedMask, net: Net, memory: Memory
) -> Decoded | ScoredMask:
    if isinstance(file, Undecoded):
        return _pictured(decoder.load(*file, memory=memory))
    values = decoder.mask(file.content, file.max_pixels, file.wanted, memory=memory)
    return scored_mask(values, file.resolution, net)
