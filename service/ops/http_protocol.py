"""HTTP/1.1 as the service speaks it: uvicorn's, but for upgrades, absolute targets, and errors below the app."""

from http import HTTPStatus
from types import SimpleNamespace
from typing import Any, Final, cast

import httptools
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from clpips.service.ops.refusals import refusal
from clpips.service.ops.slow_heads import HeadTimeoutProtocol

VERSIONS: Final = ("1.0", "1.1")
SCHEMES: Final = (b"http", b"https")
HOP_BY_HOP: Final = frozenset({b"upgrade", b"http2-settings"})
INVALID: Final = "this is not HTTP/1.1 as RFC 9112 has it; the connection is closed"


class PlainParser:
    """httptools' parser for a server that never upgrades a connection: `Upgrade` is left out, as RFC 9110 lets it.

    The parser itself takes a request with `Upgrade` (Java's HTTP client asks for h2c, curl with `--http2`) for one
    without a body, and leaves the body to another protocol. The next bytes are then read as a request of their own,
    which whoever wrote the body has written: request smuggling. Here such a head is read once more without it.
    """

    def __init__(self, protocol: Any) -> None:
        """`protocol` has the callbacks of httptools, and the `url` and `headers` that it was told."""
        self._protocol = protocol
        self._callbacks = SimpleNamespace(
            on_message_begin=protocol.on_message_begin,
            on_url=protocol.on_url,
            on_header=protocol.on_header,
            on_headers_complete=self._headers_complete,
            on_body=protocol.on_body,
            on_message_complete=self._message_complete,
        )
        self._parser = self._fresh()

    def feed_data(self, data: bytes) -> None:
        """Raises `HttpParserError` for what is no HTTP/1.1."""
        while True:
            try:
                self._parser.feed_data(data)
            except httptools.HttpParserUpgrade as upgrade:
                method = self._parser.get_method()
                if method in {b"CONNECT", b"PRI"}:  # a tunnel, or HTTP/2 from its first byte on
                    raise httptools.HttpParserError(f"{method.decode()} is not served") from None
                data = self._head() + data[upgrade.args[0] :]
                self._parser = self._fresh()
            else:
                return

    def should_upgrade(self) -> bool:
        return False

    def should_keep_alive(self) -> bool:
        keeps: bool = self._parser.should_keep_alive()
        return keeps

    def get_http_version(self) -> str:
        version: str = self._parser.get_http_version()
        return version

    def get_method(self) -> bytes:
        method: bytes = self._parser.get_method()
        return method

    def _fresh(self) -> Any:
        parser = httptools.HttpRequestParser(self._callbacks)
        parser.set_dangerous_leniencies(lenient_data_after_close=True)  # as uvicorn has it
        return parser

    def _head(self) -> bytes:
        """The head that was read last, without `Upgrade`."""
        lines = [b"%s %s HTTP/%s" % (self.get_method(), self._protocol.url, self.get_http_version().encode())]
        for name, value in self._protocol.headers:
            if name == b"connection":
                value = b", ".join(one for one in value.split(b",") if one.strip().lower() not in HOP_BY_HOP)
            if name not in HOP_BY_HOP:
                lines.append(b"%s: %s" % (name, value))
        return b"\r\n".join([*lines, b"", b""])

    def _headers_complete(self) -> None:
        version = self.get_http_version()
        if version not in VERSIONS:
            raise httptools.HttpParserError(f"HTTP/{version} is not served")
        codings = [value for name, value in self._protocol.headers if name == b"transfer-encoding"]
        if codings and [value.strip().lower() for value in codings] != [b"chunked"]:
            raise httptools.HttpParserError("a body that is coded further is not served")
        if not self._parser.should_upgrade():  # else this head comes once more
            self._protocol.on_headers_complete()

    def _message_complete(self) -> None:
        if not self._parser.should_upgrade():
            self._protocol.on_message_complete()


class HttpProtocol(HeadTimeoutProtocol):
    """uvicorn's HTTP/1.1 with `PlainParser`, and with problem+json for what is no HTTP."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self.parser = cast("httptools.HttpRequestParser", PlainParser(self))

    def on_headers_complete(self) -> None:
        if not self.url.startswith(b"/"):  # a target with a host of its own, which counts: RFC 9112, section 3.2.2
            target: Any = httptools.parse_url(self.url)
            if target.schema is not None and target.schema.lower() not in SCHEMES:
                raise httptools.HttpParserError(f"{target.schema.decode('latin-1')} is not served")
            if target.host is not None:
                if target.path is None:  # as if it ended with a slash
                    self.url = b"/" if target.query is None else b"/?" + target.query
                port = b"" if target.port is None else b":%d" % target.port
                host = b"[%s]" % target.host if b":" in target.host else target.host
                self.headers[:] = [(n, host + port if n == b"host" else value) for n, value in self.headers]
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:  # noqa: ARG002 - uvicorn's signature
        """Answer what is no HTTP, and close. A request before it that is whole gets its answer first, and alone."""
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is not None and not cycle.response_complete and (cycle.response_started or not cycle.more_body):
            cycle.keep_alive = False
            self.pipeline.clear()
            self.flow.pause_reading()
            return
        self.transport.write(refusal(HTTPStatus.BAD_REQUEST, INVALID))
        self.transport.close()
