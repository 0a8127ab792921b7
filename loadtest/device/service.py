"""Steps: the service on the device, beside the plain handler with `lpips` there.

    python -m loadtest.device.service wide       .npy, JPEG and PNG with 64, 16 and 256 clients
    python -m loadtest.device.service one        one client, whose target has been seen
    python -m loadtest.device.service replicas   one replica, then two of them, on one card

Every image of every request is new, but for the seen target. Contenders start side by side and take turns; who does not
run is frozen. The generator shares the machine's cores with them, and says how much of a core it took.
"""

import asyncio
import statistics
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import torch

from loadtest.device.rows import emit, require_device, seconds_left
from loadtest.kit.client import Body, rank_body
from loadtest.kit.contenders import Server, clpips, plain
from loadtest.kit.pictures import Format, Pictures
from loadtest.kit.scenarios import CANDIDATES
from loadtest.kit.sustained import DRAIN_SECONDS, WARM_UP, Sustained, sustain

SIDES: dict[Format, int] = {"npy": 256, "jpeg": 512, "png": 512}
CLIENTS = {"cuda": (64, 16, 256), "cpu": (4,)}
SECONDS = {"cuda": 1.5, "cpu": 3.0}  # that a contender's turn lasts
QUEUE = 2**15  # images in hand: this is about throughput, and nobody is to be turned away
REPLICA_FEATURES = 2**31  # bytes, of each replica
TIMES_PLAIN, ONE_CLIENT_MS = 5, 15  # the bars
TURNS = 3
WARM_UP_SECONDS = 0.4


class Contender(NamedTuple):
    """A server, and the profile that it is asked for."""

    name: str
    server: Server
    profile: str = "lpips"


def contenders(device: str, step: str) -> list[Contender]:
    precision = "fast" if device == "cuda" else "exact"  # which a CPU may refuse; there it is a trial of the steps
    fast = clpips(f"{step} fast", precision=precision, device=device, engine="torch", max_queue=QUEUE)
    exact = clpips(f"{step} exact", device=device, engine="torch", max_queue=QUEUE)
    return [
        Contender("fast", fast),
        Contender("plain handler", plain(device)),
        Contender("fast, balanced", fast, "balanced"),
        Contender("exact", exact),
    ]


@contextmanager
def running(servers: Sequence[Server]) -> Iterator[None]:
    """Start servers side by side, frozen once they are ready; end them all, at once: the time is short."""
    distinct = list({id(one): one for one in servers}.values())
    launched: list[Server] = []
    try:
        for server in distinct:
            server.launch()
            launched.append(server)
        for server in distinct:
            server.wait_until_ready()
        for server in distinct:
            server.freeze()
        yield
    finally:
        for server in launched:
            server.kill()


def turn(
    servers: Sequence[Server], pictures: Iterator[bytes], clients: int, seconds: float, profile: str = "lpips"
) -> Sustained:
    """One turn of servers that share a load of rankings of ten candidates, all images new."""

    def body() -> Body:
        return rank_body(next(pictures), [next(pictures) for _ in range(CANDIDATES)], profile=profile)

    for server in servers:
        server.thaw()
    try:
        return asyncio.run(sustain([server.port for server in servers], body, clients, seconds))
    finally:
        for server in servers:
            server.freeze()


def longest_turn(seconds: float) -> float:
    """Seconds that a turn of `seconds` may take, where requests are slow to end."""
    return (1 + WARM_UP) * seconds + DRAIN_SECONDS


