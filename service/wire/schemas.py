"""Wire contract of scoring: what requests may say and what replies say, the same in JSON, MessagePack and multipart.

The structs are the one place where a field is described: they decode bodies, and the API document is made of them.
"""

from typing import Annotated, Any, Literal, NamedTuple

import msgspec
from msgspec import UNSET, Meta, Raw, UnsetType

from clpips.models.metric.backbone import DEFAULT_RESOLUTION, MIN_SIDE

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
Layers = Annotated[
    bool,
    Meta(description="Also answer what each of the backbone's layers and each family adds to each distance."),
]


class RankOptions(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What `/rank` may be told beside its images."""

    profile: ProfileName = "lpips"
    resolution: Resolution = DEFAULT_RESOLUTION


class DistanceOptions(RankOptions, forbid_unknown_fields=True, kw_only=True):
    """What `/distance` may be told beside its images."""

    layers: Layers = False


def list_of(item: Any) -> dict[str, Any]:
    """The JSON Schema of a list that stays raw when its body is decoded: one `item` or more."""
    (schema,), components = msgspec.json.schema_components((item,))
    return {"type": "array", "minItems": 1, "items": components.get(getattr(item, "__name__", ""), schema)}


# Images and lists of them stay raw at first: a list is counted before it is decoded, and every bad image of a request
# is reported, not the first alone. How an image looks in JSON, in MessagePack and in a form: `openapi/schemas.py`.
Image = Annotated[
    Raw,
    Meta(
        description="PNG, JPEG, WebP, AVIF, BMP, TIFF, GIF (first frame) or `.npy` bytes of a uint8 `(H, W, 3)` array; "
        "or `sha256:` and the hash of its bytes, where the service still holds what it computed of it.",
        extra_json_schema={"type": "string", "contentEncoding": "base64"},
    ),
]
_MASK: dict[str, Any] = {
    "description": "A grey image of 8 bits, or `.npy` bytes of a uint8 `(H, W)` array, of the size of the target's "
    "picture: 255 counts fully, 0 not at all.",
    "type": "string",
    "contentEncoding": "base64",
}
MaskImage = Annotated[
    Raw,
    Meta(
        description="Which region of the target counts. Without one, or with `null`, all of it does.",
        extra_json_schema={"anyOf": [_MASK, {"type": "null"}]},
    ),
]
Candidates = Annotated[Raw, Meta(description="The images to put in order.", extra_json_schema=list_of(Image))]


class RankBody(RankOptions, forbid_unknown_fields=True, kw_only=True):
    """A target and the candidates to put in order."""

    target: Image
    candidates: Candidates
    mask: MaskImage | UnsetType = UNSET


class PairBody(msgspec.Struct, forbid_unknown_fields=True):
    """A target and a candidate; a mask of its own goes before the one of all pairs."""

    target: Image
    candidate: Image
    mask: MaskImage | UnsetType = UNSET


class DistanceBody(DistanceOptions, forbid_unknown_fields=True, kw_only=True):
    """Pairs to compare."""

    pairs: Annotated[Raw, Meta(description="The pairs to compare.", extra_json_schema=list_of(PairBody))]
    mask: MaskImage | UnsetType = UNSET


class DistanceForm(DistanceOptions, forbid_unknown_fields=True, kw_only=True):
    """Pairs to compare as parts of a form: the first `target` goes with the first `candidate`, and so on."""

    target: Annotated[Raw, Meta(description="The target of each pair.", extra_json_schema=list_of(Image))]
    candidate: Annotated[
        Raw,
        Meta(description="The candidate of each pair; as many as there are targets.", extra_json_schema=list_of(Image)),
    ]
    mask: (
        Annotated[
            Raw,
            Meta(
                description="What counts of the targets: one mask for all pairs, or one for each pair.",
                extra_json_schema={"type": "array", "minItems": 1, "items": _MASK},
            ),
        ]
        | UnsetType
    ) = UNSET


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
    mask: Slot | None = None


class DistanceRequest(NamedTuple):
    """Pairs of target and candidate."""

    pairs: list[tuple[Slot, Slot]]
    options: DistanceOptions
    masks: list[Slot | None] | None = None  # one for each pair


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
        str, Meta(description="sha256 of the weights; equal weights, equal fingerprint.", examples=["718a8b40…"])
    ]


class EngineInfo(msgspec.Struct, frozen=True):
    """What ran the backbone. Distances compare only where `backbone` is the same."""

    name: Annotated[str, Meta(examples=["onnx"])]
    device: Annotated[str, Meta(examples=["cpu"])]
    precision: Literal["exact", "fast"]
    convolution: Annotated[
        Literal["direct", "winograd"],
        Meta(description="How it convolves; distances of the two differ by rounding, some 1e-7."),
    ]
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


LayerShares = Annotated[list[float], Meta(min_length=5, max_length=7)]  # a backbone's taps: AlexNet has 5
FamilyShares = Annotated[
    dict[str, float], Meta(examples=[{"aligned": 0.2, "mean": 0.1, "std": 0.1}], extra_json_schema={"minProperties": 1})
]


class DistanceReply(msgspec.Struct, frozen=True, omit_defaults=True):
    """A distance for each pair, in the order of the request."""

    distances: list[Distance]
    pairs: list[PairNames]
    profile: ProfileInfo
    engine: EngineInfo
    layers: Annotated[
        list[LayerShares] | None,
        Meta(
            description="For each pair, what the backbone's layers (AlexNet has five) add; with what the content "
            "network's families add they sum to the distance."
        ),
    ] = None
    families: Annotated[
        list[FamilyShares] | None,
        Meta(description="For each pair, what each family of channels adds; they sum to the distance."),
    ] = None


class Health(msgspec.Struct, frozen=True):
    """The service is well."""

    status: Literal["alive", "ready"]
