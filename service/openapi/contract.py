"""OpenAPI operations from contracts: what a route takes, answers and refuses, in structs and kinds of problem."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import msgspec
from litestar.openapi.config import OpenAPIConfig
from litestar.openapi.spec import (
    Example,
    OpenAPI,
    OpenAPIMediaType,
    OpenAPIResponse,
    Operation,
    Parameter,
    Reference,
    RequestBody,
    Schema,
)
from litestar.openapi.spec.enums import OpenAPIFormat, OpenAPIType

from clpips.service.openapi.headers import REQUEST_ID, TRACEPARENT, headers, parameters
from clpips.service.openapi.problems import EVERYWHERE, Kinds, problem_responses
from clpips.service.openapi.schemas import Shape, components
from clpips.service.problems import ProblemDetails, Unauthenticated
from clpips.service.wire.media_types import JSON, MSGPACK

ANSWER_TYPES = (JSON, MSGPACK[0])  # what `wire/replies.py` writes


@dataclass(frozen=True)
class Body:
    """What a route takes in one media type."""

    shape: type[msgspec.Struct] | None  # None: a file
    examples: Mapping[str, Any] = field(default_factory=dict)  # by what they show


@dataclass(frozen=True)
class Answer:
    """What a route answers where all is well."""

    description: str
    shape: type[msgspec.Struct] | None  # None: a file, or text
    media_types: tuple[str, ...] = ANSWER_TYPES
    headers: tuple[str, ...] = ()
    files: tuple[str, ...] = ()  # further media types, in which it is a file


@dataclass(frozen=True)
class Contract:
    """What a route takes, answers and refuses. Parameters of path and query are in the handler's signature."""

    answers: Mapping[int, Answer]
    problems: Kinds = field(default_factory=dict)
    bodies: Mapping[str, Body] = field(default_factory=dict)  # by media type
    headers: tuple[str, ...] = ()  # of the request
    notes: str = ""  # how to call it, after what the handler's docstring says it does

    def shapes(self) -> list[Shape]:
        """Every struct that goes over the wire here."""
        taken = [Shape(body.shape, media_type) for media_type, body in self.bodies.items() if body.shape]
        return [*taken, *(Shape(answer.shape) for answer in self.answers.values() if answer.shape)]


@dataclass
class ContractedOperation(Operation):
    """An operation that says what its contract says; the framework adds names, tags and parameters."""

    contract: ClassVar[Contract]

    def __post_init__(self) -> None:
        contract = self.contract
        self.description = "\n\n".join(filter(None, [self.description, contract.notes]))
        named = self.parameters or []
        query = any(isinstance(one, Parameter) and one.param_in == "query" for one in named)
        self.parameters = [*named, *parameters((*contract.headers, REQUEST_ID, TRACEPARENT))]
        if Unauthenticated not in contract.problems:
            self.security = []  # no key, where the others may need one
        if contract.bodies:
            content = {media_type: _body(media_type, body) for media_type, body in contract.bodies.items()}
            self.request_body = RequestBody(content=content, required=True)
        self.responses = {
            **{str(status): _answer(answer) for status, answer in contract.answers.items()},
            **problem_responses({**EVERYWHERE, **contract.problems}, query=query),
        }


def _body(media_type: str, body: Body) -> OpenAPIMediaType:
    examples: dict[str, Example | Reference] = {
        name: Example(summary=name, value=value) for name, value in body.examples.items()
    }
    schema = _content(media_type) if body.shape is None else Shape(body.shape, media_type).reference
    return OpenAPIMediaType(schema=schema, examples=examples or None)


def _answer(answer: Answer) -> OpenAPIResponse:
    return OpenAPIResponse(
        description=answer.description,
        headers=headers(*answer.headers),
        content={
            media_type: OpenAPIMediaType(
                schema=_content(media_type) if answer.shape is None else Shape(answer.shape).reference
            )
            for media_type in answer.media_types
        }
        | {media_type: OpenAPIMediaType(schema=_content(media_type)) for media_type in answer.files},
    )


def _content(media_type: str) -> Schema:
    """Content that is no struct: text, or a file."""
    binary = None if media_type.startswith("text/") else OpenAPIFormat.BINARY
    return Schema(type=OpenAPIType.STRING, format=binary)


class _Document(OpenAPI):
    """The whole document; the schemas in it are msgspec's, not the framework's."""

    def to_schema(self) -> dict[str, Any]:
        operations = (
            operation
            for path in (self.paths or {}).values()
            for operation in (path.get, path.put, path.post, path.delete)
            if isinstance(operation, ContractedOperation)
        )
        shapes = [shape for operation in operations for shape in operation.contract.shapes()]
        document = super().to_schema()
        document["components"]["schemas"] = components([*shapes, Shape(ProblemDetails)])
        return document


class ContractConfig(OpenAPIConfig):
    """The framework's settings for a document of contracted operations."""

    def to_openapi_schema(self) -> OpenAPI:
        return _Document(**vars(super().to_openapi_schema()))
