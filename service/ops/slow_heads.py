"""Slowloris protection: a connection whose request head does not arrive in time is closed.

uvicorn itself waits for a head without end, so clients that never finish theirs could take up every connection.
"""

import asyncio
from typing import ClassVar

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol


class HeadTimeoutProtocol(HttpToolsProtocol):
    """uvicorn's HTTP/1.1 with a timeout for the head of each request: its request line and headers.

    The time runs from the connection for the first head, and from the first byte for the next ones. The time for a body
    is bounded by the request's deadline, that of an idle connection by uvicorn's `timeout_keep_alive`.
    """

    head_seconds: ClassVar = 20.0
    _head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._expect_head()

    def connection_lost(self, exc: Exception | None) -> None:
        self._head_came()
        super().connection_lost(exc)

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._head_timer is None:
            self._expect_head()

    def on_headers_complete(self) -> None:
        self._head_came()
        super().on_headers_complete()

    def _expect_head(self) -> None:
        self._head_timer = self.loop.call_later(self.head_seconds, self._give_up)

    def _head_came(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _give_up(self) -> None:
        self._head_timer = None
        self.transport.abort()
