"""A steady load for a length of time, on one server or spread over several: for machines whose speed nobody knows."""

import asyncio
import contextlib
import os
import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

import numpy as np

from loadtest.kit.client import Body, Connection

WARM_UP: Final = 0.25  # of the time measured, before it
DRAIN_SECONDS: Final = 4.0  # for what is on its way at the end


class Sustained(NamedTuple):
    """How the measured time went."""

    per_second: float  # requests answered
    latencies: list[float]  # seconds, of those
    generator: float  # cores that the load generator took: near 1, it is what limits

    def percentile(self, percent: float) -> float:
        """Seconds; not a number where nothing was answered."""
        return float(np.percentile(self.latencies, percent)) if self.latencies else float("nan")


async def sustain(ports: Sequence[int], body: Callable[[], Body], clients: int, seconds: float) -> Sustained:
    """Have clients send one request after the other, each to one of the ports, and count what is answered.

    Counted are the answers in `seconds` after a warm-up. Raises `RuntimeError` for an answer other than 200.
    """
    begin = time.perf_counter() + WARM_UP * seconds
    end = begin + seconds
    latencies: list[float] = []
    processor: list[float] = []

    async def client(port: int) -> None:
        connection = Connection(port)
        try:
            while time.perf_counter() < end:
                reply = await connection.send(body())
                if reply.status != 200:
                    raise RuntimeError(f"{reply.status}: {reply.content[:200]!r}")
                if begin <= time.perf_counter() < end:
                    latencies.append(reply.seconds)
        finally:
            connection.close()

    async def clock() -> None:
        for moment in (begin, end):
            await asyncio.sleep(moment - time.perf_counter())
            processor.append(sum(os.times()[:2]))

    tasks = [asyncio.create_task(client(ports[number % len(ports)])) for number in range(clients)]
    tasks.append(asyncio.create_task(clock()))
    done, late = await asyncio.wait(
        tasks, timeout=(1 + WARM_UP) * seconds + DRAIN_SECONDS, return_when=asyncio.FIRST_EXCEPTION
    )
    for task in late:
        task.cancel()
    for task in late:
        with contextlib.suppress(asyncio.CancelledError, RuntimeError, OSError):
            await task
    for task in done:
        task.result()
    return Sustained(len(latencies) / seconds, latencies, (processor[1] - processor[0]) / seconds)
