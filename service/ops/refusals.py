"""Answers below the app: whole HTTP responses to what never becomes a request, as problem+json."""

from http import HTTPStatus

import msgspec

from clpips.service.problems import MEDIA_TYPE, unnamed


def refusal(status: HTTPStatus, detail: str) -> bytes:
    """A whole answer that refuses a request before the app knows of it, and closes the connection."""
    body = msgspec.json.encode(unnamed(status, detail))
    lines = [
        f"HTTP/1.1 {status.value} {status.phrase}",
        f"content-type: {MEDIA_TYPE}",
        f"content-length: {len(body)}",
        "x-content-type-options: nosniff",
        "connection: close",
    ]
    return "\r\n".join([*lines, "", ""]).encode() + body
