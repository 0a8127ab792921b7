"""Networks as they are: a connection that is lost before or after the service has answered, and what was sent."""

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import httpx


class Sent(NamedTuple):
    """A request that went over the wire."""

    method: str
    path: str
    nbytes: int  # of the body
    headers: httpx.Headers


class Recording(httpx.HTTPTransport):
    """A transport that remembers what it has sent."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.sent: list[Sent] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        body = request.read()
        self.sent.append(Sent(request.method, request.url.path, len(body), request.headers))
        return super().handle_request(request)


class Line:
    """A line to a service that loses answers: the service has them, and the client never sees them."""

    def __init__(self, upstream: str) -> None:
        self.upstream = upstream
        self.url = ""
        self.losses = 0  # answers that are still to be lost
        self.carried: list[str] = []  # method, path and status of what the service has answered


@contextmanager
def losing_line(upstream: str) -> Iterator[Line]:
    """A `Line` to the service at `upstream`."""
    line = Line(upstream)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length", 0)))
            headers = {name: value for name, value in self.headers.items() if name.lower() != "host"}
            response = httpx.request(self.command, line.upstream + self.path, content=body, headers=headers, timeout=60)
            line.carried.append(f"{self.command} {self.path} {response.status_code}")
            self.close_connection = True
            if line.losses:
                line.losses -= 1
                self.connection.shutdown(socket.SHUT_RDWR)
                return
            self.send_response(response.status_code)
            for name in ("content-type", "retry-after"):
                if name in response.headers:
                    self.send_header(name, response.headers[name])
            self.send_header("content-length", str(len(response.content)))
            self.send_header("connection", "close")  # else the client may begin the next request on it
            self.end_headers()
            self.wfile.write(response.content)

        do_GET = do_POST = do_PUT = do_DELETE = answer  # noqa: N815 - http.server's names

        def log_message(self, *_: object) -> None:
            """Nothing: a test has no log."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    line.url = f"http://127.0.0.1:{server.server_address[1]}"
    try:
        yield line
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


@contextmanager
def eavesdropper() -> Iterator[tuple[str, list[str | None]]]:
    """The URL of somebody who refuses everything, and the `Authorization` of each request that came there."""
    heard: list[str | None] = []

    class Handler(BaseHTTPRequestHandler):
        def answer(self) -> None:
            self.rfile.read(int(self.headers.get("content-length", 0)))
            heard.append(self.headers.get("authorization"))
            self.send_response(404)
            self.send_header("content-length", "0")
            self.end_headers()

        do_GET = do_POST = answer  # noqa: N815 - http.server's names

        def log_message(self, *_: object) -> None:
            """Nothing: a test has no log."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", heard
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
