"""The heart: a request's images → features, each distinct image once → channel distances → distances and an order."""

import asyncio
import hashlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from models.backbone import TOTAL_CHANNELS
from models.distance import layer_shares, weigh
from models.engines import Engine
from models.images import ImageError
from models.weights import LayerWeights, load_weights, shipped_weights
from service.errors import BadImages, Fault, ImagesNotHeld, MalformedBody, UnknownProfile
from service.faults import invalid
from service.schemas import (
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
from service.workers import Pixels, grouped

BASE = "lpips"  # the weights that everything is compared with
DECODES_AT_ONCE = 8  # images of one request in the line for the decoding threads: a small request overtakes a large one


class Decode(Protocol):
    """Image bytes → pixels at the scoring resolution; raises `ImageError`."""

    async def __call__(self, content: bytes, resolution: int | None, max_pixels: int) -> Pixels: ...


class Embed(Protocol):
    """Pixels of any sizes → features of each."""

    async def __call__(self, images: Sequence[Pixels]) -> Sequence[Any]: ...


class Compare(Protocol):
    """Features of n pairs of equally large images → channel distances `(n, 1152)`."""

    async def __call__(self, targets: Sequence[Any], candidates: Sequence[Any]) -> NDArray[np.float32]: ...


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
    """Answers requests. What decodes, embeds and compares is handed in, and need not know of requests or weights."""

    def __init__(
        self,
        decode: Decode,
        embed: Embed,
        compare: Compare,
        profiles: Profiles,
        engine: EngineInfo,
        max_pixels: int,
        max_scored_pixels: int,
    ) -> None:
        self._decode = decode
        self._embed = embed
        self._compare = compare
        self._profiles = profiles
        self._engine = engine
        self._max_pixels = max_pixels
        self._max_scored_pixels = max_scored_pixels

    async def rank(self, request: RankRequest) -> RankReply:
        """The candidates of a request in order. Raises a `Problem`."""
        profile = self._profiles[request.options.profile]
        channel_distances = await self._channel_distances(
            [(request.target, candidate) for candidate in request.candidates], request.options.resolution
        )
        distances = weigh(channel_distances, profile.weights.values)
        base_distances = weigh(channel_distances, self._profiles.base.weights.values)
        base_ranks = np.empty(len(distances), np.intp)
        base_ranks[np.argsort(base_distances, kind="stable")] = np.arange(1, len(distances) + 1)
        return RankReply(
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

    async def distance(self, request: DistanceRequest) -> DistanceReply:
        """The distances of a request's pairs. Raises a `Problem`."""
        profile = self._profiles[request.options.profile]
        channel_distances = await self._channel_distances(request.pairs, request.options.resolution)
        shares = layer_shares(channel_distances, profile.weights.values) if request.options.layers else None
        return DistanceReply(
            distances=weigh(channel_distances, profile.weights.values).tolist(),
            pairs=[PairNames(_name(target), _name(candidate)) for target, candidate in request.pairs],
            profile=profile.info,
            engine=self._engine,
            layers=None if shares is None else shares.tolist(),
        )

    async def _channel_distances(
        self, pairs: Sequence[tuple[Slot, Slot]], resolution: int | None
    ) -> NDArray[np.float32]:
        """Channel distances `(n, 1152)` of n pairs."""
        slots = {slot.pointer: slot for pair in pairs for slot in pair}.values()
        pixels = await self._pixels(slots, resolution)
        if resolution is None:
            _require_equal_sizes(pairs, pixels)
        features = dict(zip(pixels, await self._embed(list(pixels.values())), strict=True))
        named = [(_hash(target), _hash(candidate)) for target, candidate in pairs]
        channel_distances = np.empty((len(pairs), TOTAL_CHANNELS), np.float32)
        for places in grouped(pixels[target].shape for target, _ in named).values():  # one, but at native size
            targets = [features[named[place][0]] for place in places]
            candidates = [features[named[place][1]] for place in places]
            channel_distances[places] = await self._compare(targets, candidates)
        return channel_distances

    async def _pixels(self, slots: Iterable[Slot], resolution: int | None) -> dict[str, Pixels]:
        """The pixels of each distinct image by hash; raises a `Problem` that names every slot that has none."""
        images = [slot.image for slot in slots]
        contents = {image.sha256: image.content for image in images if isinstance(image, SentImage)}
        max_pixels = self._fitting(len(contents), resolution)
        share = asyncio.Semaphore(DECODES_AT_ONCE)

        async def decode(content: bytes) -> Pixels:
            async with share:
                return await self._decode(content, resolution, max_pixels)

        outcomes = await asyncio.gather(*map(decode, contents.values()), return_exceptions=True)
        pixels: dict[str, Pixels] = {}
        bad: dict[str, str] = {}
        for sha256, outcome in zip(contents, outcomes, strict=True):
            if isinstance(outcome, ImageError):
                bad[sha256] = str(outcome)
            elif isinstance(outcome, BaseException):
                raise outcome
            else:
                pixels[sha256] = outcome
        _raise_faults(slots, bad)
        return pixels

    def _fitting(self, count: int, resolution: int | None) -> int:
        """Most pixels that each of `count` distinct images may have as sent, so that all fit at `resolution`."""
        if resolution is None:
            return min(self._max_pixels, self._max_scored_pixels // max(count, 1))
        if count * resolution**2 > self._max_scored_pixels:
            raise invalid(
                "/resolution",
                f"{count} images of {resolution}×{resolution} pixels are more than the {self._max_scored_pixels:,} "
                "pixels that a request may have; send fewer images, or a lower resolution",
            )
        return self._max_pixels


def _raise_faults(slots: Iterable[Slot], bad: Mapping[str, str]) -> None:
    """Raise the `Problem` of the slots whose image cannot be had; `bad` says why, by hash, for those that were sent."""
    faults: list[Fault] = []
    not_held: list[Fault] = []
    kind: type[MalformedBody | BadImages] = BadImages
    for pointer, image in slots:
        if isinstance(image, Unreadable):
            kind = MalformedBody
            faults.append(Fault(pointer, image.detail))
        elif isinstance(image, HeldImage):
            not_held.append(Fault(pointer, f"sha256:{image.sha256} is not held here; send the image's bytes"))
        elif image.sha256 in bad:
            faults.append(Fault(pointer, bad[image.sha256]))
    if faults:
        raise kind(_count(len(faults), "cannot be used"), faults)
    if not_held:
        raise ImagesNotHeld(_count(len(not_held), "must be sent"), not_held)


def _count(faults: int, complaint: str) -> str:
    return f"{faults} image{'s' if faults > 1 else ''} of the request {complaint}: see `errors`"


def _require_equal_sizes(pairs: Sequence[tuple[Slot, Slot]], pixels: Mapping[str, Pixels]) -> None:
    faults = []
    for target, candidate in pairs:
        (height, width, _), (own_height, own_width, _) = pixels[_hash(target)].shape, pixels[_hash(candidate)].shape
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
