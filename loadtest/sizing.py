"""What one core carries: the figures of deploy/README.md, for the size of a replica.

    python -m loadtest.sizing          about two minutes; needs a second core for the load generator

The service runs on one core (threads and affinity), the generator on the others. Eight clients rank ten candidates
against a target, all images unique, so that nothing comes from the feature cache.
"""

import asyncio
import os
import statistics
import sys
import time
from typing import Final

from loadtest.client import Connection, rank_body
from loadtest.contenders import clpips
from loadtest.pictures import Format, Pictures

CLIENTS: Final = 8
CANDIDATES: Final = 10
SECONDS: Final = 25
WARM_UP_SECONDS: Final = 5
INPUTS: Final[dict[str, tuple[int, Format]]] = {
    "256² pixels (.npy)": (256, "npy"),
    "512² PNG": (512, "png"),
    "1024² PNG": (1024, "png"),
    "1024² JPEG": (1024, "jpeg"),
}


async def load(port: int, pictures: Pictures) -> list[float]:
    """Seconds that each request took which ended after the warm-up."""
    started = time.perf_counter()
    taken: list[float] = []

    async def client() -> None:
        connection = Connection(port)
        while time.perf_counter() < started + SECONDS:
            reply = await connection.send(rank_body(next(pictures), pictures.take(CANDIDATES)))
            if reply.status != 200:
                raise RuntimeError(f"{reply.status}: {reply.content[:200]!r}")
            if time.perf_counter() > started + WARM_UP_SECONDS:
                taken.append(reply.seconds)

    await asyncio.gather(*(client() for _ in range(CLIENTS)))
    return taken


def main() -> int:
    """Print the table."""
    cores = sorted(os.sched_getaffinity(0))
    if len(cores) < 2:
        print("sizing: needs two cores, one of them for the load generator")
        return 2
    os.sched_setaffinity(0, cores[:1])  # what the service inherits
    server = clpips("sizing", threads=1, decode_threads=1)
    server.start()
    try:
        os.sched_setaffinity(0, cores[1:])
        print(f"memory, started and warm: {server.resident_bytes() / 2**20:.0f} MiB")
        print("| images | requests/s of 1 + 10 | images/s | median, p95 with 8 clients | memory after |")
        print("|---|---|---|---|---|")
        for name, (side, form) in INPUTS.items():
            taken = asyncio.run(load(server.port, Pictures(side, form, distinct=8)))
            rate = len(taken) / (SECONDS - WARM_UP_SECONDS)
            median, p95 = statistics.median(taken), statistics.quantiles(taken, n=20)[-1]
            memory = server.resident_bytes() / 2**20
            speed = f"{rate:.1f} | {rate * (CANDIDATES + 1):.0f}"
            print(f"| {name} | {speed} | {median:.2f} s, {p95:.2f} s | {memory:.0f} MiB |", flush=True)
    finally:
        server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
