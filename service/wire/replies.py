"""Replies on the wire: JSON, or MessagePack where the client prefers it."""

from collections.abc import Mapping
from typing import Any, TypeVar

import msgspec
from litestar import Request, Response

from clpips.service.wire.accepting import preferred
from clpips.service.wire.media_types import JSON, MSGPACK

T = TypeVar("T")

_json = msgspec.json.Encoder()
_msgpack = msgspec.msgpack.Encoder()


class Encoded(Response[T]):
    """A response that encodes MessagePack under any of the names that clients know it by."""

    def render(self, content: Any, media_type: str, enc_hook: Any = None) -> bytes:  # noqa: ARG002 - Litestar's signature
        return (_msgpack if media_type in MSGPACK else _json).encode(content)


def reply(
    request: Request[Any, Any, Any], content: T, status: int | None = None, headers: Mapping[str, str] | None = None
) -> Response[T]:
    """`content` in the encoding that the request's `Accept` header prefers; JSON where it names neither."""
    media_type = preferred(request, [JSON, *MSGPACK], JSON)
    return Encoded(content, status_code=status, media_type=media_type, headers={"vary": "accept", **(headers or {})})
