"""Requests that want too much at once: memory keeps its bounds, and small requests are served beside large ones."""

import asyncio
import base64
import json
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from loadtest.hostile.case import Case, Suite, expect
from loadtest.hostile.service import Service
from loadtest.kit.client import Body, Reply, pair_body, rank_body
from loadtest.kit.pictures import Pictures

SMALL_SECONDS: Final = 2.5  # that a small pair may take, whatever is beside it

small = Pictures(64)
usual = Pictures(256, "jpeg")
native = Pictures(2000, "jpeg", distinct=2)


def in_json(path: str, content: dict[str, Any], headers: str = "") -> Body:
    """A JSON body; bytes in it become base64."""
    encoded = json.dumps(content, default=lambda image: base64.b64encode(image).decode())
    return Body(path, encoded.encode(), "application/json", headers)


def ranking(candidates: int, headers: str = "", **options: object) -> Body:
    """A ranking of new images."""
    images = small.take(1 + candidates)
    return in_json("/rank", {"target": images[0], "candidates": images[1:], **options}, headers)


def native_pair() -> Body:
    return in_json("/distance", {"pairs": [{"target": next(native), "candidate": next(native)}], "resolution": None})


async def small_pair(service: Service) -> Reply:
    reply = await service.send(pair_body(next(small), next(small)))
    expect(reply.status == 200, f"a small pair gets {reply.status}: {reply.content[:200]!r}")
    expect(reply.seconds < SMALL_SECONDS, f"a small pair takes {reply.seconds:.1f} s")
    return reply


def beside(name: str, others: Callable[[], Sequence[Body]], *statuses: int, seconds: float = 60.0) -> Case:
    """Small pairs are answered in time while others are; these get one of the statuses."""

    async def check(service: Service) -> None:
        running = [asyncio.create_task(service.send(body)) for body in others()]
        try:
            await small_pair(service)
            while not all(task.done() for task in running):
                await small_pair(service)
            for reply in await asyncio.gather(*running):
                expect(reply.status in statuses, f"one of the others gets {reply.status}: {reply.content[:200]!r}")
        finally:
            for task in running:
                task.cancel()

    return Case(name, check, seconds)


async def _shared_image(service: Service) -> None:
    """Who shares an image with a large ranking waits for that image, and not for the ranking."""
    images, others = usual.take(201), usual.take(201)
    ranked = asyncio.create_task(service.send(rank_body(images[0], images[1:])))
    beside = asyncio.create_task(service.send(rank_body(others[0], others[1:])))  # so that it is long enough
    await asyncio.sleep(0.5)
    alone = await service.send(pair_body(next(usual), next(usual)))
    shared = await service.send(pair_body(next(usual), images[-1]))
    expect(not ranked.done(), "the ranking was over too soon to tell")
    limit = 2 * alone.seconds + 0.5
    expect(shared.seconds < limit, f"it takes {shared.seconds:.2f} s, a pair of its own {alone.seconds:.2f} s")
    expect((await ranked).status == 200, "the ranking failed")
    expect((await beside).status in {200, 503}, "the ranking beside it failed")


async def _bulk(service: Service) -> None:
    """Bulk requests are answered, and interactive ones do not wait for them."""
    bulk = [asyncio.create_task(service.send(ranking(100, "X-Priority: bulk\r\n"))) for _ in range(2)]
    await asyncio.sleep(0.2)
    for _ in range(5):
        await small_pair(service)
    for reply in await asyncio.gather(*bulk):
        expect(reply.status in {200, 503}, f"bulk gets {reply.status}: {reply.content[:200]!r}")


async def _unfinished_bodies(service: Service) -> None:
    """Eight bodies of 100 MB that stop before their end: a small pair is served, and the largest are given up."""
    head = (
        b"POST /rank HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\nContent-Length: 100000000\r\n\r\n"
    )
    held = [await asyncio.open_connection("127.0.0.1", service.port) for _ in range(8)]

    async def fill(writer: asyncio.StreamWriter) -> None:
        writer.write(head)
        for _ in range(97):
            writer.write(b" " * 1_000_000)
            await writer.drain()

    filling = [asyncio.create_task(fill(writer)) for _, writer in held]
    try:
        await asyncio.wait(filling, timeout=4.0)
        await small_pair(service)
    finally:
        for task in filling:
            task.cancel()
        await asyncio.gather(*filling, return_exceptions=True)
        for _, writer in held:
            writer.close()


