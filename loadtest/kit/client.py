"""A load generator that costs little: HTTP/1.1 over asyncio streams, with bodies that were made beforehand."""

import asyncio
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np

BOUNDARY = "----a-boundary-of-the-load-test"


class Body(NamedTuple):
    """What one request sends."""

    path: str
    content: bytes
    content_type: str = f"multipart/form-data; boundary={BOUNDARY}"
    headers: str = ""  # further ones, each ending with CRLF
    pieces: Sequence[bytes | memoryview] = ()  # in place of `content`: nobody puts megabytes together


class Reply(NamedTuple):
    """What came back; `seconds` from the first byte sent to the last one received."""

    status: int
    content: bytes
    seconds: float
    headers: dict[str, str]

    def json(self) -> Any:
        return json.loads(self.content)


def rank_body(
    target: bytes | str, candidates: Sequence[bytes | str], headers: str = "", profile: str = "lpips"
) -> Body:
    """A multipart `/rank` request; a text in place of an image names it by its hash."""
    images = [("target", target), *(("candidates", image) for image in candidates)]
    return Body("/rank", _multipart([*images, ("profile", profile)]), headers=headers)


def rank_pieces(
    target: Sequence[bytes | memoryview], candidates: Sequence[Sequence[bytes | memoryview]], headers: str = ""
) -> Body:
    """As `rank_body`, of images in pieces: for a generator that shares the processors with what it measures."""
    pieces: list[bytes | memoryview] = []
    for name, image in (("target", target), *(("candidates", image) for image in candidates)):
        pieces += [_image_head(name), *image, b"\r\n"]
    return Body("/rank", b"", headers=headers, pieces=[*pieces, _multipart([("profile", "lpips")])])


def pair_body(target: bytes, candidate: bytes) -> Body:
    """A multipart `/distance` request of one pair."""
    return Body("/distance", _multipart([("target", target), ("candidate", candidate)]))


def _multipart(parts: Sequence[tuple[str, bytes | str]]) -> bytes:
    pieces: list[bytes] = []
    for name, image in parts:
        if isinstance(image, bytes):
            pieces += [_image_head(name), image, b"\r\n"]
        else:
            pieces.append(f"{_field(name)}\r\n\r\n{image}\r\n".encode())
    return b"".join([*pieces, f"--{BOUNDARY}--\r\n".encode()])


def _image_head(name: str) -> bytes:
    return f'{_field(name)}; filename="image"\r\nContent-Type: application/octet-stream\r\n\r\n'.encode()


def _field(name: str) -> str:
    return f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"'


class Connection:
    """One client's connection, opened when it is first needed and again when the server closed it."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def send(self, body: Body) -> Reply:
        started = time.perf_counter()
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        pieces = body.pieces or [body.content]
        head = (
            f"POST {body.path} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: {body.content_type}\r\n"
            f"Content-Length: {sum(map(len, pieces))}\r\n{body.headers}\r\n"
        )
        try:
            writer.writelines([head.encode(), *pieces])
            status, headers, content = await _receive(reader)
        except (OSError, asyncio.IncompleteReadError):
            self.close()
            raise
        seconds = time.perf_counter() - started
        if headers.get("connection", "").lower() == "close":
            self.close()
        else:
            await writer.drain()
        return Reply(status, content, seconds, headers)

    async def get(self, path: str) -> Reply:
        started = time.perf_counter()
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        writer.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
        status, headers, content = await _receive(reader)
        return Reply(status, content, time.perf_counter() - started, headers)

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None


async def _receive(reader: asyncio.StreamReader) -> tuple[int, dict[str, str], bytes]:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:] if line)}
    content = await reader.readexactly(int(headers.get("content-length", 0)))
    return int(head[0].split()[1]), headers, content


@dataclass(frozen=True)
class Load:
    """How a run went."""

    seconds: float
    latencies: list[float]  # seconds, of the requests that were answered with 200
    refused: list[float]  # seconds, of those with 503
    other: dict[int, int]  # how many had any other status

    @property
    def per_second(self) -> float:
        return len(self.latencies) / self.seconds

    def percentile(self, percent: float) -> float:
        return float(np.percentile(self.latencies, percent)) if self.latencies else float("nan")


async def drive(port: int, clients: Sequence[Sequence[Body]]) -> Load:
    """Send each client's bodies one after the other, all clients at once."""
    latencies: list[float] = []
    refused: list[float] = []
    other: dict[int, int] = {}

    async def client(bodies: Sequence[Body]) -> None:
        connection = Connection(port)
        for body in bodies:
            reply = await connection.send(body)
            if reply.status == 200:
                latencies.append(reply.seconds)
            elif reply.status == 503:
                refused.append(reply.seconds)
            else:
                other[reply.status] = other.get(reply.status, 0) + 1
        connection.close()

    started = time.perf_counter()
    await asyncio.gather(*(client(bodies) for bodies in clients))
    return Load(time.perf_counter() - started, latencies, refused, other)
