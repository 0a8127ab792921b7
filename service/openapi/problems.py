"""Problem details in the API document: what each status means on a route, by the kinds of problem that answer it."""

import inspect
from collections.abc import Mapping
from http import HTTPStatus
from typing import Final

from litestar.openapi.spec import Example, OpenAPIMediaType, OpenAPIResponse, Reference

from clpips.service.openapi.headers import PROBLEM_HEADERS, headers
from clpips.service.openapi.schemas import Shape
from clpips.service.problems import (
    MEDIA_TYPE,
    BadImages,
    BodyTooLarge,
    DeadlinePassed,
    Forbidden,
    HostRefused,
    ImagesNotHeld,
    InvalidRequest,
    MalformedBody,
    NotReady,
    OriginRefused,
    Overloaded,
    Problem,
    ProblemDetails,
    RequestTimeout,
    StorageUnavailable,
    TooManyRequests,
    Unauthenticated,
    UnsupportedContent,
)

Kinds = Mapping[type[Problem], str]  # with what each means on the route

# What the framework, or a fault of the service, answers on every route: problem details of the type `about:blank`.
UNNAMED: Final = {
    400: "A header is broken.",
    500: "The service failed on this request; its log has the reason under the request's id.",
}
WITH_A_QUERY: Final = {**UNNAMED, 400: "A query parameter has a value that it cannot have, or a header is broken."}


def kinds(*types: type[Problem]) -> dict[type[Problem], str]:
    """These kinds, each in the words of its own class."""
    return {kind: " ".join(inspect.cleandoc(kind.__doc__ or "").split()) for kind in types}


UNKNOWN_PARAMETER: Final = "the query has a parameter that is not known here"
EVERYWHERE: Final[Kinds] = {
    InvalidRequest: f"{UNKNOWN_PARAMETER.capitalize()}.",
    **kinds(HostRefused, OriginRefused),
}
KEYED: Final = kinds(Unauthenticated, Forbidden, TooManyRequests)  # where a key is asked for
SENT: Final = {  # where a body is read
    **kinds(MalformedBody, BodyTooLarge, UnsupportedContent),
    InvalidRequest: f"The body can be read but does not say what the operation needs, or {UNKNOWN_PARAMETER}.",
}
TIMED: Final = {  # where a body comes in through the door, with a deadline
    **SENT,
    **kinds(NotReady, Overloaded, RequestTimeout, DeadlinePassed, StorageUnavailable),
}
RECEIVED: Final = {**TIMED, **kinds(BadImages, ImagesNotHeld)}  # where images do


def problem_responses(found: Kinds, *, query: bool) -> dict[str, OpenAPIResponse | Reference]:
    """The problem+json answers of a route, by status; `query` says whether it has parameters there."""
    unnamed = WITH_A_QUERY if query else UNNAMED
    by_status: dict[int, dict[type[Problem], str]] = {status: {} for status in unnamed}
    for kind, meaning in found.items():
        by_status.setdefault(int(kind.status), {})[kind] = meaning
    return {str(status): _response(status, by_status[status], unnamed.get(status)) for status in sorted(by_status)}


def _response(status: int, found: Kinds, unnamed: str | None) -> OpenAPIResponse:
    named = {kind.kind: (f"urn:problem-type:clpips:{kind.kind}", kind.title, text) for kind, text in found.items()}
    if unnamed:
        named["about:blank"] = ("about:blank", HTTPStatus(status).phrase, unnamed)
    lines = [f"`{name}`: {text}" for name, (_, _, text) in named.items()]
    examples: dict[str, Example | Reference] = {
        name: Example(summary=title, value={"type": type_, "title": title, "status": status, "detail": text})
        for name, (type_, title, text) in named.items()
    }
    return OpenAPIResponse(
        description="\n".join(f"- {line}" for line in lines) if len(lines) > 1 else lines[0],
        headers=headers(*(PROBLEM_HEADERS[kind] for kind in found if kind in PROBLEM_HEADERS)),
        content={MEDIA_TYPE: OpenAPIMediaType(schema=Shape(ProblemDetails).reference, examples=examples)},
    )
