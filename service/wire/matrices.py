"""Wire contract of `/matrix`: the distances of all pairs of a set of images."""

from typing import Annotated, NamedTuple

import msgspec
import numpy as np
from msgspec import Meta, Raw
from numpy.typing import NDArray

from clpips.service.wire.bodies import check_images, form_of
from clpips.service.wire.body_memory import Body
from clpips.service.wire.faults import invalid
from clpips.service.wire.forms import Multipart
from clpips.service.wire.schemas import (
    Distance,
    EngineInfo,
    Image,
    ImageName,
    Limits,
    ProfileInfo,
    RankOptions,
    Slot,
    list_of,
)

FILE_HEADERS = ("Clpips-Diversity", "Clpips-Profile")  # of an answer that is a file


class MatrixBody(RankOptions, forbid_unknown_fields=True, kw_only=True):
    """A set of images, of which each is compared with each."""

    images: Annotated[Raw, Meta(description="The images, two or more.", extra_json_schema=list_of(Image))]


class DiversityInfo(msgspec.Struct, frozen=True):
    """How different the images of a set are: the mean distance of its pairs, with its 95 % interval."""

    mean: Annotated[float, Meta(ge=0, description="The mean distance of all pairs: the diversity score of the set.")]
    low: Annotated[
        float | None,
        Meta(description="The interval's lower end, by a jackknife over images; null of two images, which have none."),
    ]
    high: Annotated[float | None, Meta(description="Its upper end.")]


class MatrixReply(msgspec.Struct, frozen=True):
    """The distance of every image from every other."""

    distances: Annotated[
        list[list[Distance]],
        Meta(description="A row for each image, in the order they came; symmetric, 0 on the diagonal."),
    ]
    images: list[ImageName]
    diversity: DiversityInfo
    profile: ProfileInfo
    engine: EngineInfo


class MatrixRequest(NamedTuple):
    """A set of images, of which each is compared with each."""

    images: list[Slot]
    options: RankOptions


class Matrix(NamedTuple):
    """All distances of a set `(n, n)`, and what replies say beside them."""

    distances: NDArray[np.float32]
    images: list[str]
    diversity: DiversityInfo
    profile: ProfileInfo
    engine: EngineInfo


def parse_matrix(content_type: str, body: Body, limits: Limits) -> MatrixRequest:
    """The body of `/matrix` as a request. Raises a `Problem`; unreadable images become `Unreadable` slots."""
    form = form_of(content_type, body, limits)
    if isinstance(form, Multipart):
        options = form.options(RankOptions, MatrixBody)
        slots = form.images("images", "/images/{}")
    else:
        fields = form.decode(MatrixBody, body)
        options = RankOptions(profile=fields.profile, resolution=fields.resolution)
        images = form.list_of(Raw, fields.images, "/images", limits)
        slots = [form.slot(f"/images/{index}", image) for index, image in enumerate(images)]
    if len(slots) < 2:
        raise invalid("/images", "there must be at least two images")
    check_images(len(slots), "/images", options.resolution, limits)
    return MatrixRequest(slots, options)
