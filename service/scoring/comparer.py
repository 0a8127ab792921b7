"""Comparison of a request's images: each distinct image → features, once; each pair of them → channel distances."""

import asyncio
from collections.abc import Collection, Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from clpips.models.images.errors import ImageError
from clpips.models.metric.families import ALL_FAMILIES, Families
from clpips.service.admission.door import Door, Ticket
from clpips.service.problems import BadImages, Fault, ImagesNotHeld, MalformedBody
from clpips.service.scoring.pipeline import Embedded, Pipeline
from clpips.service.wire.faults import invalid
from clpips.service.wire.schemas import HeldImage, SentImage, Slot, Unreadable


class Comparer:
    """Compares the images that stand in a request's slots. It knows requests and their faults, and no weights."""

    def __init__(self, pipeline: Pipeline, door: Door, max_pixels: int, max_scored_pixels: int) -> None:
        self._pipeline = pipeline
        self._door = door
        self._max_pixels = max_pixels
        self._max_scored_pixels = max_scored_pixels

    async def compare(
        self,
        pairs: Sequence[tuple[Slot, Slot]],
        resolution: int | None,
        ticket: Ticket,
        families: Families = ALL_FAMILIES,
    ) -> NDArray[np.float32]:
        """Channel distances `(n, 3456)` of n pairs of target and candidate; families that are not asked for are 0.

        Raises a `Problem`.
        """
        slots = {slot.pointer: slot for pair in pairs for slot in pair}.values()
        embedded = await self._embed(slots, resolution, ticket)
        _require_equal_sizes(pairs, embedded)
        return np.stack(
            await asyncio.gather(
                *(
                    self._pipeline.compare(embedded[target.sha256], embedded[candidate.sha256], families, ticket)
                    for target, candidate in pairs
                )
            )
        )  # (n, 3456)

    async def _embed(self, slots: Iterable[Slot], resolution: int | None, ticket: Ticket) -> dict[str, Embedded]:
        """Each distinct image by its hash; raises a `Problem` that names every slot that has none."""
        images: dict[str, SentImage | HeldImage] = {}
        unknown: set[str] = set()
        for _, image in slots:
            if isinstance(image, SentImage):
                images[image.sha256] = image
            elif isinstance(image, HeldImage) and self._pipeline.knows(image.sha256, resolution):
                images.setdefault(image.sha256, image)
            elif isinstance(image, HeldImage):
                unknown.add(image.sha256)
        not_held = unknown - images.keys()
        costly = [image for image in images.values() if not self._pipeline.knows(image.sha256, resolution)]
        self._door.count(ticket, len(costly))
        bad = await self._oversized(images.values(), resolution, ticket)
        outcomes = await asyncio.gather(
            *(self._pipeline.embed(image, resolution, ticket) for image in images.values() if image.sha256 not in bad),
            return_exceptions=True,
        )
        embedded: dict[str, Embedded] = {}
        for sha256, outcome in zip((name for name in images if name not in bad), outcomes, strict=True):
            if isinstance(outcome, ImageError):
                bad[sha256] = str(outcome)
            elif isinstance(outcome, BaseException):
                raise outcome
            else:
                embedded[sha256] = outcome
        _raise_faults(slots, bad, not_held)
        return embedded

    async def _oversized(
        self, images: Collection[SentImage | HeldImage], resolution: int | None, ticket: Ticket
    ) -> dict[str, str]:
        """What is wrong with each image that is too large to be scored together with the others, by its hash.

        Raises `InvalidRequest` where the request's resolution is too high for so many.
        """
        if resolution is not None:
            if len(images) * resolution**2 > self._max_scored_pixels:
                raise invalid(
                    "/resolution",
                    f"{len(images)} images of {resolution}×{resolution} pixels are more than the "
                    f"{self._max_scored_pixels:,} pixels that a request may have; send fewer images, or a lower "
                    "resolution",
                )
            return {}
        share = self._max_scored_pixels // max(len(images), 1)
        if share >= self._max_pixels:
            return {}
        sent = [image for image in images if isinstance(image, SentImage)]
        sizes = await asyncio.gather(
            *(self._pipeline.size(image, share, ticket) for image in sent), return_exceptions=True
        )
        return {
            image.sha256: str(size) for image, size in zip(sent, sizes, strict=True) if isinstance(size, ImageError)
        }


def _raise_faults(slots: Iterable[Slot], bad: Mapping[str, str], not_held: Collection[str]) -> None:
    """Raise the `Problem` of the slots without features, if there are any.

    `bad` says what is wrong with an image, by its hash; `not_held` are hashes that name an image whose features the
    service does not hold.
    """
    faults: list[Fault] = []
    missing: list[Fault] = []
    kind: type[MalformedBody | BadImages] = BadImages
    for pointer, image in slots:
        if isinstance(image, Unreadable):
            kind = MalformedBody
            faults.append(Fault(pointer, image.detail))
        elif image.sha256 in not_held:
            missing.append(Fault(pointer, f"sha256:{image.sha256} is not held here; send the image's bytes"))
        elif image.sha256 in bad:
            faults.append(Fault(pointer, bad[image.sha256]))
    if faults:
        raise kind(_count(len(faults), "cannot be used"), faults)
    if missing:
        raise ImagesNotHeld(_count(len(missing), "must be sent"), missing)


def _count(faults: int, complaint: str) -> str:
    return f"{faults} image{'s' if faults > 1 else ''} of the request {complaint}: see `errors`"


def _require_equal_sizes(pairs: Sequence[tuple[Slot, Slot]], embedded: Mapping[str, Embedded]) -> None:
    """Raise `BadImages` that names each candidate whose target has another size."""
    faults = []
    for target, candidate in pairs:
        (height, width), (own_height, own_width) = embedded[target.sha256].size, embedded[candidate.sha256].size
        if (height, width) != (own_height, own_width):
            faults.append(
                Fault(
                    candidate.pointer,
                    f"the image is {own_width}×{own_height} pixels and its target {width}×{height}; at native size "
                    "they must be equal: resize one, or name a resolution",
                )
            )
    if faults:
        raise BadImages(_count(len(faults), "do not have their target's size"), faults)
