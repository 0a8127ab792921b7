"""Headers in the API document: what requests may say, and what answers tell beside their bodies."""

from typing import Any, Final

from litestar.openapi.spec import OpenAPIHeader, Parameter, Reference, Schema
from litestar.openapi.spec.enums import OpenAPIType

from clpips.service.problems import (
    FitPostponed,
    Overloaded,
    Problem,
    StorageUnavailable,
    TooManyRequests,
    Unauthenticated,
    UnsupportedContent,
)

REQUEST_ID: Final = "X-Request-ID"
TIMEOUT: Final = "X-Request-Timeout-Ms"
TARGET_HASH: Final = "X-Target-Hash"
TRACEPARENT: Final = "traceparent"
PRIORITY: Final = "X-Priority"
SESSION_TOKEN: Final = "X-Session-Token"  # noqa: S105 - a header's name
LAST_EVENT_ID: Final = "Last-Event-ID"


def _text(**limits: Any) -> Schema:
    return Schema(type=OpenAPIType.STRING, **limits)


def _whole(**limits: Any) -> Schema:
    return Schema(type=OpenAPIType.INTEGER, minimum=1, **limits)


REQUEST_HEADERS: Final[dict[str, Parameter | Reference]] = {
    REQUEST_ID: Parameter(
        REQUEST_ID,
        "header",
        schema=_text(examples=["run-7/step:3"]),
        description="A name for this request in the service's log; the answer has it too. Letters, digits and "
        "`. _ : / + = @ -`, at most 128; with anything else, or none, the service makes one up.",
    ),
    TIMEOUT: Parameter(
        TIMEOUT,
        "header",
        schema=_whole(maximum=10**12 - 1, examples=[5000]),
        description="The longest that the answer is waited for, in milliseconds from the request's head on; never "
        "longer than the service's own limit. A request that cannot be answered by then is refused (503) or given up "
        "(504), and costs nothing more.",
    ),
    PRIORITY: Parameter(
        PRIORITY,
        "header",
        schema=_text(enum=["interactive", "bulk"], default="interactive"),
        description="`bulk` where nobody waits for the answer: such requests are served when no others wait, and "
        "refused (503) when the service is half full.",
    ),
    TARGET_HASH: Parameter(
        TARGET_HASH,
        "header",
        schema=_text(examples=["0" * 64]),
        description="For the proxy before several replicas, which sends equal values to the same one: the sha256 of "
        "the target, so that the replica that holds its features gets it again. The service itself does not read it.",
    ),
}

REQUEST_HEADERS[SESSION_TOKEN] = Parameter(
    SESSION_TOKEN,
    "header",
    schema=_text(),
    description="The token that was told when the session was made, in place of an API key: it opens this session and "
    "nothing else, until the session expires or the key that made it is good no longer.",
)
REQUEST_HEADERS[LAST_EVENT_ID] = Parameter(
    LAST_EVENT_ID,
    "header",
    schema=_text(pattern="^[0-9]{1,10}$"),
    description="The id of the last event that came: only what is later is sent.",
)
REQUEST_HEADERS[TRACEPARENT] = Parameter(
    TRACEPARENT,
    "header",
    schema=_text(examples=["00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"]),
    description="The trace that the request belongs to (W3C, Trace Context); the log names it.",
)

RESPONSE_HEADERS: Final[dict[str, OpenAPIHeader | Reference]] = {
    REQUEST_ID: OpenAPIHeader(
        schema=_text(), required=True, description="The request's own id, or the one that the service gave it."
    ),
    TRACEPARENT: OpenAPIHeader(
        schema=_text(), description="The request's own span, where it came with a trace or is traced here."
    ),
    "Retry-After": OpenAPIHeader(schema=_whole(), description="Seconds after which it is worth to come again."),
    "WWW-Authenticate": OpenAPIHeader(
        schema=_text(examples=['Bearer realm="clpips"']), required=True, description="How to send the key."
    ),
    "Accept": OpenAPIHeader(schema=_text(), description="The content types that the service reads here."),
    "Location": OpenAPIHeader(
        schema=_text(examples=["/profiles/ada"]), required=True, description="The path of what was made."
    ),
    "Content-Disposition": OpenAPIHeader(
        schema=_text(examples=['attachment; filename="ada-v3.safetensors"']),
        required=True,
        description="A name for the file.",
    ),
    "Clpips-Distance": OpenAPIHeader(
        schema=_text(examples=["0.4770"]), description="The distance of the two images, as `/distance` answers it."
    ),
    "Clpips-Families": OpenAPIHeader(
        schema=_text(examples=["aligned=0.31, mean=0.09, std=0.02, content_mean=0.1, content_std=0.05"]),
        description="What each family of channels adds to the distance. The map shows the first, `aligned`.",
    ),
    "Clpips-Unplaced": OpenAPIHeader(
        schema=_text(examples=["0.4561"]),
        description="The share of the distance, from 0 to 1, that has no place and is not in the map: that of all "
        "families but `aligned`.",
    ),
    "Clpips-Diversity": OpenAPIHeader(
        schema=_text(examples=["mean=0.52, low=0.44, high=0.6"]),
        description="Of a matrix that is a file: the mean distance of all pairs, with its 95 % interval.",
    ),
    "Clpips-Legend": OpenAPIHeader(
        schema=_text(examples=["low=0.0, high=2.5"]), description="The values of the darkest and the lightest colour."
    ),
    "Clpips-Layers": OpenAPIHeader(
        description="How many layers the backbone has: `layer` is 1 to this.", schema=Schema(type=OpenAPIType.INTEGER)
    ),
    "Clpips-Profile": OpenAPIHeader(
        schema=_text(examples=["ada; version=3"]), description="The weights that a file was made by."
    ),
}

# What a kind of problem tells in a header.
PROBLEM_HEADERS: Final[dict[type[Problem], str]] = {
    Unauthenticated: "WWW-Authenticate",
    TooManyRequests: "Retry-After",
    Overloaded: "Retry-After",
    StorageUnavailable: "Retry-After",
    FitPostponed: "Retry-After",
    UnsupportedContent: "Accept",
}


def parameters(names: tuple[str, ...]) -> list[Parameter | Reference]:
    """These request headers, as references into the components."""
    return [Reference(ref=f"#/components/parameters/{name}") for name in names]


def headers(*names: str) -> dict[str, OpenAPIHeader | Reference]:
    """`X-Request-ID`, which every answer has, and these, as references into the components."""
    return {
        name: Reference(ref=f"#/components/headers/{name}") for name in dict.fromkeys((REQUEST_ID, TRACEPARENT, *names))
    }
