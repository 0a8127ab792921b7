"""What one core carries: the figures of deploy/README.md, for the size of a replica.

    python -m loadtest.sizing          about two minutes; needs a second core for the load generator

The service runs on one core (threads and affinity), the generator on the others. Eight clients rank ten candidates
against a target, all images unique, so that nothing comes from the feature cache. Rates are per second of processor
time that the service's process took, so that others who want the same core do not count.
"""

import asyncio
import os
import sys
from pathlib import Path
from typing import Final

from loadtest.kit.client import Connection, rank_body
from loadtest.kit.contenders import Server, clpips
from loadtest.kit.pictures import Format, Pictures

CLIENTS: Final = 8
CANDIDATES: Final = 10
SECONDS: Final = 20
WARM_UP_SECONDS: Final = 5
INPUTS: Final[dict[str, tuple[int, Format]]] = {
    "256² pixels (.npy)": (256, "npy"),
    "512² PNG": (512, "png"),
    "1024² PNG": (1024, "png"),
    "1024² JPEG": (1024, "jpeg"),
}


def processor_seconds(server: Server) -> float:
    """Processor time that the service has taken, in user and kernel mode."""
    fields = Path(f"/proc/{server.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


async def load(server: Server, pictures: Pictures) -> float:
    """Requests for each second of processor time, between the warm-up and the end."""
    loop = asyncio.get_running_loop()
    begin, end = loop.time() + WARM_UP_SECONDS, loop.time() + WARM_UP_SECONDS + SECONDS
    answered = 0
    taken = 0.0

    async def client() -> None:
        nonlocal answered
        connection = Connection(server.port)
        while loop.time() < end:
            reply = await connection.send(rank_body(next(pictures), pictures.take(CANDIDATES)))
            if reply.status != 200:
                raise RuntimeError(f"{reply.status}: {reply.content[:200]!r}")
            answered += begin <= loop.time() < end

    async def clock() -> None:
        nonlocal taken
        await asyncio.sleep(WARM_UP_SECONDS)
        before = processor_seconds(server)
        await asyncio.sleep(SECONDS)
        taken = processor_seconds(server) - before

    await asyncio.gather(clock(), *(client() for _ in range(CLIENTS)))
    return answered / taken


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
        print("| images as sent | requests/s of a target and ten candidates | images/s | memory after |")
        print("|---|---|---|---|")
        for name, (side, form) in INPUTS.items():
            rate = asyncio.run(load(server, Pictures(side, form, distinct=8)))
            memory = server.resident_bytes() / 2**20
            print(f"| {name} | {rate:.1f} | {rate * (CANDIDATES + 1):.0f} | {memory:.0f} MiB |", flush=True)
    finally:
        server.stop()
    return 0


if __name__ == "__main__":
    sys.exit(main())
