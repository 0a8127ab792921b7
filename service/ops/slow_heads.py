"""Slowloris protection: bounds in time and bytes for what arrives on a connection and leaves it, whoever answers it.

uvicorn itself waits for a head without end, takes a head of any size, lets the rest of a body that nobody reads trickle
in for ever, and keeps an answer for whoever never reads it: clients that never finish could take up every connection,
and the memory too.
"""

import asyncio
from http import HTTPStatus
from typing import ClassVar, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle

from clpips.service.ops.refusals import refusal

LONGEST_TARGET: Final = 8 * 2**10  # bytes of a request's path and query
LONGEST_HEAD: Final = 64 * 2**10  # bytes of its headers together


class HeadTimeoutProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 with bounds for each request's head, and for what is left of its body after the answer.

    The time of a head runs from the connection for the first one, and from the first byte for the next ones. The time
    for a body is bounded by the request's deadline until it is answered, and from then on by `linger_seconds`, in which
    what still comes is dropped: a connection that is closed while the client sends is reset, and the client may never
    see its answer. Of an answer that waits for its reader some must leave within each `unread_seconds`. The time of an
    idle connection is bounded by uvicorn's `timeout_keep_alive`.
    """

    head_seconds: ClassVar = 20.0
    linger_seconds: ClassVar = 5.0
    unread_seconds: ClassVar = 60.0
    _timer: asyncio.TimerHandle | None = None  # until when the head, or the rest of a body, must have come
    _unread_timer: asyncio.TimerHandle | None = None  # until when more of the answer must have left
    _head_began = False  # and has not ended
    _came_bytes = 0  # of it, in parts that are of nothing else
    _read_bytes = 0  # of its headers that are whole
    _in_body = False
    _refused = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_within(self.head_seconds)

    def connection_lost(self, exc: Exception | None) -> None:
        self._came()
        self._read()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._expect_reading()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._read()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        began_before = self._head_began
        super().data_received(data)
        if began_before and self._head_began:  # all of it is of one head
            self._came_bytes += len(data)
            self._require_short(self._came_bytes)

    def eof_received(self) -> None:
        if self._refused:
            self.transport.close()
        super().eof_received()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_began, self._came_bytes, self._read_bytes = True, 0, 0
        if self._timer is None:
            self._expect_within(self.head_seconds)

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        if len(self.url) > LONGEST_TARGET:
            self._refuse(HTTPStatus.REQUEST_URI_TOO_LONG, f"the path and query have more than {LONGEST_TARGET:,} bytes")

    def on_header(self, name: bytes, value: bytes) -> None:
        if not self._in_body:  # a field behind the body (a trailer) is no header: RFC 9110, section 6.5.1
            super().on_header(name, value)
        self._read_bytes += len(name) + len(value) + len(b": \r\n")
        self._require_short(self._read_bytes)

    def on_headers_complete(self) -> None:
        self._head_began = False
        if self._refused:
            return
        self._came()
        self._in_body = True
        super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        if self._refused:
            return
        self._in_body = False
        self._came()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._in_body and not self.transport.is_closing():
            self._expect_within(self.linger_seconds)

    def _require_short(self, nbytes: int) -> None:
        if nbytes > LONGEST_HEAD:
            self._refuse(
                HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE, f"the headers have more than {LONGEST_HEAD:,} bytes"
            )

    def _refuse(self, status: HTTPStatus, detail: str) -> None:
        """Answer what is too large, and drop what still comes of it."""
        if self._refused:
            return
        self._refused = True
        self._came()
        earlier: RequestResponseCycle | None = self.cycle
        if earlier is not None and not earlier.response_complete:
            self.transport.abort()
            return
        self.transport.write(refusal(status, detail))
        self._expect_within(self.linger_seconds)

    def _expect_within(self, seconds: float) -> None:
        self._came()
        self._timer = self.loop.call_later(seconds, self._give_up)

    def _came(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expect_reading(self) -> None:
        unread = self.transport.get_write_buffer_size()
        self._unread_timer = self.loop.call_later(self.unread_seconds, self._require_less, unread)

    def _require_less(self, unread: int) -> None:
        """Go on waiting for a reader who has taken some of the answer, and give up on any other."""
        self._unread_timer = None
        if self.transport.get_write_buffer_size() < unread:
            self._expect_reading()
        else:
            self.transport.abort()

    def _read(self) -> None:
        if self._unread_timer is not None:
            self._unread_timer.cancel()
            self._unread_timer = None

    def _give_up(self) -> None:
        self._timer = None
        self.transport.abort()
