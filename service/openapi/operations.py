"""What the OpenAPI page says of the scoring operations: three forms of a body, with examples that work when pasted."""

import base64
import io
from dataclasses import dataclass
from typing import Any

import numpy as np
from litestar.openapi.datastructures import ResponseSpec
from litestar.openapi.spec import Example, OpenAPIMediaType, OpenAPIResponse, Operation, Reference, RequestBody, Schema
from litestar.openapi.spec.enums import OpenAPIFormat, OpenAPIType
from PIL import Image

from clpips.models.metric.backbone import MIN_SIDE
from clpips.models.metric.weights import DEFAULT_RESOLUTION
from clpips.service.problems import MEDIA_TYPE, ProblemDetails
from clpips.service.wire.encodings import JSON, MSGPACK
from clpips.service.wire.forms import MULTIPART

REASONS = {
    400: "The body is not what its content type says, or an image in it is not base64.",
    401: "The API key is missing or not known.",
    403: "The API key may not do this, or a limit of the tenant is reached.",
    404: "There is no such profile, version or comparison.",
    408: "The body came too slowly.",
    409: "An image is named by a hash whose features the service does not hold.",
    413: "The body is too large.",
    415: "The body's content type or encoding is not one that the service reads.",
    422: "The request is not valid, or images in it cannot be used.",
    429: "The API key has sent more requests than its rate allows.",
    500: "The service failed on this request.",
    503: "The service cannot take requests at this moment: overloaded (`Retry-After` says when to come back), "
    "stopping, or not ready.",
    504: "The answer was not there when the request's deadline passed.",
}

_IMAGE_FORMS = "PNG, JPEG, WebP, AVIF, BMP, TIFF, GIF (first frame) or `.npy` bytes of a uint8 `(H, W, 3)` array"


def problems(*statuses: int) -> dict[int, ResponseSpec]:
    """The problem+json answers with these statuses."""
    return {
        status: ResponseSpec(
            ProblemDetails, media_type=MEDIA_TYPE, description=REASONS[status], generate_examples=False
        )
        for status in statuses
    }


def _tiny_png(colour: tuple[int, int, int]) -> str:
    """A PNG of 8×8 pixels of one colour with a light stripe, as a `data:` URL."""
    pixels = np.full((8, 8, 3), colour, np.uint8)
    pixels[3:5] = 240
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", optimize=True)
    return "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()


RED, ORANGE, BLUE = (_tiny_png(colour) for colour in ((200, 30, 30), (230, 120, 30), (30, 60, 200)))
RANK_EXAMPLE = {"target": RED, "candidates": [BLUE, ORANGE], "profile": "lpips", "resolution": DEFAULT_RESOLUTION}
DISTANCE_OPTIONS = {"profile": "lpips", "resolution": DEFAULT_RESOLUTION, "layers": True}
DISTANCE_EXAMPLE = {
    "pairs": [{"target": RED, "candidate": ORANGE}, {"target": RED, "candidate": BLUE}],
    **DISTANCE_OPTIONS,
}
DISTANCE_FORM_EXAMPLE = {"target": [RED, RED], "candidate": [ORANGE, BLUE], **DISTANCE_OPTIONS}

RANK_DESCRIPTION = f"""
Order the candidates by their distance from the target, the most similar first; equal distances keep their order.

Image files go as a form, `curl -F target=@t.png -F candidates=@a.png -F candidates=@b.png HOST/rank`, or as bytes in
MessagePack (`{MSGPACK[0]}`, `{MSGPACK[1]}` or `{MSGPACK[2]}`); in JSON they are base64.
"""
DISTANCE_DESCRIPTION = f"""
The distance of each pair, in the order they came.

As a form, the first `target` goes with the first `candidate` and so on: `curl -F target=@t.png -F candidate=@a.png
HOST/distance`. MessagePack (`{MSGPACK[0]}`, `{MSGPACK[1]}` or `{MSGPACK[2]}`) takes bytes; in JSON images are base64.
"""


