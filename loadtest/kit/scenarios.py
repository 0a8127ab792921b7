"""What the benchmark asks of each contender: one coroutine a scenario, which measures a server for one round."""

import asyncio
import hashlib
import json
import statistics
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np

from loadtest.kit.client import Body, Connection, Load, Reply, drive, pair_body, rank_body
from loadtest.kit.contenders import Server, clpips, litserve, plain
from loadtest.kit.pictures import Format, Pictures

CLIENTS = 8
CANDIDATES = 10
ITERATIONS = 10
FIT_TURNS = 12  # of pairs beside fits, and as many of pairs alone
PAIRS_A_TURN = 20

Measured = dict[str, float]  # a quantity's name and unit, and its value in one round
Scenario = Callable[[Server, int], Awaitable[Measured]]


def checked(load: Load) -> Load:
    if load.other or load.refused:
        raise RuntimeError(f"not every request was answered: {load.other}, {len(load.refused)} refused")
    return load


def ranking(form: Format, side: int, requests: int, count: int = CLIENTS) -> Scenario:
    """`/rank`: `count` clients, a target and ten candidates, every image of every request unique."""

    async def scenario(server: Server, round_number: int) -> Measured:
        pictures = Pictures(side, form, seed=round_number)
        clients = [
            [rank_body(next(pictures), pictures.take(CANDIDATES)) for _ in range(requests)] for _ in range(count)
        ]
        load = checked(await drive(server.port, clients))
        return {
            "requests/s": load.per_second,
            "images/s": load.per_second * (1 + CANDIDATES),
            "p50 ms": load.percentile(50) * 1e3,
            "p95 ms": load.percentile(95) * 1e3,
        }

    return scenario


async def session(server: Server, round_number: int) -> Measured:
    """A person refines: one target, ten iterations, each adds an image and ranks all so far.

    Where the server takes images by name, as its users would: what was sent before is named. The others are sent all.
    """
    pictures = Pictures(512, "png", seed=1000 + round_number)
    target, candidates = next(pictures), pictures.take(ITERATIONS)
    bodies = []
    for count in range(ITERATIONS):
        known = [target, *candidates[:count]] if count and server.takes_names else []
        images = [_name(image) if image in known else image for image in (target, *candidates[: count + 1])]
        bodies.append(rank_body(images[0], images[1:]))
    load = checked(await drive(server.port, [bodies]))
    return {"sessions/s": 1 / load.seconds, "p95 ms": load.percentile(95) * 1e3}


def _name(image: bytes) -> str:
    return f"sha256:{hashlib.sha256(image).hexdigest()}"


async def pair(server: Server, round_number: int) -> Measured:
    """One client, one pair of 512² PNG at a time, an idle service."""
    pictures = Pictures(512, "png", seed=2000 + round_number)
    bodies = [pair_body(next(pictures), next(pictures)) for _ in range(40)]
    load = checked(await drive(server.port, [bodies]))
    return {"p50 ms": load.percentile(50) * 1e3, "p95 ms": load.percentile(95) * 1e3}


async def fair(server: Server, round_number: int) -> Measured:
    """Pairs of one client, alone and while another client has 200 candidates ranked."""
    pictures = Pictures(256, "npy", seed=3000 + round_number)
    bodies = [pair_body(next(pictures), next(pictures)) for _ in range(60)]
    idle = checked(await drive(server.port, [bodies[:20]]))
    bulk = Connection(server.port)
    ranked = asyncio.create_task(bulk.send(rank_body(next(pictures), pictures.take(200))))
    connection, beside, alive = Connection(server.port), list[float](), list[float]()
    for body in bodies[20:]:
        reply = await connection.send(body)
        if ranked.done():
            break
        beside.append(reply.seconds)
        alive.append((await connection.get("/healthz")).seconds)
    if (await ranked).status != 200:
        raise RuntimeError(f"the ranking of 200 got {ranked.result().status}: {ranked.result().content!r}")
    bulk.close()
    connection.close()
    load = Load(1.0, beside, [], {})
    return {
        "idle p95 ms": idle.percentile(95) * 1e3,
        "beside 200 p95 ms": load.percentile(95) * 1e3,
        "/healthz beside 200, p50 ms": statistics.median(alive) * 1e3,
        "200 candidates s": ranked.result().seconds,
    }


