"""Clients that are slow, in whatever they send: every wait has an end, and the service stops when it is told to."""

import asyncio
import signal
import time
from typing import Final

from loadtest.hostile.case import Case, Suite, expect
from loadtest.hostile.service import Service
from loadtest.kit.client import Body, pair_body
from loadtest.kit.pictures import Pictures

REQUEST_SECONDS: Final = 2
SHUTDOWN_SECONDS: Final = 3
LATE_SECONDS: Final = 3.0  # that an answer may come after its time, on a busy machine
LINGER_SECONDS: Final = 5.0  # for which the rest of a body is taken after the answer

pictures = Pictures(64)


def _head(
    method: str, path: str, length: str = "Content-Length: 60000", content_type: str = "application/json"
) -> bytes:
    return f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {content_type}\r\n{length}\r\n\r\n".encode()


async def _trickle(service: Service, head: bytes, piece: bytes, most: float) -> tuple[bytes, float]:
    """What comes back while pieces of a body trickle in, and after how many seconds the connection was closed."""
    reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
    started = time.monotonic()
    writer.write(head)
    answer = bytearray()

    async def read() -> None:
        while chunk := await reader.read(65536):
            answer.extend(chunk)

    reading = asyncio.create_task(read())
    try:
        while time.monotonic() - started < most:
            try:
                writer.write(piece)
                await writer.drain()
            except ConnectionError:
                return bytes(answer), time.monotonic() - started
            await asyncio.sleep(0.1)
    finally:
        reading.cancel()
        await asyncio.gather(reading, return_exceptions=True)
        writer.close()
    return bytes(answer), float("inf")


def slow_body(method: str, path: str, *, chunked: bool = False) -> Case:
    """The body never ends: the request gets 408 at its deadline, and its connection is closed."""
    length, piece = ("Transfer-Encoding: chunked", b"1\r\n{\r\n") if chunked else ("Content-Length: 60000", b" ")

    async def check(service: Service) -> None:
        most = REQUEST_SECONDS + LATE_SECONDS + LINGER_SECONDS
        answer, seconds = await _trickle(service, _head(method, path, length), piece, most)
        expect(answer.startswith(b"HTTP/1.1 408 "), f"the answer is {answer[:100]!r}")
        expect(seconds < most, f"the connection is open after {most:g} s")

    return Case(f"a body of {method} {path} that trickles in{' in chunks' if chunked else ''}", check)


def late_body(method: str, path: str, status: int) -> Case:
    """The answer needs no body: what trickles in after it does not keep the connection."""

    async def check(service: Service) -> None:
        most = LINGER_SECONDS + LATE_SECONDS
        answer, seconds = await _trickle(service, _head(method, path, content_type="text/plain"), b"x", most)
        expect(answer.startswith(b"HTTP/1.1 %d " % status), f"the answer is {answer[:100]!r}")
        expect(seconds < most, f"the connection is open after {most:g} s")

    return Case(f"a body that trickles on after the {status} of {method} {path}", check)


async def _short_deadline(service: Service) -> None:
    body = pair_body(next(pictures), next(pictures))
    hasty = Body(body.path, body.content, headers="X-Request-Timeout-Ms: 1\r\n")
    for _ in range(5):
        reply = await service.send(hasty)
        expect(reply.status in {200, 408, 503, 504}, f"the answer is {reply.status}: {reply.content[:200]!r}")
        expect(reply.seconds < LATE_SECONDS, f"the answer took {reply.seconds:.1f} s")


async def _a_hundred_slow_bodies(service: Service) -> None:
    """They hold nobody up."""
    held = [await asyncio.open_connection("127.0.0.1", service.port) for _ in range(100)]
    for _, writer in held:
        writer.write(_head("POST", "/rank") + b"{")
    await asyncio.sleep(1.2)  # for a second they have a place
    try:
        reply = await service.send(pair_body(next(pictures), next(pictures)))
        expect(reply.status == 200, f"a pair gets {reply.status} beside them: {reply.content[:200]!r}")
    finally:
        for _, writer in held:
            writer.close()


async def _stop(service: Service) -> None:
    """SIGTERM ends the process in the time that it may take, whatever is still being sent."""
    slow = [asyncio.create_task(_trickle(service, _head("POST", path), b" ", 60.0)) for path in ("/rank", "/profiles")]
    late = asyncio.create_task(_trickle(service, _head("GET", "/healthz"), b" ", 60.0))
    await asyncio.sleep(0.5)
    service.signal(signal.SIGTERM)
    started = time.monotonic()
    while service.alive:
        await asyncio.sleep(0.05)
        expect(time.monotonic() - started < SHUTDOWN_SECONDS + 5 + LATE_SECONDS, "it is still there")
    for task in (*slow, late):
        task.cancel()
    await asyncio.gather(*slow, late, return_exceptions=True)


CASES: Final = [
    slow_body("POST", "/rank"),
    slow_body("POST", "/rank", chunked=True),
    slow_body("POST", "/distance"),
    slow_body("POST", "/profiles"),
    slow_body("POST", "/profiles", chunked=True),
    slow_body("POST", "/profiles/nobody/rankings"),
    slow_body("POST", "/profiles/nobody/rollback"),
    slow_body("PUT", "/profiles/nobody/weights"),
    late_body("GET", "/healthz", 200),
    late_body("GET", "/metrics", 200),
    late_body("GET", "/nobody-made/this", 404),
    late_body("DELETE", "/rank", 405),
    late_body("POST", "/profiles/nobody/reset", 404),
    Case("a deadline of one millisecond", _short_deadline),
    Case("a hundred bodies that never end", _a_hundred_slow_bodies),
    Case("SIGTERM while bodies trickle in", _stop, seconds=60.0),
]

SUITE: Final = Suite("clocks", CASES, {"request_seconds": REQUEST_SECONDS, "shutdown_seconds": SHUTDOWN_SECONDS})
