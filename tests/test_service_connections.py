"""Connections below the app: how long, and how large, what a client sends may be, and how long it may not read."""

import asyncio
import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import uvicorn

from clpips.service.ops.slow_heads import LONGEST_HEAD, LONGEST_TARGET, HeadTimeoutProtocol

LONG = 32 * 2**20  # bytes of an answer: more than sockets hold
HEAD = b"GET / HTTP/1.1\r\nHost: x\r\n"


class Hasty(HeadTimeoutProtocol):
    head_seconds = 0.3
    linger_seconds = 0.3
    unread_seconds = 0.3


async def hello(scope: Any, _: Any, send: Any) -> None:
    """An app that answers at once, at length where it is asked to, and reads no body."""
    if scope["type"] != "http":
        return
    body = bytes(LONG) if scope["path"] == "/long" else b"hello"
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"%d" % len(body))]})
    await send({"type": "http.response.body", "body": body})


@asynccontextmanager
async def connected() -> AsyncIterator[tuple[asyncio.StreamReader, asyncio.StreamWriter]]:
    """A connection to a server that answers `hello`."""
    server = uvicorn.Server(uvicorn.Config(hello, http=Hasty, port=0, lifespan="off", log_config=None, ws="none"))
    serving = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - it tells nobody
        await asyncio.sleep(0.005)
    port = server.servers[0].sockets[0].getsockname()[1]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        yield reader, writer
    finally:
        writer.close()
        server.should_exit = True
        await serving


async def drip(writer: asyncio.StreamWriter) -> float:
    """Send a byte now and then until the connection is closed; for how many seconds that went."""
    started = time.monotonic()
    while True:
        try:
            writer.write(b"x")
            await writer.drain()
        except ConnectionError:
            return time.monotonic() - started
        await asyncio.sleep(0.02)


async def test_a_head_that_trickles_in_is_not_waited_for() -> None:
    async with connected() as (_, writer):
        writer.write(HEAD)
        assert await drip(writer) < 5


async def test_a_body_that_trickles_in_after_the_answer_does_not_keep_its_connection() -> None:
    async with connected() as (reader, writer):
        writer.write(HEAD + b"Content-Length: 1000000\r\n\r\n")
        assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200")
        assert await drip(writer) < 5


async def test_a_body_that_comes_in_time_after_the_answer_keeps_it() -> None:
    async with connected() as (reader, writer):
        for _ in range(3):
            writer.write(HEAD + b"Content-Length: 10\r\n\r\n")
            assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200")
            writer.write(b"0123456789")
        await asyncio.sleep(2 * Hasty.linger_seconds)
        writer.write(HEAD + b"\r\n")
        assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200")


async def test_an_answer_that_nobody_reads_does_not_keep_its_connection() -> None:
    async with connected() as (reader, writer):
        writer.write(HEAD.replace(b"/ ", b"/long ", 1) + b"\r\n")
        await asyncio.sleep(4 * Hasty.unread_seconds)
        came = 0
        with suppress(ConnectionError):
            while part := await reader.read(2**20):
                came += len(part)
        assert came < LONG


async def test_an_answer_that_is_read_slowly_comes_whole() -> None:
    async with connected() as (reader, writer):
        writer.write(HEAD.replace(b"/ ", b"/long ", 1) + b"\r\n")
        await reader.readuntil(b"\r\n\r\n")
        for _ in range(16):
            await reader.readexactly(LONG // 16)
            await asyncio.sleep(Hasty.unread_seconds / 6)


@pytest.mark.parametrize(
    ("request_head", "status"),
    [
        (b"GET /" + b"x" * LONGEST_TARGET + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (b"GET /" + b"x" * 30_000_000, 414),
        (HEAD + b"X: " + b"x" * LONGEST_HEAD + b"\r\n\r\n", 431),
        (HEAD + b"X: " + b"x" * 30_000_000, 431),
        (HEAD + b"X: y\r\n" * (LONGEST_HEAD // 6 + 1) + b"\r\n", 431),
    ],
    ids=["target", "endless target", "header", "endless header", "many headers"],
)
async def test_a_head_that_is_too_large_is_refused_before_all_of_it_has_come(request_head: bytes, status: int) -> None:
    async with connected() as (reader, writer):
        writer.write(request_head)
        answer = await reader.readuntil(b"\r\n\r\n")
        assert answer.startswith(b"HTTP/1.1 %d " % status)
        assert b"connection: close" in answer
        length = int(answer.partition(b"content-length: ")[2].partition(b"\r\n")[0])
        assert json.loads(await reader.readexactly(length))["status"] == status
        assert await drip(writer) < 5


async def test_a_head_at_the_bounds_is_answered() -> None:
    path = b"/" + b"x" * (LONGEST_TARGET - 1)
    filler = b"X: " + b"x" * (LONGEST_HEAD - 200) + b"\r\n"
    async with connected() as (reader, writer):
        for _ in range(2):
            writer.write(b"GET " + path + b" HTTP/1.1\r\nHost: x\r\n" + filler + b"\r\n")
            assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200")


async def test_a_large_body_does_not_count_as_a_head() -> None:
    async with connected() as (reader, writer):
        for _ in range(3):
            writer.write(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n" + b"x" * 1_000_000 + HEAD)
            writer.write(b"\r\n")
            for _ in range(2):
                assert (await reader.readuntil(b"hello")).startswith(b"HTTP/1.1 200")