def base64_image() -> Schema:
    """An image in JSON."""
    return Schema(
        type=OpenAPIType.STRING,
        content_encoding="base64",
        description=f"An image: {_IMAGE_FORMS}, in base64, or as a base64 `data:` URL, or named `sha256:` and the hash "
        "of its bytes where the service still holds it.",
    )


def binary_image() -> Schema:
    """An image as bytes."""
    return Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY, description=f"An image: {_IMAGE_FORMS}.")


def _options() -> dict[str, Any]:
    return {
        "profile": Schema(
            type=OpenAPIType.STRING,
            default="lpips",
            min_length=1,
            max_length=128,
            description="Whose weights: a profile of yours, or shipped ones by their name.",
        ),
        "resolution": Schema(
            one_of=[Schema(type=OpenAPIType.INTEGER, minimum=MIN_SIDE), Schema(type=OpenAPIType.NULL)],
            default=DEFAULT_RESOLUTION,
            description="Both images of a pair are resized to this square, in pixels a side (bicubic, antialiased). "
            "`null` scores at native size and needs equal sizes within a pair.",
        ),
    }


def _layers() -> Schema:
    return Schema(type=OpenAPIType.BOOLEAN, default=False, description="Also answer what each of the five layers adds.")


def object_schema(properties: dict[str, Any], required: list[str]) -> Schema:
    """An object that has no other properties."""
    return Schema(type=OpenAPIType.OBJECT, properties=properties, required=required, additional_properties=False)


def list_schema(items: Schema, description: str) -> Schema:
    """A list of at least one item."""
    return Schema(type=OpenAPIType.ARRAY, items=items, min_items=1, description=description)


def _rank_schema(image: Schema) -> Schema:
    candidates = list_schema(image, "The images to put in order.")
    return object_schema({"target": image, "candidates": candidates, **_options()}, ["target", "candidates"])


def _distance_schema(image: Schema) -> Schema:
    pair = object_schema({"target": image, "candidate": image}, ["target", "candidate"])
    return object_schema(
        {"pairs": list_schema(pair, "The pairs to compare."), **_options(), "layers": _layers()}, ["pairs"]
    )


def _distance_form() -> Schema:
    image = binary_image()
    parts = {
        "target": list_schema(image, "The target of each pair."),
        "candidate": list_schema(image, "The candidate of each pair; as many as there are targets."),
    }
    return object_schema({**parts, **_options(), "layers": _layers()}, ["target", "candidate"])


def _body(*forms: tuple[str, Schema, dict[str, Any]]) -> RequestBody:
    content = {}
    for media_type, schema, example in forms:
        examples: dict[str, Example | Reference] = {"colours": Example(summary="Three tiny images", value=example)}
        content[media_type] = OpenAPIMediaType(schema=schema, examples=examples)
    return RequestBody(content=content, required=True, description="The same request in any of these forms.")


def _also_as_messagepack(operation: Operation) -> None:
    """Say that a reply comes as MessagePack too."""
    answer = (operation.responses or {})["200"]
    if isinstance(answer, OpenAPIResponse) and answer.content:
        answer.content[MSGPACK[0]] = answer.content[JSON]


@dataclass
class RankOperation(Operation):
    """`POST /rank`."""

    def __post_init__(self) -> None:
        self.summary = "Rank candidates"
        self.description = RANK_DESCRIPTION.strip()
        binary = _rank_schema(binary_image())
        self.request_body = _body(
            (JSON, _rank_schema(base64_image()), RANK_EXAMPLE),
            (MULTIPART, binary, RANK_EXAMPLE),
            (MSGPACK[0], binary, RANK_EXAMPLE),
        )
        _also_as_messagepack(self)


@dataclass
class DistanceOperation(Operation):
    """`POST /distance`."""

    def __post_init__(self) -> None:
        self.summary = "Measure pairs"
        self.description = DISTANCE_DESCRIPTION.strip()
        self.request_body = _body(
            (JSON, _distance_schema(base64_image()), DISTANCE_EXAMPLE),
            (MULTIPART, _distance_form(), DISTANCE_FORM_EXAMPLE),
            (MSGPACK[0], _distance_schema(binary_image()), DISTANCE_EXAMPLE),
        )
        _also_as_messagepack(self)
