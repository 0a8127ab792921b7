"""The wire contract: what requests may say and what replies say, the same in JSON, MessagePack and multipart."""

from typing import Annotated, Literal, NamedTuple

import msgspec
from msgspec import Meta, Raw

from clpips.models.metric.backbone import MIN_SIDE
from clpips.models.metric.weights import DEFAULT_RESOLUTION

ProfileName = Annotated[
    str, Meta(min_length=1, max_length=128, description="Whose weights: a profile's, or shipped ones by their name.")
]
Resolution = Annotated[
    Annotated[int, Meta(ge=MIN_SIDE)] | None,
    Meta(
        description="Both images of a pair are resized to this square (pixels a side; bicubic, antialiased). "
        "`null` scores at native size and needs equal sizes within a pair."
    ),
]
Layers = Annotated[bool, Meta(description="Also answer what each of the five layers adds to each distance.")]


class RankOptions(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What `/rank` may be told beside its images."""

    profile: ProfileName = "lpips"
    resolution: Resolution = DEFAULT_RESOLUTION


class DistanceOptions(RankOptions, forbid_unknown_fields=True, kw_only=True):
    """What `/distance` may be told beside its images."""

    layers: Layers = False


# Images and lists of them stay raw at first: a list is counted before it is decoded, and every bad image of a request
# is reported, not the first alone.


class RankBody(RankOptions, forbid_unknown_fields=True, kw_only=True):
    """The body of `/rank` as JSON or MessagePack; `candidates` is a list of images."""

    target: Raw
    candidates: Raw


class DistanceBody(DistanceOptions, forbid_unknown_fields=True, kw_only=True):
    """The body of `/distance` as JSON or MessagePack; `pairs` is a list of `PairBody`."""

    pairs: Raw


class PairBody(msgspec.Struct, forbid_unknown_fields=True):
    """A target and a candidate."""

    target: Raw
    candidate: Raw


class Limits(NamedTuple):
    """What a body may ask for at most."""

    body_bytes: int
    images: int
    resolution: int


class SentImage(NamedTuple):
    """An image that came as bytes."""

    content: bytes
    sha256: str  # of the content, hex


class HeldImage(NamedTuple):
    """An image that the client names by hash, in the belief that the service still holds its features."""

    sha256: str


class Unreadable(NamedTuple):
    """Something that stands where an image should and is none."""

    detail: str


class Slot(NamedTuple):
    """A place in a request where an image stands."""

    pointer: str  # JSON pointer into the body
    image: SentImage | HeldImage | Unreadable

    @property
    def sha256(self) -> str:
        """The image's hash, hex. There must be an image: scoring refuses requests with an `Unreadable`."""
        assert not isinstance(self.image, Unreadable)  # noqa: S101 - a fault of ours, not of the client
        return self.image.sha256


class RankRequest(NamedTuple):
    """A target and the candidates to put in order."""

    target: Slot
    candidates: list[Slot]
    options: RankOptions


class DistanceRequest(NamedTuple):
    """Pairs of target and candidate."""

    pairs: list[tuple[Slot, Slot]]
    options: DistanceOptions


ImageName = Annotated[
    str,
    Meta(
        pattern="^sha256:[0-9a-f]{64}$",
        description="The image, named by the sha256 of its bytes.",
        examples=["sha256:" + "0" * 64],
    ),
]
Distance = Annotated[float, Meta(ge=0, description="0 for identical images; larger is less similar.")]


class ProfileInfo(msgspec.Struct, frozen=True):
    """The weights that an answer was computed with."""

    name: Annotated[str, Meta(examples=["lpips"])]
    version: Annotated[int, Meta(ge=0, examples=[1], description="Shipped weights have one version, 1.")]
    fingerprint: Annotated[
        str, Meta(description="sha256 of the 1152 weights; equal weights, equal fingerprint.", examples=["718a8b40…"])
    ]


class EngineInfo(msgspec.Struct, frozen=True):
    """What ran the backbone. Distances compare only where `backbone` is the same."""

    name: Annotated[str, Meta(examples=["onnx"])]
    device: Annotated[str, Meta(examples=["cpu"])]
    precision: Literal["exact", "fast"]
    backbone: Annotated[str, Meta(description="sha256 of the backbone's weights file.", examples=["112f026b…"])]


class RankedCandidate(msgspec.Struct, frozen=True):
    """A candidate in its place."""

    rank: Annotated[int, Meta(ge=1, description="1 is the most similar; equal distances keep the order they came in.")]
    index: Annotated[int, Meta(ge=0, description="Where the candidate stood in the request.")]
    distance: Distance
    base_rank: Annotated[int, Meta(ge=1, description="Its rank by plain LPIPS.")]
    base_distance: Annotated[float, Meta(ge=0, description="Its distance by plain LPIPS.")]
    candidate: ImageName


class RankReply(msgspec.Struct, frozen=True):
    """Candidates, the most similar first."""

    comparison: Annotated[
        str, Meta(description="Names this comparison for a while: send the person's own order back with it.")
    ]
    ranking: list[RankedCandidate]
    target: ImageName
    profile: ProfileInfo
    engine: EngineInfo


class PairNames(msgspec.Struct, frozen=True):
    """The two images of a pair, by hash."""

    target: ImageName
    candidate: ImageName


LayerShares = Annotated[list[float], Meta(min_length=5, max_length=5)]


class DistanceReply(msgspec.Struct, frozen=True, omit_defaults=True):
    """A distance for each pair, in the order of the request."""

    distances: list[Distance]
    pairs: list[PairNames]
    profile: ProfileInfo
    engine: EngineInfo
    layers: Annotated[
        list[LayerShares] | None, Meta(description="For each pair, what the five layers add; they sum to the distance.")
    ] = None
