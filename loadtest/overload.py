"""Overload: three times what the service can do, for a minute, with a deadline on every request.

    python -m loadtest.overload [--seconds 60] [--times 3]

First the peak: as many clients as keep it busy, each waiting for its answer. Then requests come at `times` that rate
whether answered or not, each with a deadline; then the peak again, and the mean of both is what counts. This generator
runs on the same processors, and sends three times as much: goodput is also told, and not judged, as a part of what the
processors that it leaves would do at the peak.

Exit code 1 where goodput falls below 90 % of the peak, a refusal takes longer than 50 ms at the median, an accepted
request longer than its deadline at p95, or memory grows by more than a tenth from the first third of the minute to the
last.
"""

import argparse
import asyncio
import os
import statistics
import sys
import time

import numpy as np
import uvloop

from loadtest.kit.client import Body, Connection, Load, drive, rank_pieces
from loadtest.kit.contenders import Server, clpips
from loadtest.kit.pictures import Pictures

CANDIDATES = 5
DEADLINE_SECONDS = 4.0
PEAK_SECONDS = 10.0
LEAST_GOODPUT = 0.9
REFUSAL_SECONDS = 0.05
MOST_GROWTH = 0.1

pictures = Pictures(256, "npy")
DEADLINE = f"X-Request-Timeout-Ms: {DEADLINE_SECONDS * 1000:.0f}\r\n"


Processors = tuple[float, float]  # seconds, of this process and of the service


def ranking(headers: str = "") -> Body:
    """A ranking whose images nobody has sent before."""
    return rank_pieces(pictures.pieces(), [pictures.pieces() for _ in range(CANDIDATES)], headers)


async def peak(server: Server) -> tuple[Load, Processors]:
    """What eight clients get through that wait for their answers, and what it takes."""
    requests = 4
    while True:
        clients = [[ranking() for _ in range(requests)] for _ in range(8)]
        before = _processors(server)
        load = await drive(server.port, clients)
        if load.seconds >= PEAK_SECONDS or requests > 1000:
            return load, _since(before, server)
        requests = int(requests * max(1.3 * PEAK_SECONDS / load.seconds, 2))


async def flood(server: Server, per_second: float, seconds: float) -> tuple[Load, float]:
    """Requests at a steady rate, answered or not. Also how much the service's memory grew after the first third."""
    latencies: list[float] = []
    refused: list[float] = []
    other: dict[int, int] = {}
    idle: list[Connection] = []
    resident = [0, 0, 0]  # most bytes in each third

    async def one() -> None:
        connection = idle.pop() if idle else Connection(server.port)
        reply = await connection.send(ranking(headers=DEADLINE))
        idle.append(connection)
        if reply.status == 200:
            latencies.append(reply.seconds)
        elif reply.status == 503:
            refused.append(reply.seconds)
        else:
            other[reply.status] = other.get(reply.status, 0) + 1

    started = time.perf_counter()
    tasks = []
    count = int(per_second * seconds)
    for number in range(count):
        await asyncio.sleep(max(started + number / per_second - time.perf_counter(), 0))
        tasks.append(asyncio.create_task(one()))
        third = 3 * number // count
        resident[third] = max(resident[third], server.resident_bytes())
    await asyncio.gather(*tasks)
    took = time.perf_counter() - started  # until the last answer
    for connection in idle:
        connection.close()
    return Load(took, latencies, refused, other), resident[2] / resident[0] - 1


async def run(server: Server, seconds: float, times: float) -> list[str]:
    """The bounds that were not held."""
    await peak(server)  # fills the cache and the allocator's pools
    best, peak_took = await peak(server)
    before = _processors(server)
    load, growth = await flood(server, best.per_second * times, seconds)
    flood_took = _since(before, server)
    again, _ = await peak(server)
    most = (best.per_second + again.per_second) / 2  # a machine's clock may change within a minute
    cores = os.cpu_count() or 1
    left = (cores - flood_took[0] / load.seconds) / (cores - peak_took[0] / best.seconds)  # of the processors
    goodput = load.per_second / most
    p95 = load.percentile(95)
    refusal = statistics.median(load.refused) if load.refused else 0.0
    slowest = float(np.percentile(load.refused, 99)) if load.refused else 0.0
    print(f"peak                 {best.per_second:6.1f} requests/s, p95 {best.percentile(95):.2f} s")
    print(f"the peak afterwards  {again.per_second:6.1f} requests/s")
    print(
        f"{times:g} × that             {load.per_second:6.1f} requests/s = {goodput:.0%} of their mean, "
        f"{goodput / left:.0%} by the processors that this generator leaves, p95 {p95:.2f} s"
    )
    print(f"refused with 503     {len(load.refused):6d}, median {refusal * 1e3:.1f} ms, p99 {slowest * 1e3:.1f} ms")
    print(f"any other status     {load.other or 'none'}")
    for what, took, during in (("peak", peak_took, best), ("flood", flood_took, load)):
        own, service = (one / during.seconds for one in took)
        print(f"processors, {what:6}   service {service:.2f}, this generator {own:.2f} of {cores}")
    print(f"resident memory      {growth:+.1%} from the first third to the last")
    complaints = []
    if goodput < LEAST_GOODPUT:
        complaints.append(f"goodput is {goodput:.0%} of the peak, the bound is {LEAST_GOODPUT:.0%}")
    if refusal > REFUSAL_SECONDS:
        complaints.append(f"a refusal takes {refusal * 1e3:.0f} ms, the bound is {REFUSAL_SECONDS * 1e3:.0f} ms")
    if p95 > DEADLINE_SECONDS:
        complaints.append(f"p95 of what was accepted is {p95:.2f} s, the deadline is {DEADLINE_SECONDS:g} s")
    if growth > MOST_GROWTH:
        complaints.append(f"memory grew by {growth:.0%}, the bound is {MOST_GROWTH:.0%}")
    return complaints


def _processors(server: Server) -> Processors:
    return time.process_time(), server.processor_seconds()


def _since(before: Processors, server: Server) -> Processors:
    own, service = (now - then for now, then in zip(_processors(server), before, strict=True))
    return own, service


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--times", type=float, default=3.0, help="the peak rate [default: 3]")
    arguments = parser.parse_args()
    server = clpips("overload", feature_cache_bytes=64 * 2**20)
    server.start()
    try:
        complaints = uvloop.run(run(server, arguments.seconds, arguments.times))  # it leaves the service more
    finally:
        server.stop()
    for complaint in complaints:
        print(f"overload: {complaint}")
    sys.exit(bool(complaints))


if __name__ == "__main__":
    main()
