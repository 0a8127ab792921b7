"""Wire contract of `/heatmap`: what a request may say, and what stands in the headers of its answer."""

from typing import Annotated, Literal, NamedTuple

from msgspec import UNSET, Meta, UnsetType

from clpips.models.metric.nets import NETS
from clpips.models.metric.spatial import Upsampling
from clpips.service.wire.bodies import check_images, form_of
from clpips.service.wire.body_memory import Body
from clpips.service.wire.faults import invalid
from clpips.service.wire.forms import Multipart
from clpips.service.wire.media_types import NPY, PNG
from clpips.service.wire.schemas import Image, Limits, MaskImage, RankOptions, Slot

HEADERS = ("Clpips-Distance", "Clpips-Families", "Clpips-Unplaced", "Clpips-Legend", "Clpips-Layers", "Clpips-Profile")
MOST_LAYERS = max(len(net.channels) for net in NETS.values())  # that a backbone has
LARGEST = 1e12  # value of a map: weights go so far

Format = Literal["png", "npy"]
Style = Literal["map", "overlay"]
Upsample = Upsampling
FORMAT = "A picture, or the values: float32 `(H, W)` of the scored size as a `.npy` file."
STYLE = (
    "The map alone, or laid over the candidate, which is then shown in grey. An overlay needs the candidate's pixels: "
    "where they did not come with the request and are not held any more, 409."
)
UPSAMPLE = (
    "How each layer's grid becomes pixels. `nearest`: the mean of the map is the aligned part of the distance. "
    "`bilinear`: smooth, as `lpips.LPIPS(spatial=True)` has it."
)
LAYER = (
    "The part of one of the backbone's layers alone: of AlexNet's five, 1 for edges to 5 for things; without it, or "
    "with `null`, all."
)
OPACITY = "Of an overlay: which part of the picture is the map's."
HIGH = (
    "The value of the lightest colour: give the same to several maps to compare them. Without it, or with `null`, it "
    "is the map's own largest value. The darkest is always 0."
)


class HeatmapOptions(RankOptions, forbid_unknown_fields=True, kw_only=True):
    """What `/heatmap` may be told beside its images."""

    format: Annotated[Format, Meta(description=FORMAT)] = "png"
    style: Annotated[Style, Meta(description=STYLE)] = "map"
    upsample: Annotated[Upsample, Meta(description=UPSAMPLE)] = "nearest"
    layer: Annotated[Annotated[int, Meta(ge=1, le=MOST_LAYERS)] | None, Meta(description=LAYER)] = None
    opacity: Annotated[float, Meta(ge=0, le=1, description=OPACITY)] = 0.6
    high: Annotated[Annotated[float, Meta(gt=0, le=LARGEST)] | None, Meta(description=HIGH)] = None


class HeatmapBody(HeatmapOptions, forbid_unknown_fields=True, kw_only=True):
    """A target and a candidate, and how to show where they differ."""

    target: Image
    candidate: Image
    mask: MaskImage | UnsetType = UNSET


class HeatmapRequest(NamedTuple):
    """A target, a candidate, and how to show where they differ."""

    target: Slot
    candidate: Slot
    options: HeatmapOptions
    mask: Slot | None = None


class Heatmap(NamedTuple):
    """A finished map: the file, and what its headers say, by their names."""

    content: bytes
    media_type: str
    headers: dict[str, str]


def media_type_of(options: HeatmapOptions) -> str:
    """The media type of the answer."""
    return PNG if options.format == "png" else NPY


def parse_heatmap(content_type: str, body: Body, limits: Limits) -> HeatmapRequest:
    """The body of `/heatmap` as a request. Raises a `Problem`; unreadable images become `Unreadable` slots."""
    form = form_of(content_type, body, limits)
    if isinstance(form, Multipart):
        options = form.options(HeatmapOptions, HeatmapBody)
        target, candidate, mask = form.one("target"), form.one("candidate"), form.optional("mask")
    else:
        fields = form.decode(HeatmapBody, body)
        options = HeatmapOptions(**{name: getattr(fields, name) for name in HeatmapOptions.__struct_fields__})
        target, candidate = form.slot("/target", fields.target), form.slot("/candidate", fields.candidate)
        mask = form.optional_slot("/mask", fields.mask)
    require_drawable(options)
    check_images(2 + (mask is not None), "/candidate", options.resolution, limits)
    return HeatmapRequest(target, candidate, options, mask)


def require_drawable(options: HeatmapOptions) -> None:
    """Raise `InvalidRequest` for options that contradict each other."""
    if options.format == "npy" and options.style == "overlay":
        raise invalid("/style", "an overlay is a picture and has no values: ask for the format png, or the style map")
