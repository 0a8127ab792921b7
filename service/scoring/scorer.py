"""The heart: a request's images → features, each distinct image once → channel distances → distances and an order."""

import asyncio
import hashlib
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from clpips.models.engines.contract import Engine
from clpips.models.images.decoding import image_size
from clpips.models.images.errors import ImageError
from clpips.models.metric.distance import distance_by_layer, weigh
from clpips.models.metric.weights import LayerWeights
from clpips.models.metric.weights_files import load_weights, shipped_weights
from clpips.service.admission.door import Door, Ticket
from clpips.service.problems import BadImages, Fault, ImagesNotHeld, MalformedBody, UnknownProfile
from clpips.service.scoring.pipeline import Embedded, Pipeline
from clpips.service.wire.faults import invalid
from clpips.service.wire.schemas import (
    DistanceReply,
    DistanceRequest,
    EngineInfo,
    HeldImage,
    PairNames,
    ProfileInfo,
    RankedCandidate,
    RankReply,
    RankRequest,
    SentImage,
    Slot,
    Unreadable,
)

BASE = "lpips"  # the weights that everything is compared with


class Profile(NamedTuple):
    """Weights under the name by which requests ask for them."""

    info: ProfileInfo
    weights: LayerWeights


class Profiles:
    """The weights that requests can name: those that ship with the project."""

    def __init__(self, profiles: Mapping[str, LayerWeights]) -> None:
        self._profiles = {
            name: Profile(ProfileInfo(name, 1, hashlib.sha256(weights.values.tobytes()).hexdigest()), weights)
            for name, weights in profiles.items()
        }
        self.base = self._profiles[BASE]

    @classmethod
    def shipped(cls, backbone: str) -> Self:
        """All shipped weights; raises `WeightsError` where they belong to another backbone than `backbone`."""
        weights = {name: load_weights(name) for name in shipped_weights()}
        for one in weights.values():
            one.require_backbone(backbone)
        return cls(weights)

    def __getitem__(self, name: str) -> Profile:
        profile = self._profiles.get(name)
        if profile is None:
            detail = f"there is no profile {name!r}; there are {', '.join(self._profiles)}"
            raise UnknownProfile(detail, [Fault("/profile", detail)])
        return profile

    def names(self) -> list[str]:
        return list(self._profiles)


class Scorer:
    """Answers requests. The pipeline that embeds and compares images knows nothing of requests or weights."""

    def __init__(
        self,
        pipeline: Pipeline,
        door: Door,
        base: Profile,
        engine: EngineInfo,
        max_pixels: int,
        max_scored_pixels: int,
    ) -> None:
        self._pipeline = pipeline
        self._door = door
        self._base = base
        self._engine = engine
        self._max_pixels = max_pixels
        self._max_scored_pixels = max_scored_pixels

    async def compare(
        self, target: Slot, candidates: Sequence[Slot], resolution: int | None, ticket: Ticket
    ) -> NDArray[np.float32]:
        """Channel distances `(n, 1152)` of n candidates. Raises a `Problem`."""
        return await self._channel_distances([(target, candidate) for candidate in candidates], resolution, ticket)

    async def rank(
        self, request: RankRequest, profile: Profile, ticket: Ticket
    ) -> tuple[RankReply, NDArray[np.float32]]:
        """The candidates of a request in order, and their channel distances `(n, 1152)`. Raises a `Problem`."""
        channel_distances = await self.compare(request.target, request.candidates, request.options.resolution, ticket)
        distances = weigh(channel_distances, profile.weights.values)
        base_distances = weigh(channel_distances, self._base.weights.values)
        base_ranks = np.empty(len(distances), np.intp)
        base_ranks[np.argsort(base_distances, kind="stable")] = np.arange(1, len(distances) + 1)
        reply = RankReply(
            comparison="",  # whoever keeps the channel distances names them
            ranking=[
                RankedCandidate(
                    rank=rank,
                    index=index,
                    distance=float(distances[index]),
                    base_rank=int(base_ranks[index]),
                    base_distance=float(base_distances[index]),
                    candidate=_name(request.candidates[index]),
                )
                for rank, index in enumerate(np.argsort(distances, kind="stable").tolist(), start=1)
            ],
            target=_name(request.target),
            profile=profile.info,
            engine=self._engine,
        )
        return reply, channel_distances

    async def distance(self, request: DistanceRequest, profile: Profile, ticket: Ticket) -> DistanceReply:
        """The distances of a request's pairs. Raises a `Problem`."""
        channel_distances = await self._channel_distances(request.pairs, request.options.resolution, ticket)
        shares = distance_by_layer(channel_distances, profile.weights.values) if request.options.layers else None
        return DistanceReply(
            distances=weigh(channel_distances, profile.weights.values).tolist(),
            pairs=[PairNames(_name(target), _name(candidate)) for target, candidate in request.pairs],
            profile=profile.info,
            engine=self._engine,
            layers=None if shares is None else shares.tolist(),
        )

    async def _channel_distances(
        self, pairs: Sequence[tuple[Slot, Slot]], resolution: int | None, ticket: Ticket
    ) -> NDArray[np.float32]:
        """Channel distances `(n, 1152)` of n pairs."""
        slots = {slot.pointer: slot for pair in pairs for slot in pair}.values()
        embedded = await self._embed(slots, resolution, ticket)
        _require_equal_sizes(pairs, embedded)
        return np.stack(
            await asyncio.gather(
                *(
                    self._pipeline.compare(embedded[_hash(target)], embedded[_hash(candidate)], ticket)
                    for target, candidate in pairs
                )
            )
        )

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
        bad = await self._oversized(images.values(), resolution)
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

    async def _oversized(self, images: Collection[SentImage | HeldImage], resolution: int | None) -> dict[str, str]:
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
        return await asyncio.to_thread(_larger_than, share, sent)


def _larger_than(max_pixels: int, images: Iterable[SentImage]) -> dict[str, str]:
    bad = {}
    for image in images:
        try:
            image_size(image.content, max_pixels)
        except ImageError as error:
            bad[image.sha256] = str(error)
    return bad


def _raise_faults(slots: Iterable[Slot], bad: Mapping[str, str], not_held: Collection[str]) -> None:
    """Raise the `Problem` of the slots whose image cannot be had: `bad` says why, by hash, `not_held` has not come."""
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
    faults = []
    for target, candidate in pairs:
        (height, width), (own_height, own_width) = embedded[_hash(target)].size, embedded[_hash(candidate)].size
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


def _hash(slot: Slot) -> str:
    assert not isinstance(slot.image, Unreadable)  # noqa: S101 - such requests have been refused
    return slot.image.sha256


def _name(slot: Slot) -> str:
    return f"sha256:{_hash(slot)}"


def describe_engine(engine: Engine) -> EngineInfo:
    """What replies say of the engine."""
    return EngineInfo(engine.name, engine.device, engine.precision, engine.fingerprint)
