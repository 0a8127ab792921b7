"""Waiting in a node for what runs in the background, while ComfyUI's interrupt is looked at."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, TypeVar

T = TypeVar("T")

POLL_SECONDS: Final = 0.1  # between two looks at whether somebody has pressed the button


async def outcome(begun: "Future[T]", look: Callable[[], None]) -> T:
    """What an operation comes to that has begun. `look` is called again and again, and ends it by raising."""
    asked = asyncio.wrap_future(begun)
    try:
        while not (await asyncio.wait([asked], timeout=POLL_SECONDS))[0]:
            look()
        return asked.result()
    finally:
        asked.cancel()  # if it is not done: this prompt has ended
