"""Comparison of a request's images: each distinct image → features, once; each pair of them → channel distances."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from clpips.models.images.errors import ImageError
from clpips.models.images.pixels import Pixels
from clpips.models.metric.families import LAYOUTS, Families, networks_of
from clpips.models.metric.nets import ALEX
from clpips.service.admission.access import Access
from clpips.service.admission.door import Door, Ticket
from clpips.service.admission.room import Need, Room
from clpips.service.admission.throughput import cost_of
from clpips.service.ops.telemetry import Telemetry
from clpips.service.scoring.comparison import Comparison, Masks
from clpips.service.scoring.pairs import Pairs
from clpips.service.scoring.pipeline import Pipeline, Thumbnails
from clpips.service.scoring.request_images import RequestImages, RequestMasks, SlotPair, names_of
from clpips.service.scoring.windows import live_bytes, window
from clpips.service.wire.faults import invalid
from clpips.service.wire.schemas import HeldImage, SentImage, Slot

ALIGNED: Final = frozenset({"aligned"})  # what weights of zeros alone are answered by: images must be readable
PAIR_COST: Final = 0.02  # of comparing a pair, in units: of what embedding an image of its size costs
MASKED_COST: Final = 0.1  # of comparing a pair within a mask, likewise
CHANNELS: Final = 3  # bytes of a decoded pixel


class Located(NamedTuple):
    """Where one pair of images differs."""

    z: NDArray[np.float32]  # (1, z), channel distances
    layers: list[NDArray[np.float32]]  # a map a layer, (h, w)
    pixels: Pixels | None  # of the candidate, (h, w, 3), where they were asked for
    size: tuple[int, int]  # height and width at which the images were scored


class Comparer:
    """Compares the images that stand in a request's slots. It knows requests and their faults, and no weights."""

    def __init__(
        self,
        pipeline: Pipeline,
        access: Access,
        door: Door,
        room: Room,
        telemetry: Telemetry,
        max_pixels: int,
        max_scored_pixels: int,
    ) -> None:
        self._pipeline = pipeline
        self._pairs = Pairs(pipeline.lanes, LAYOUTS[pipeline.net.name], telemetry)
        self._access = access
        self._door = door
        self._room = room
        self._max_pixels = max_pixels
        self._max_scored_pixels = max_scored_pixels

    async def compare(
        self,
        tenant: str,
        pairs: Sequence[SlotPair],
        resolution: int | None,
        ticket: Ticket,
        families: Families,
        masks: Masks | None = None,
        thumbnails: Thumbnails | None = None,
    ) -> NDArray[np.float32]:
        """Channel distances `(n, z)` of n pairs of target and candidate; families that are not asked for are 0.

        `masks` are those of the pairs, one each or None; each has the size of its target's picture.

        The networks that the families need are run, and no other. Of `thumbnails` those are made that cost no further
        decoding.

        Images may be named by hash which the `tenant` itself has sent: to anybody else they are as unknown as any. So
        nobody learns what others rank. Raises a `Problem`.
        """
        masks = masks or [None] * len(pairs)
        admitted = self._admitted(tenant, pairs, resolution, ticket, families, masks, thumbnails=thumbnails)
        async with admitted as (work, width):
            return await (work.all_at_once(pairs, masks) if width is None else work.in_windows(pairs, masks, width))

    async def locate(
        self,
        tenant: str,
        pair: SlotPair,
        resolution: int | None,
        ticket: Ticket,
        families: Families,
        weights: NDArray[np.float32],
        mask: Slot | None = None,
        *,
        pixels: bool,
    ) -> Located:
        """Where a pair differs by weights of the family `aligned`, `(1152,)`, which `families` must have.

        `pixels` asks for the candidate's, too. Raises a `Problem`, as `compare` does.
        """
        async with self._admitted(tenant, [pair], resolution, ticket, families, [mask]) as (work, _):
            return Located(*await work.located(pair, mask, weights, pixels=pixels))

    async def compare_all(
        self,
        tenant: str,
        slots: Sequence[Slot],
        resolution: int | None,
        ticket: Ticket,
        families: Families,
        weights: NDArray[np.float32],
    ) -> NDArray[np.float32]:
        """Distances `(n, n)` of all images by weights `(z,)`: all of them stay until every pair is compared.

        Raises a `Problem`, as `compare` does.
        """
        star = [(slots[0], slot) for slot in slots[1:]]  # each is in it, and must have the size of the first
        pairs = len(slots) * (len(slots) - 1) // 2
        async with self._admitted(tenant, star, resolution, ticket, families, all_pairs=pairs) as (work, _):
            return await work.all_with_all(slots, weights)

    @asynccontextmanager
    async def _admitted(
        self,
        tenant: str,
        pairs: Sequence[SlotPair],
        resolution: int | None,
        ticket: Ticket,
        families: Families,
        masks: Masks = (),
        *,
        all_pairs: int = 0,
        thumbnails: Thumbnails | None = None,
    ) -> AsyncIterator[tuple[Comparison, int | None]]:
        """The comparison of a request's pairs, counted and with room for its images until the context ends.

        With it comes how many pairs may be in work at a time; None where all may. `all_pairs` is how many pairs all of
        the images have where all are compared: they then cost something beside the images, and these stay together.
        Raises a `Problem`.
        """
        with self._pipeline.borrow(tenant, ticket) as loan:
            images = RequestImages(
                {slot.pointer: slot for pair in pairs for slot in pair}.values(),
                {mask.pointer: mask for mask in masks if mask is not None}.values(),
            )
            networks = networks_of(families)
            images.not_held |= {
                name
                for name, image in images.named.items()
                if isinstance(image, HeldImage) and not self._pipeline.may_name(tenant, name, resolution)
            }
            missing = {name: self._pipeline.missing(name, resolution, networks, loan) for name in images.usable()}
            pixels = await self._pixels(images, resolution, ticket)
            mask_pixels = await self._mask_pixels(images.masks, ticket)
            names = [pair for pair in map(names_of, pairs) if images.are_usable(pair)]
            self._require_features(live_bytes(names, pixels, len(names) if all_pairs else 1))
            new = [name for name in images.usable() if missing[name]]
            cost = sum(self._pipeline.cost(pixels[name], missing[name]) for name in new)
            if all_pairs:
                cost += all_pairs * PAIR_COST * cost_of(max(pixels.values(), default=0))
            masked = sum(mask is not None for mask in masks)
            if masked:
                cost += masked * MASKED_COST * cost_of(max(pixels.values(), default=0))
            counted = len(images.masks.sent)
            self._door.count(ticket, len(new) + counted, cost)
            self._access.require_image_rate(str(ticket.place.key), tenant, len(images.usable()) + counted, cost)
            nbytes = {name: int(pixels[name] * self._pipeline.bytes_per_pixel) for name in new}
            width = len(names) if all_pairs else window(names, nbytes, self._room.share)
            need = Need(
                pixels=live_bytes(names, {name: CHANNELS * pixels[name] for name in new}, width) + mask_pixels,
                features=live_bytes(names, nbytes, width),
            )
            async with self._room.of(need, ticket):
                work = Comparison(self._pipeline, self._pairs, images, loan, resolution, families, ticket, thumbnails)
                yield work, None if width >= len(names) else width

    def at_hand(self, tenant: str, images: Iterable[str], resolution: int | None) -> bool:
        """Whether the tenant may have images, by their sha256, compared without sending them."""
        return all(self._pipeline.may_name(tenant, image, resolution) for image in images)

    def _require_features(self, together: int) -> None:
        """Raise `InvalidRequest` where images of so many pixels, which stay together, have too many bytes of features.

        As many bytes are taken as AlexNet's features of `max_scored_pixels` have: with it, this refuses nothing.
        """
        net = self._pipeline.net
        if together > self.together_pixels:
            raise invalid(
                "/resolution",
                f"images of {together:,} pixels must be compared together, and {net.title} makes "
                f"{net.bytes_per_pixel:.0f} bytes of features of each pixel: a request may have "
                f"{self.together_pixels:,} pixels together; send fewer images, or a lower resolution",
            )

    @property
    def together_pixels(self) -> int:
        """The most pixels of images that must stay in memory together, by what the backbone's features take."""
        return int(self._max_scored_pixels * min(1.0, ALEX.bytes_per_pixel / self._pipeline.net.bytes_per_pixel))

    async def _mask_pixels(self, masks: RequestMasks, ticket: Ticket) -> int:
        """Bytes of the masks that are decoded at a time, at most; those that cannot be read become faults."""
        names = masks.usable()
        reading = (self._pipeline.decoding.mask_pixels(masks.sent[name], ticket) for name in names)
        found = []
        for name, outcome in zip(names, await asyncio.gather(*reading, return_exceptions=True), strict=True):
            if isinstance(outcome, BaseException):
                masks.note(name, outcome)
            else:
                found.append(outcome)
        return sum(sorted(found)[-self._pipeline.decoding.at_a_time :])

    async def _pixels(self, images: RequestImages, resolution: int | None, ticket: Ticket) -> dict[str, int]:
        """How many pixels each image has when it is scored; those that have too many become faults.

        Raises `InvalidRequest` where the request's resolution is too high for so many.
        """
        count = len(images.usable())
        if resolution is not None:
            if count * resolution**2 > self._max_scored_pixels:
                raise invalid(
                    "/resolution",
                    f"{count} images of {resolution}×{resolution} pixels are more than the "
                    f"{self._max_scored_pixels:,} pixels that a request may have; send fewer images, or a lower "
                    "resolution",
                )
            return dict.fromkeys(images.named, resolution**2)
        most = min(self._max_scored_pixels // max(count, 1), self._max_pixels)
        pixels = dict.fromkeys(images.named, 0)
        sent = [image for image in images.named.values() if isinstance(image, SentImage)]
        sizes = await asyncio.gather(
            *(self._pipeline.decoding.size(image, most, ticket) for image in sent), return_exceptions=True
        )
        for image, size in zip(sent, sizes, strict=True):
            if isinstance(size, ImageError):
                images.bad[image.sha256] = str(size)
            elif isinstance(size, BaseException):
                raise size
            else:
                width, height = size
                pixels[image.sha256] = width * height
        return pixels
