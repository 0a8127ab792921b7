"""The comparison of one request's pairs, once there is room for its images: all at once, or some pairs at a time."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

import numpy as np
import structlog
from numpy.typing import NDArray

from clpips.models.images.errors import ImageError
from clpips.models.images.pixels import Pixels
from clpips.models.metric.families import Families, networks_of
from clpips.models.metric.masks import Region
from clpips.models.metric.tiles import tile_rows
from clpips.service.admission.door import Ticket
from clpips.service.batching.errors import BatcherError
from clpips.service.ops.traces import span
from clpips.service.scoring.embedded import Borrowed, Embedded
from clpips.service.scoring.errors import FeaturesLostError, NotHeldError
from clpips.service.scoring.lanes.verdicts import EngineRefusedPair
from clpips.service.scoring.pairs import PairName, Pairs
from clpips.service.scoring.pipeline import Pipeline, Thumbnails
from clpips.service.scoring.request_images import (
    RequestImages,
    SlotPair,
    names_of,
    require_equal_sizes,
    require_mask_sizes,
)
from clpips.service.wire.schemas import Slot

Masks = Sequence[Slot | None]  # of the pairs, one each
Asked = ParamSpec("Asked")
Found = TypeVar("Found")

log = structlog.get_logger()


def again_where_a_device_is_lost(
    method: Callable[Concatenate["Comparison", Asked], Awaitable[Found]],
) -> Callable[Concatenate["Comparison", Asked], Awaitable[Found]]:
    """A method of a comparison that begins anew where features are lost with their device, and others are left.

    What is left of them is in the cache, and all else is embedded again, where a device still works.
    """

    @wraps(method)
    async def run(self: "Comparison", /, *args: Asked.args, **kwargs: Asked.kwargs) -> Found:
        for _ in range(len(self._pipeline.lanes)):
            try:
                return await method(self, *args, **kwargs)
            except FeaturesLostError as error:
                log.warning("compared anew, on the devices that are left", reason=str(error))
        return await method(self, *args, **kwargs)

    return run


class Comparison:
    """The comparison of one request's pairs, whose images have room."""

    def __init__(
        self,
        pipeline: Pipeline,
        pairs: Pairs,
        images: RequestImages,
        loan: Borrowed,
        resolution: int | None,
        families: Families,
        ticket: Ticket,
        thumbnails: Thumbnails | None = None,
    ) -> None:
        self._pipeline = pipeline
        self._pairs = pairs
        self._thumbnails = thumbnails
        self._images = images
        self._loan = loan
        self._resolution = resolution
        self._families = families
        self._networks = networks_of(families)
        self._ticket = ticket

    @again_where_a_device_is_lost
    async def all_at_once(self, pairs: Sequence[SlotPair], masks: Masks) -> NDArray[np.float32]:
        """Embed all images, then compare all pairs, which so share batches. Raises a `Problem`."""
        return await self._compared(await self._all_embedded(pairs, masks), pairs, masks)

    @again_where_a_device_is_lost
    async def located(
        self, pair: SlotPair, mask: Slot | None, weights: NDArray[np.float32], *, pixels: bool
    ) -> tuple[NDArray[np.float32], list[NDArray[np.float32]], Pixels | None, tuple[int, int]]:
        """Of one pair the channel distances `(1, z)`, where it differs by weights of `aligned`, and the size scored.

        With `pixels` the candidate's come too. Raises a `Problem`.
        """
        embedded = await self._all_embedded([pair], [mask])
        z = await self._compared(embedded, [pair], [mask])
        target, candidate = names_of(pair)
        shown = None
        if pixels:
            try:
                shown = await self._pipeline.pixels(
                    self._images.named[candidate], self._resolution, self._loan, self._ticket
                )
            except (ImageError, NotHeldError) as error:
                self._images.note(candidate, error)
                self._images.raise_faults()
        layers = await self._pairs.locate(
            embedded[target], embedded[candidate], weights, self._ticket, self._region(mask)
        )
        return z, layers, shown, embedded[target].size

    @again_where_a_device_is_lost
    async def all_with_all(self, slots: Sequence[Slot], weights: NDArray[np.float32]) -> NDArray[np.float32]:
        """Distances `(n, n)` of all images of one size by weights `(z,)`. Raises a `Problem`."""
        star = [(slots[0], slot) for slot in slots]
        embedded = await self._all_embedded(star, [None] * len(star))
        names = list(embedded)
        places = {name: place for place, name in enumerate(names)}
        distances = np.zeros((len(names), len(names)), np.float32)

        async def fill(own: Sequence[str], others: Sequence[str]) -> None:
            sides = [[embedded[name] for name in side] for side in (own, others)]
            tile = await self._pairs.compare_tile(sides[0], sides[1], self._families, weights, self._ticket)
            rows, columns = ([places[name] for name in side] for side in (own, others))
            distances[np.ix_(rows, columns)] = tile  # (t, c)
            distances[np.ix_(columns, rows)] = tile.T

        try:
            for row in tile_rows(names):
                await asyncio.gather(*(fill(*sides) for sides in row))
        except (BatcherError, FeaturesLostError):
            raise
        except Exception:
            # Raises what names an image at fault.
            await self._compared(embedded, [(slot, slot) for slot in slots], [None] * len(slots))
            raise
        chosen = [places[slot.sha256] for slot in slots]
        return distances[np.ix_(chosen, chosen)]

    async def _all_embedded(self, pairs: Sequence[SlotPair], masks: Masks) -> dict[str, Embedded]:
        """The features of all images, whose sizes are equal within each pair, with its mask's. Raises a `Problem`."""
        names = self._images.usable()
        failed, *outcomes = await asyncio.gather(self._take_masks(), *map(self._embed, names), return_exceptions=True)
        if isinstance(failed, BaseException):
            raise failed
        embedded: dict[str, Embedded] = {}
        for name, outcome in zip(names, outcomes, strict=True):
            if isinstance(outcome, BaseException):
                self._images.note(name, outcome)
            else:
                embedded[name] = outcome
        self._images.raise_faults()
        require_equal_sizes(pairs, {name: one.size for name, one in embedded.items()})
        originals = {name: one.original for name, one in embedded.items()}
        require_mask_sizes(pairs, masks, self._images.masks, originals)
        return embedded

    async def _take_masks(self) -> None:
        """Decode the masks of the request; what is wrong with one is noted."""
        masks = self._images.masks
        names = masks.usable()
        decoding = (self._pipeline.decoding.mask(masks.sent[name], self._resolution, self._ticket) for name in names)
        for name, outcome in zip(names, await asyncio.gather(*decoding, return_exceptions=True), strict=True):
            if isinstance(outcome, BaseException):
                masks.note(name, outcome)
            else:
                masks.scored[name] = outcome

    async def _compared(
        self, embedded: Mapping[str, Embedded], pairs: Sequence[SlotPair], masks: Masks
    ) -> NDArray[np.float32]:
        compared = (self._compare(embedded, pair, mask) for pair, mask in zip(pairs, masks, strict=True))
        return self._stacked(await asyncio.gather(*compared))

    @again_where_a_device_is_lost
    async def in_windows(self, pairs: Sequence[SlotPair], masks: Masks, width: int) -> NDArray[np.float32]:
        """Embed and compare `width` pairs at a time, and keep an image no longer than it is needed.

        All images are looked at even where some are faulty, so that all that are faulty are named. Raises a `Problem`.
        """
        await self._take_masks()
        uses = Counter(name for pair in pairs for name in set(names_of(pair)))
        flights: dict[str, asyncio.Task[Embedded]] = {}
        sizes: dict[str, tuple[int, int]] = {}
        originals: dict[str, tuple[int, int]] = {}
        tasks: list[asyncio.Task[NDArray[np.float32] | None]] = []

        async def one(pair: SlotPair, mask: Slot | None) -> NDArray[np.float32] | None:
            names = [name for name in dict.fromkeys(names_of(pair)) if self._images.are_usable((name, name))]
            for name in names:
                if name not in flights:
                    flights[name] = asyncio.create_task(self._embed(name))
            outcomes = await asyncio.gather(*(flights[name] for name in names), return_exceptions=True)
            embedded: dict[str, Embedded] = {}
            for name, outcome in zip(names, outcomes, strict=True):
                if isinstance(outcome, BaseException):
                    self._images.note(name, outcome)
                else:
                    embedded[name], sizes[name], originals[name] = outcome, outcome.size, outcome.original
            z = None
            whole = len(embedded) == len(set(names_of(pair))) and len({one.size for one in embedded.values()}) == 1
            if whole and self._images.masks.fits(mask, embedded[pair[0].sha256].original):
                z = await self._compare(embedded, pair, mask)
            for name in set(names_of(pair)):
                uses[name] -= 1
                if not uses[name] and name in flights:
                    del flights[name]
                    self._pipeline.give_back(name, self._resolution, self._loan)
            return z

        try:
            for number, (pair, mask) in enumerate(zip(pairs, masks, strict=True)):
                if number >= width:
                    await tasks[number - width]
                tasks.append(asyncio.create_task(one(pair, mask)))
            results = await asyncio.gather(*tasks)
        finally:
            for task in (*tasks, *flights.values()):
                task.cancel()
        self._images.raise_faults()
        require_equal_sizes(pairs, sizes)
        require_mask_sizes(pairs, masks, self._images.masks, originals)
        return self._stacked(results)

    async def _embed(self, name: str) -> Embedded:
        return await self._pipeline.embed(
            self._images.named[name], self._resolution, self._networks, self._loan, self._thumbnails
        )

    def _region(self, mask: Slot | None) -> Region | None:
        scored = self._images.masks.of(mask)
        return None if scored is None else scored.region

    async def _compare(
        self, embedded: Mapping[str, Embedded], pair: SlotPair, mask: Slot | None
    ) -> NDArray[np.float32] | None:
        """Channel distances of a pair `(z,)`; None where the engine refuses one of the two, which is then noted."""
        target, candidate = names_of(pair)
        named = PairName(target, candidate, self._resolution, self._families)
        if mask is None and (known := self._pairs.recent(named)) is not None:
            return known
        try:
            with span("compare"):
                z = await self._pairs.compare(
                    embedded[target], embedded[candidate], self._families, self._ticket, self._region(mask)
                )
        except MemoryError as error:
            self._images.note(candidate, error)
        except EngineRefusedPair as refused:
            culprits = {target: refused.target, candidate: refused.candidate}
            for name, is_culprit in culprits.items():
                if is_culprit:
                    self._images.note(name, self._pipeline.blame(name, self._resolution, refused.__cause__))
            if not any(culprits.values()):
                raise
        else:
            if mask is None:
                self._pairs.keep(named, z)
            return z
        return None

    def _stacked(self, results: Sequence[NDArray[np.float32] | None]) -> NDArray[np.float32]:
        """Channel distances `(n, z)`. Raises a `Problem` where some are missing."""
        found = [z for z in results if z is not None]
        if len(found) < len(results):
            self._images.raise_faults()
        return np.stack(found)  # (n, z)
