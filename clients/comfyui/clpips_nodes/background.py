"""One event loop in a thread of its own, where clients live as long as ComfyUI does.

ComfyUI runs each prompt in a new event loop. Clients keep connections, and what they know the service holds, between
prompts, so they cannot live in those.
"""

import asyncio
import threading
from collections.abc import Awaitable, Callable
from concurrent.futures import Future
from functools import cache
from typing import TypeVar

from clpips_client import AsyncClient

T = TypeVar("T")

PATIENCE = 3.0  # seconds after which a service that cannot be reached is given up


class Background:
    """Runs operations of clients, one client for each address with its key."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        self._clients: dict[tuple[str, str], AsyncClient] = {}
        threading.Thread(target=self._loop.run_forever, name="clpips", daemon=True).start()

    def submit(
        self, address: str, key: str, seconds: float, operation: Callable[[AsyncClient], Awaitable[T]]
    ) -> "Future[T]":
        """Begin an operation, which has so many seconds; cancelling what comes back closes its connection."""

        async def work() -> T:
            client = self._clients.get((address, key))
            if client is None:
                client = self._clients[address, key] = AsyncClient(address, key=key, patience=PATIENCE)
            return await operation(client.within(seconds))

        return asyncio.run_coroutine_threadsafe(work(), self._loop)


@cache
def background() -> Background:
    """The one of this process, from when it is first needed."""
    return Background()