def wide(device: str) -> None:
    """Rankings/s of each contender, by format and number of clients; the first cells are those with a bar."""
    everyone = contenders(device, "wide")
    seconds = SECONDS[device]
    with running([one.server for one in everyone]):
        for one in everyone:  # what is paid once: the content network is loaded when it is first asked for
            turn([one.server], Pictures(256, "npy", seed=1, distinct=1), 1, WARM_UP_SECONDS, one.profile)
        for form, side in SIDES.items():
            pictures = Pictures(side, form, distinct=8)
            for clients in CLIENTS[device]:
                rates: dict[str, float] = {}
                for one in everyone:
                    if seconds_left() < longest_turn(seconds):
                        print("the time is over: the cells that follow are left out")
                        return
                    found = turn([one.server], pictures, clients, seconds, one.profile)
                    if not found.latencies:
                        print(f"{form}, {clients} clients: {one.name} answered nothing in {seconds:g} s")
                        continue
                    note = f"p50 {found.percentile(50) * 1e3:.0f} ms, generator {found.generator:.2f} cores"
                    rates[one.name] = found.per_second
                    emit(f"{form}, {clients} clients: {one.name}", found.per_second, "rankings/s", note=note)
                _beside_plain(rates, f"{form}, {clients} clients", judged=(form, clients) == ("npy", 64))


def _beside_plain(rates: dict[str, float], cell: str, *, judged: bool) -> None:
    reference = rates.get("plain handler")
    for name, rate in rates.items():
        if name != "plain handler" and reference:
            least = TIMES_PLAIN if judged and name == "fast" else None
            emit(f"{cell}: {name} beside the plain handler", rate / reference, "times", least=least)


def one(device: str) -> None:
    """Milliseconds of a `/rank` of ten new `.npy` of 256², an idle service, the target seen before."""
    everyone = contenders(device, "one")
    with running([each.server for each in everyone]):
        for each in everyone:
            pictures = Pictures(256, "npy", distinct=8)
            target = next(pictures)

            def body(pictures: Pictures = pictures, target: bytes = target, profile: str = each.profile) -> Body:
                return rank_body(target, pictures.take(CANDIDATES), profile=profile)

            each.server.thaw()
            medians, tails = [], []
            for number in range(1 + TURNS):
                if seconds_left() < DRAIN_SECONDS:
                    break
                found = asyncio.run(sustain([each.server.port], body, 1, 0.5 if device == "cuda" else 1.5))
                if number and found.latencies:
                    medians.append(found.percentile(50) * 1e3)
                    tails.append(found.percentile(95) * 1e3)
            each.server.freeze()
            if medians:
                emit(
                    f"one client, target seen: {each.name}, p50",
                    statistics.median(medians),
                    "ms",
                    low=min(medians),
                    high=max(medians),
                    most=ONE_CLIENT_MS if each.name == "fast" else None,
                    note=f"p95 {statistics.median(tails):.1f} ms",
                )


def replicas(device: str) -> None:
    """Rankings/s of one replica, and of two that share the card, with as many clients."""
    both = [
        clpips(
            f"replica {name}",
            device=device,
            engine="torch",
            precision="fast" if device == "cuda" else "exact",
            max_queue=QUEUE,
            feature_cache_bytes=REPLICA_FEATURES,
        )
        for name in "ab"
    ]
    clients, seconds = CLIENTS[device][0], SECONDS[device]
    with running(both):
        pictures = Pictures(256, "npy", distinct=8)
        rates: dict[int, list[float]] = {1: [], 2: []}
        while len(rates[2]) < TURNS and seconds_left() > 2 * longest_turn(seconds):
            for count, found in rates.items():
                found.append(turn(both[:count], pictures, clients, seconds).per_second)
                emit(f"turn {len(found)}: {_replicas(count)}, {clients} clients", found[-1], "rankings/s")
        for count, found in rates.items():
            if found:
                what = f"{_replicas(count)}, {clients} clients"
                emit(what, statistics.median(found), "rankings/s", low=min(found), high=max(found))
        if rates[2]:
            ratio = statistics.median(two / one for one, two in zip(*rates.values(), strict=True))
            emit("two replicas beside one", ratio, "times")
        if device == "cuda":
            free, total = torch.cuda.mem_get_info()
            emit("memory of the card in use by both", (total - free) / 2**30, "GiB")


def _replicas(count: int) -> str:
    return f"{count} replica{'s' if count > 1 else ''}"


if __name__ == "__main__":
    {"wide": wide, "one": one, "replicas": replicas}[sys.argv[1]](require_device())
