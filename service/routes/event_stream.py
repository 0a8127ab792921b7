"""Server-sent events (WHATWG HTML, section 9.2): a response that goes on for as long as somebody reads it."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractContextManager, suppress
from typing import Any, Final

import msgspec
from litestar import Response
from litestar.response.base import ASGIResponse
from litestar.types import Receive, Send

from clpips.service.sessions.streams import Sign, Watcher
from clpips.service.storage.records import Revision
from clpips.service.wire.media_types import EVENT_STREAM
from clpips.service.wire.session_schemas import SessionEvent

RETRY: Final = b"retry: 1000\n\n"  # milliseconds after which a browser comes again
HEARTBEAT: Final = b": still here\n\n"
SEND_SECONDS: Final = 20.0  # that a client may take to read what is sent
HEADERS: Final = {"cache-control": "no-store", "x-accel-buffering": "no"}  # no proxy keeps events to itself


class EventStream(Response[bytes]):
    """The events of a session that is watched from when the response begins until it ends."""

    def __init__(
        self, watch: Callable[[], AbstractContextManager[Watcher]], after: int, send_seconds: float = SEND_SECONDS
    ) -> None:
        """What is later than revision `after`, for as long as the client takes each event within `send_seconds`."""
        super().__init__(b"", media_type=EVENT_STREAM, headers=HEADERS)
        self._watch = watch
        self._after = after
        self._send_seconds = send_seconds

    def to_asgi_response(self, app: Any, request: Any, **_: Any) -> ASGIResponse:  # noqa: ARG002 - Litestar's signature
        """The response as it is sent."""
        return _Streaming(
            self._watch, self._after, self._send_seconds, media_type=EVENT_STREAM, headers=dict(self.headers)
        )


class _Streaming(ASGIResponse):
    _should_set_content_length = False

    def __init__(
        self,
        watch: Callable[[], AbstractContextManager[Watcher]],
        after: int,
        send_seconds: float,
        **options: Any,
    ) -> None:
        super().__init__(status_code=200, **options)
        self._watch = watch
        self._after = after
        self._send_seconds = send_seconds

    async def send_body(self, send: Send, receive: Receive) -> None:
        """Send events until they end, or the client goes, or does not take one in time."""
        with self._watch() as watcher:
            tasks = {
                asyncio.create_task(_send_all(events_of(watcher, self._after), send, self._send_seconds)),
                asyncio.create_task(_until_gone(receive)),
            }
            try:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            finally:
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)


async def events_of(watcher: Watcher, after: int, **clock: float) -> AsyncIterator[bytes]:
    """What a watcher is told, as bytes of the stream: what is later than revision `after`."""
    yield RETRY
    async for told in watcher.told(after, **clock):
        if told is Sign.HEARTBEAT:
            yield HEARTBEAT
        elif isinstance(told, Revision):
            yield _event(SessionEvent(watcher.session, told.number, told.change))
        else:
            yield _event(SessionEvent(watcher.session, watcher.latest.number + 1, "deleted"))


def _event(event: SessionEvent) -> bytes:
    data = msgspec.json.encode(event)  # one line
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (event.revision, event.change.encode(), data)


async def _send_all(events: AsyncIterator[bytes], send: Send, seconds: float) -> None:
    with suppress(TimeoutError):
        async for event in events:
            async with asyncio.timeout(seconds):
                await send({"type": "http.response.body", "body": event, "more_body": True})
        async with asyncio.timeout(seconds):
            await send({"type": "http.response.body", "body": b"", "more_body": False})


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
