"""Soak: many requests against one service; memory after the first tenth may grow by 2 % at most.

    python -m loadtest.soak [--requests 20000] [--growth 0.02]

Half of the requests are rankings of unique images, a fifth are pairs, the rest are what goes wrong in life: bad images,
clients that go away in the middle, deadlines that pass. Exit code 1 where memory grew more, or an answer was not one
of those expected.
"""

import argparse
import asyncio
import sys
import time
from collections import Counter

from loadtest.kit.client import Body, Connection, pair_body, rank_body
from loadtest.kit.contenders import Server, clpips
from loadtest.kit.pictures import Pictures

CLIENTS = 8
EXPECTED = {200, 422, 503, 504}
CACHE_BYTES = 64 * 2**20  # small, as are comparisons, so that both are full before the first tenth is over
COMPARISON_BYTES = 2**20


def bodies(pictures: Pictures, number: int) -> Body:
    """The request of this number: a mix that repeats every ten."""
    kind = number % 10
    if kind < 5:
        return rank_body(next(pictures), pictures.take(2))
    if kind < 7:
        return pair_body(next(pictures), next(pictures))
    if kind == 7:
        return rank_body(next(pictures), [b"this is no image", next(pictures)[:500]])
    return rank_body(next(pictures), pictures.take(2), headers="X-Request-Timeout-Ms: 60\r\n")


async def client(server: Server, first: int, requests: int, statuses: Counter[int]) -> None:
    pictures = Pictures(64, "png", seed=first)
    connection = Connection(server.port)
    for number in range(first, first + requests):
        body = bodies(pictures, number)
        if number % 10 == 9:  # goes away after a moment, its answer unread
            leaver = Connection(server.port)
            task = asyncio.create_task(leaver.send(body))
            await asyncio.wait([task], timeout=0.01)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
            leaver.close()
        else:
            statuses[(await connection.send(body)).status] += 1
    connection.close()


async def soak(server: Server, requests: int, growth: float) -> bool:
    statuses: Counter[int] = Counter()
    tenth = requests // 10 // CLIENTS
    baseline = 0
    started = time.perf_counter()
    for stage in range(10):
        await asyncio.gather(
            *(client(server, (stage * CLIENTS + number) * tenth, tenth, statuses) for number in range(CLIENTS))
        )
        resident = server.resident_bytes()
        baseline = baseline or resident
        print(
            f"{(stage + 1) * tenth * CLIENTS:6d} requests, {time.perf_counter() - started:5.0f} s, resident "
            f"{resident / 2**20:6.1f} MiB ({resident / baseline - 1:+.1%} since the first tenth), {dict(statuses)}",
            flush=True,
        )
    grown = resident / baseline - 1
    unexpected = set(statuses) - EXPECTED
    if grown > growth:
        print(f"soak: memory grew by {grown:.1%}, the bound is {growth:.0%}")
    if unexpected:
        print(f"soak: unexpected answers: {unexpected}")
    return grown <= growth and not unexpected


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--requests", type=int, default=20_000)
    parser.add_argument("--growth", type=float, default=0.02, help="of memory, after the first tenth [default: 0.02]")
    arguments = parser.parse_args()
    server = clpips("soak", feature_cache_bytes=CACHE_BYTES, comparison_bytes=COMPARISON_BYTES)
    server.start()
    try:
        held = asyncio.run(soak(server, arguments.requests, arguments.growth))
    finally:
        server.stop()
    sys.exit(not held)


if __name__ == "__main__":
    main()