async def fits(server: Server, round_number: int) -> Measured:
    """Pairs of one client, alone and while a profile of twenty rankings is fitted again and again."""
    pictures = Pictures(256, "npy", seed=4000 + round_number)
    rng = np.random.default_rng(round_number)
    name = f"benchmark-{uuid4().hex}"
    learner = Connection(server.port)
    _accepted(await learner.send(_json("/profiles", {"name": name})))
    for _ in range(20):
        shown = _accepted(await learner.send(rank_body(next(pictures), pictures.take(CANDIDATES), profile=name)))
        order = {"comparison": shown["comparison"], "order": rng.permutation(CANDIDATES).tolist()}
        _accepted(await learner.send(_json(f"/profiles/{name}/rankings", order)))
    alone, beside, fitted = list[float](), list[float](), list[float]()

    async def fit_on(enough: asyncio.Event) -> None:
        while not enough.is_set():
            reply = await learner.send(_json(f"/profiles/{name}/fit", {}))
            _accepted(reply)
            fitted.append(reply.seconds)

    connection = Connection(server.port)
    for turn in range(2 * FIT_TURNS):  # in turn, so that a slow moment hits both
        bodies = [pair_body(next(pictures), next(pictures)) for _ in range(PAIRS_A_TURN)]
        enough = asyncio.Event()
        fitting = asyncio.create_task(fit_on(enough)) if turn % 2 else None
        for body in bodies:
            (beside if fitting else alone).append((await connection.send(body)).seconds)
        if fitting:
            enough.set()
            await fitting  # to its end: what runs on would be felt by those who are to be alone
    connection.close()
    learner.close()
    p95, p95_beside = (float(np.percentile(seconds, 95)) for seconds in (alone, beside))
    return {
        "p95 ms": p95 * 1e3,
        "p95 ms beside fits": p95_beside * 1e3,
        "ratio of p95": p95_beside / p95,
        "ratio of medians": statistics.median(beside) / statistics.median(alone),
        "a fit, ms": statistics.median(fitted) * 1e3,
    }


def _json(path: str, content: dict[str, Any]) -> Body:
    return Body(path, json.dumps(content).encode(), "application/json")


def _accepted(reply: Reply) -> Any:
    if reply.status >= 300:
        raise RuntimeError(f"got {reply.status}: {reply.content!r}")
    return reply.json()


def servers(scenario: str) -> list[Server]:
    if scenario in {"pair", "fair", "npy", "fits"}:
        return [clpips()]
    everyone = [clpips(), plain(), litserve()]
    if scenario == "rank" and computes_bfloat16():
        everyone.append(clpips("clpips fast", engine="torch", precision="fast"))
    return everyone


def computes_bfloat16() -> bool:
    """Whether the processor has instructions for it; without them it is many times slower than float32."""
    cpuinfo = Path("/proc/cpuinfo")
    return cpuinfo.exists() and bool({"avx512_bf16", "amx_bf16", "bf16"} & set(cpuinfo.read_text().split()))


SCENARIOS: dict[str, tuple[str, Scenario]] = {
    "rank": ("/rank, 1 + 10 unique 512² PNG, 8 clients", ranking("png", 512, 3)),
    "one": ("/rank, 1 + 10 unique 512² PNG, one client", ranking("png", 512, 5, 1)),
    "session": ("RefinementUser: ten iterations over one growing set, 512² PNG", session),
    "npy": ("/rank, 1 + 10 unique 256² .npy, 8 clients", ranking("npy", 256, 4)),
    "pair": ("/distance, one pair of 512² PNG, idle", pair),
    "fair": ("/distance of 256² .npy pairs beside a ranking of 200", fair),
    "fits": ("/distance of 256² .npy pairs beside a profile that is fitted again and again", fits),
}
