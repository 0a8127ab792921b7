"""What the OpenAPI page says of the operations on profiles, with examples that work when pasted."""

from dataclasses import dataclass
from typing import Any

from litestar.openapi.spec import Example, OpenAPIMediaType, OpenAPIResponse, Operation, RequestBody, Schema
from litestar.openapi.spec.enums import OpenAPIFormat, OpenAPIType

from clpips.models.metric.backbone import MIN_SIDE
from clpips.models.metric.weights import DEFAULT_RESOLUTION
from clpips.service.openapi.operations import BLUE, ORANGE, RED, base64_image, binary_image, list_schema, object_schema
from clpips.service.wire.encodings import JSON, MSGPACK
from clpips.service.wire.forms import MULTIPART
from clpips.service.wire.profile_schemas import MAX_INTEGER, NAME_PATTERN

WEIGHTS = "application/octet-stream"
JSON_LINES = "application/jsonl"


def _whole(minimum: int, description: str = "") -> Schema:
    return Schema(type=OpenAPIType.INTEGER, minimum=minimum, maximum=MAX_INTEGER, description=description or None)


def _text(description: str, **limits: Any) -> Schema:
    return Schema(type=OpenAPIType.STRING, description=description, **limits)


def _fields(schema: Schema, example: dict[str, Any]) -> RequestBody:
    """A small body without images."""
    content = {
        media_type: OpenAPIMediaType(schema=schema, examples={"example": Example(value=example)})
        for media_type in (JSON, MSGPACK[0], MULTIPART)
    }
    return RequestBody(content=content, required=True)


def _file(description: str, media_type: str) -> OpenAPIResponse:
    schema = Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY)
    return OpenAPIResponse(description=description, content={media_type: OpenAPIMediaType(schema=schema)})


@dataclass
class CreateOperation(Operation):
    """`POST /profiles`."""

    def __post_init__(self) -> None:
        properties = {
            "name": _text("Letters, digits and `. _ @ -`, at most 128.", pattern=NAME_PATTERN),
            "parent": _text("Whose weights it begins with: shipped ones, or a profile of yours.", default="lpips"),
        }
        self.request_body = _fields(object_schema(properties, ["name"]), {"name": "ada", "parent": "lpips"})


def _person_order(form: bool) -> dict[str, Schema]:
    """The fields that say what a person thinks; a form writes lists as text."""
    order = "The candidates' indices, the most similar first; each exactly once."
    ranks = "A rank for each candidate, 1 for the most similar; equal ranks are ties."
    if form:
        return {"order": _text(order + " Like `1,0`."), "ranks": _text(ranks + " Like `2,1`.")}
    return {
        "order": Schema(type=OpenAPIType.ARRAY, items=_whole(0), min_items=2, description=order),
        "ranks": Schema(type=OpenAPIType.ARRAY, items=_whole(1), min_items=2, description=ranks),
    }


def _ranking(image: Schema, *, form: bool = False) -> Schema:
    properties = {
        **_person_order(form),
        "comparison": _text("The id that `/rank` answered; in place of the images."),
        "target": image,
        "candidates": list_schema(image, "The images that were put in order."),
        "rater": _text("Who ordered them, where several people teach one profile.", max_length=128),
        "resolution": Schema(
            one_of=[_whole(MIN_SIDE), Schema(type=OpenAPIType.NULL)],
            default=DEFAULT_RESOLUTION,
            description="The scoring resolution of images that are sent.",
        ),
    }
    return object_schema(properties, [])


@dataclass
class RankingOperation(Operation):
    """`POST /profiles/{name}/rankings`."""

    def __post_init__(self) -> None:
        with_images = {"target": RED, "candidates": [BLUE, ORANGE], "order": [1, 0], "rater": "ada"}
        examples = {
            "images": Example(summary="Images and their order", value=with_images),
            "comparison": Example(
                summary="A comparison, re-ordered", value={"comparison": "id from /rank", "order": [1, 0]}
            ),
        }
        forms = {
            JSON: _ranking(base64_image()),
            MSGPACK[0]: _ranking(binary_image()),
            MULTIPART: _ranking(binary_image(), form=True),
        }
        self.request_body = RequestBody(
            content={
                media_type: OpenAPIMediaType(schema=schema, examples=dict(examples) if media_type == JSON else None)
                for media_type, schema in forms.items()
            },
            required=True,
            description="`order` or `ranks`, of a `comparison` or of images.",
        )


@dataclass
class RollbackOperation(Operation):
    """`POST /profiles/{name}/rollback`."""

    def __post_init__(self) -> None:
        self.request_body = _fields(object_schema({"version": _whole(1)}, ["version"]), {"version": 1})


@dataclass
class ExportWeightsOperation(Operation):
    """`GET /profiles/{name}/weights`."""

    def __post_init__(self) -> None:
        self.responses = {**(self.responses or {}), "200": _file("The weights, as safetensors.", WEIGHTS)}


@dataclass
class ImportOperation(Operation):
    """`PUT /profiles/{name}/weights`."""

    def __post_init__(self) -> None:
        schema = Schema(type=OpenAPIType.STRING, format=OpenAPIFormat.BINARY, description="A weights file.")
        self.request_body = RequestBody(content={WEIGHTS: OpenAPIMediaType(schema=schema)}, required=True)


@dataclass
class ExportRankingsOperation(Operation):
    """`GET /profiles/{name}/rankings`."""

    def __post_init__(self) -> None:
        self.responses = {**(self.responses or {}), "200": _file("One ranking a line.", JSON_LINES)}
