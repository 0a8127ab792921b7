"""JSON Schemas of the wire's structs, as msgspec writes them, with images as each encoding has them."""

from collections.abc import Iterable
from typing import Any, Final, NamedTuple

import msgspec
from litestar.openapi.spec import Reference

from clpips.service.wire.media_types import JSON, MSGPACK, MULTIPART

JsonSchema = dict[str, Any]

REFERENCE: Final = "#/components/schemas/{name}"
BYTES: Final = {"type": "string", "format": "binary"}
IN_BASE64: Final = {"type": "string", "contentEncoding": "base64"}  # as `wire/schemas.py` describes an image
IMAGES: Final[dict[str, tuple[JsonSchema, str]]] = {  # by media type: what an image is there, and how to say it
    JSON: (IN_BASE64, "In JSON the file is base64, plain or as a base64 `data:` URL."),
    MSGPACK[0]: (BYTES, "In MessagePack the file is bytes; a string is read as in JSON."),
    MULTIPART: (
        BYTES,
        "In a form the file is a file part; `sha256:…` and a base64 `data:` URL are text parts, without a file name.",
    ),
}


class Shape(NamedTuple):
    """A struct as bodies of one media type have it."""

    struct: type[msgspec.Struct]
    media_type: str = JSON

    @property
    def name(self) -> str:
        """The component's: `RankBody`, `RankForm`, or `RankBodyBinary` where MessagePack has bytes for base64."""
        name = self.struct.__name__
        if self.media_type == MULTIPART:
            return name.removesuffix("Body").removesuffix("Form") + "Form"
        return f"{name}Binary" if self.media_type != JSON and _has_images(_schemas_of(self.struct)[name]) else name

    @property
    def reference(self) -> Reference:
        return Reference(ref=REFERENCE.format(name=self.name))


def components(shapes: Iterable[Shape]) -> dict[str, JsonSchema]:
    """The schemas of these shapes and of all that they consist of, by name."""
    found: dict[str, JsonSchema] = {}
    for shape in shapes:
        schemas = _schemas_of(shape.struct)
        schema = _with_images(schemas.pop(shape.struct.__name__), *IMAGES[shape.media_type])
        found |= {**schemas, shape.name: schema | {"title": shape.name}}
    return dict(sorted(found.items()))


def _schemas_of(struct: type[msgspec.Struct]) -> dict[str, JsonSchema]:
    return msgspec.json.schema_components((struct,), ref_template=REFERENCE)[1]


def _is_image(schema: Any) -> bool:
    return isinstance(schema, dict) and schema.items() >= IN_BASE64.items()


def _has_images(schema: Any) -> bool:
    if isinstance(schema, dict):
        return _is_image(schema) or any(map(_has_images, schema.values()))
    return isinstance(schema, list) and any(map(_has_images, schema))


def _with_images(schema: Any, image: JsonSchema, saying: str) -> Any:
    """`schema` with `image` in the place of each image, and the sentence that says how it looks."""
    if _is_image(schema):
        return {"description": f"{schema['description']} {saying}", **image}
    if isinstance(schema, dict):
        return {key: _with_images(value, image, saying) for key, value in schema.items()}
    return [_with_images(value, image, saying) for value in schema] if isinstance(schema, list) else schema
