"""The service under attack: a process of its own on a loopback port, what it is sent, and what it says in its log."""

import asyncio
import json
import os
from collections.abc import Mapping
from typing import Any

from loadtest.kit.client import Body, Connection, Reply
from loadtest.kit.contenders import LOGS, clpips


class Service:
    """A running service. `start` and `stop` block; everything else belongs on an event loop."""

    def __init__(self, name: str, settings: Mapping[str, str | int | float]) -> None:
        self.name = name
        self._log = LOGS / f"{name}.log"
        for leftover in LOGS.glob(f"{name}.db*"):
            leftover.unlink()
        self._server = clpips(name, log_format="json", log_level="info", **settings)

    def start(self) -> None:
        self._server.start()

    def stop(self) -> None:
        self._server.stop()

    def signal(self, number: int) -> None:
        """Send the service's first process a signal."""
        os.kill(self.pid, number)

    @property
    def port(self) -> int:
        return self._server.port

    @property
    def pid(self) -> int:
        return self._server.process.pid

    @property
    def alive(self) -> bool:
        return self._server.process.poll() is None

    def log(self) -> list[dict[str, Any]]:
        """The lines of the log so far. Raises `ValueError` where one is no JSON object."""
        return [json.loads(line) for line in self._log.read_text().splitlines()]

    async def send(self, body: Body) -> Reply:
        """The answer to a POST, on a connection of its own."""
        connection = Connection(self.port)
        try:
            return await connection.send(body)
        finally:
            connection.close()

    async def get(self, path: str) -> Reply:
        connection = Connection(self.port)
        try:
            return await connection.get(path)
        finally:
            connection.close()

    async def exchange(self, request: bytes, seconds: float = 10.0) -> bytes:
        """What comes back for raw bytes until the service closes, or for so many seconds."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        answer = b""
        try:
            writer.write(request)
            async with asyncio.timeout(seconds):
                while chunk := await reader.read(65536):
                    answer += chunk
        except (TimeoutError, ConnectionError):
            pass
        finally:
            writer.close()
        return answer