def refused(name: str, request: Callable[[], bytes], status: int) -> Case:
    """Raw bytes are refused with this status, before all of them have come, and nobody waits meanwhile."""

    async def check(service: Service) -> None:
        reader, writer = await asyncio.open_connection("127.0.0.1", service.port)
        started = time.monotonic()
        writer.write(request())
        try:
            answer = await reader.readuntil(b"\r\n\r\n")
        finally:
            writer.close()
        expect(answer.startswith(b"HTTP/1.1 %d " % status), f"the answer is {answer[:100]!r}")
        expect(time.monotonic() - started < 5.0, "the answer took longer than 5 s")
        await small_pair(service)

    return Case(name, check)


def answered(name: str, body: Callable[[], Body], status: int, prepare: Body | None = None) -> Case:
    """The body gets an answer of this status; others are served."""

    async def check(service: Service) -> None:
        if prepare is not None:
            await service.send(prepare)
        reply = await service.send(body())
        expect(reply.status == status, f"the answer is {reply.status}: {reply.content[:200]!r}")
        await small_pair(service)

    return Case(name, check)


ADA: Final = in_json("/profiles", {"name": "ada"})
NUMBERS: Final = b"1," * 15_000_000

CASES: Final = [
    beside("three rankings of 1 + 15 at 1024²", lambda: [ranking(15, resolution=1024) for _ in range(3)], 200, 503),
    beside("two rankings of 1 + 200", lambda: [ranking(200) for _ in range(2)], 200, 503),
    beside("native pairs of 2000²", lambda: [native_pair() for _ in range(3)], 200, 503),
    beside(
        "sizes of all kinds",
        lambda: [native_pair(), ranking(15, resolution=1024), ranking(100), ranking(4, resolution=512)],
        200,
        503,
    ),
    Case("a pair that shares an image with a ranking of 200", _shared_image, 90.0),
    Case("bulk rankings", _bulk, 60.0),
    Case("eight unfinished bodies of 100 MB", _unfinished_bodies, 40.0),
    refused("30 MB of a header", lambda: b"GET / HTTP/1.1\r\nHost: x\r\nX: " + b"x" * 30_000_000, 431),
    refused("30 MB of headers", lambda: b"GET / HTTP/1.1\r\nHost: x\r\n" + b"X: y\r\n" * 5_000_000, 431),
    refused("30 MB of a URL", lambda: b"GET /" + b"x" * 30_000_000, 414),
    refused("30 MB of a query", lambda: b"GET /profiles?after=" + b"x" * 30_000_000, 414),
    answered(
        "30 MB of `order` in JSON",
        lambda: Body("/profiles/ada/rankings", b'{"comparison":"x","order":[' + NUMBERS + b"1]}", "application/json"),
        422,
        ADA,
    ),
    answered(
        "30 MB of `ranks` in JSON",
        lambda: Body("/profiles/ada/rankings", b'{"comparison":"x","ranks":[' + NUMBERS + b"1]}", "application/json"),
        422,
        ADA,
    ),
    answered(
        "30 MB of `order` in a form",
        lambda: Body(
            "/profiles/ada/rankings",
            b'--x\r\nContent-Disposition: form-data; name="comparison"\r\n\r\nx\r\n'
            b'--x\r\nContent-Disposition: form-data; name="order"\r\n\r\n' + NUMBERS + b"1\r\n--x--\r\n",
            "multipart/form-data; boundary=x",
        ),
        422,
        ADA,
    ),
    answered("an unknown priority", lambda: ranking(1, "X-Priority: urgent\r\n"), 422),
    answered("more pixels than a request may have", lambda: ranking(16, resolution=1024), 422),
    answered("a body for a profile above its limit", lambda: in_json("/profiles", {"name": "x" * 100_000}), 413),
]

SUITE: Final = Suite("bounds", CASES)
