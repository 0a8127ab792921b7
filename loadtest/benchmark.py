"""The service beside its alternatives: one run, each contender in its own processes on the same cores and inputs.

    python -m loadtest.benchmark [--rounds 5] [--only rank,session,npy,pair,fair,fits,parts] [--without NAMES]
        [--out reports/benchmark]

Bias, named: this is the service's own benchmark, its scenarios are those the service was made for, and the
alternatives are its authors' idea of what a competent author writes. They get evaluation and inference mode, no
gradient, images resized to 256², and the settings with which they were fastest here.

Contenders take turns within a round, so that a slow minute of the machine hits all of them; who does not run is frozen
(SIGSTOP). Every number is the median of the rounds, with the least and the greatest.
"""

import argparse
import asyncio
import hashlib
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any
from uuid import uuid4

import numpy as np
from rich.console import Console
from rich.table import Table

from loadtest.client import Body, Connection, Load, Reply, drive, pair_body, rank_body
from loadtest.contenders import Server, clpips, litserve, plain
from loadtest.pictures import Format, Pictures

CLIENTS = 8
CANDIDATES = 10
ITERATIONS = 10

Measured = dict[str, float]  # a quantity's name and unit, and its value in one round
Scenario = Callable[[Server, int], Awaitable[Measured]]

console = Console(width=120)


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
    bodies = [pair_body(next(pictures), next(pictures)) for _ in range(120)]
    alone, beside, fitted = list[float](), list[float](), list[float]()

    async def fit_on() -> None:
        while True:
            reply = await learner.send(_json(f"/profiles/{name}/fit", {}))
            _accepted(reply)
            fitted.append(reply.seconds)

    connection = Connection(server.port)
    for start in range(0, len(bodies), 20):  # in turn, so that a slow moment hits both
        fitting = asyncio.create_task(fit_on()) if start % 40 else None
        for body in bodies[start : start + 20]:
            (beside if fitting else alone).append((await connection.send(body)).seconds)
        if fitting:
            fitting.cancel()
            await asyncio.gather(fitting, return_exceptions=True)
            learner.close()
            learner = Connection(server.port)
    connection.close()
    return {
        "p95 ms": float(np.percentile(alone, 95)) * 1e3,
        "p95 ms beside fits": float(np.percentile(beside, 95)) * 1e3,
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
    "session": ("RefinementUser: ten iterations over one growing set, 512² PNG", session),
    "npy": ("/rank, 1 + 10 unique 256² .npy, 8 clients", ranking("npy", 256, 4)),
    "pair": ("/distance, one pair of 512² PNG, idle", pair),
    "fair": ("/distance of 256² .npy pairs beside a ranking of 200", fair),
    "fits": ("/distance of 256² .npy pairs beside a profile that is fitted again and again", fits),
}
PARTS = {
    "convolutions alone, float32": ["ceiling", "float32"],
    "convolutions alone, bfloat16": ["ceiling", "bfloat16"],
    "engine onnx exact": ["engine", "onnx", "exact"],
    "engine torch exact": ["engine", "torch", "exact"],
    "engine torch fast": ["engine", "torch", "fast"],
    "one pair without a server": ["pair"],
}

Results = dict[str, dict[str, list[float]]]  # contender, quantity → one value a round


def compare(scenario: Scenario, contenders: Sequence[Server], rounds: int) -> Results:
    """Run the scenario with each contender in turn, `rounds` times after one round that does not count."""
    results: Results = defaultdict(lambda: defaultdict(list))
    started: list[Server] = []
    try:
        for server in contenders:
            server.start()
            started.append(server)
            server.freeze()
        for number in range(rounds + 1):
            for server in contenders if number % 2 else reversed(contenders):
                server.thaw()
                measured = asyncio.run(_awaited(scenario(server, number)))
                for quantity, value in measured.items():
                    if number:
                        results[server.name][quantity].append(value)
                server.freeze()
    except SystemExit:  # told to stop: what was measured is worth having
        console.print("cut short")
    finally:
        for server in started:
            server.stop()
    return results


async def _awaited(measuring: Awaitable[Measured]) -> Measured:
    return await measuring


def parts(rounds: int) -> Results:
    results: Results = defaultdict(lambda: defaultdict(list))
    for _ in range(rounds):
        for name, arguments in PARTS.items():
            command = [sys.executable, "-m", "loadtest.parts", *arguments]
            done = subprocess.run(command, capture_output=True, text=True, check=True)
            value = json.loads(done.stdout)["value"]
            results[name]["ms" if arguments == ["pair"] else "images/s"].append(
                value * 1e3 if arguments == ["pair"] else value
            )
    return results


def show(title: str, results: Results) -> None:
    """A table: median (least to greatest), and how many times ours is better or worse than each."""
    quantities = list(dict.fromkeys(quantity for values in results.values() for quantity in values))
    table = Table(title=title, title_justify="left")
    table.add_column("")
    for quantity in quantities:
        table.add_column(quantity, justify="right")
    ours = results.get("clpips", {})
    for name, values in results.items():
        cells = []
        for quantity in quantities:
            if not (series := values.get(quantity)):
                cells.append("")
                continue
            ratio = ""
            if name != "clpips" and (reference := ours.get(quantity)):
                ratio = f"  clpips ×{statistics.median(a / b for a, b in zip(reference, series, strict=False)):.2f}"
            cells.append(f"{statistics.median(series):.3g} ({min(series):.3g}–{max(series):.3g}){ratio}")
        table.add_row(name, *cells)
    console.print(table)


def plot(everything: dict[str, Results], path: Path) -> None:
    """Bars of the median throughput, with least and greatest, one panel a scenario."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    panels = [(name, results) for name, results in everything.items() if name in {"rank", "session", "parts"}]
    if not panels:
        return
    figure, axes = plt.subplots(1, len(panels), figsize=(5.2 * len(panels), 3.2), squeeze=False, layout="constrained")
    for axis, (name, results) in zip(axes[0], panels, strict=True):
        unit = {"rank": "requests/s", "session": "sessions/s", "parts": "images/s"}[name]
        rows = {contender: values[unit] for contender, values in results.items() if unit in values}
        medians = [statistics.median(series) for series in rows.values()]
        spread = [
            [median - min(series) for median, series in zip(medians, rows.values(), strict=True)],
            [max(series) - median for median, series in zip(medians, rows.values(), strict=True)],
        ]
        colours = ["#1f6f8b" if contender.startswith("clpips") else "#b9b4a6" for contender in rows]
        axis.barh(list(rows), medians, xerr=spread, color=colours, capsize=3)
        axis.invert_yaxis()
        axis.set_title(SCENARIOS[name][0] if name in SCENARIOS else "The parts alone", fontsize=9, loc="left")
        axis.set_xlabel(unit)
        axis.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
    plt.close(figure)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--rounds", type=int, default=5, help="rounds that count; one more comes first [default: 5]")
    parser.add_argument(
        "--only", default="parts,rank,session,npy,pair,fair,fits", help="scenarios, separated by commas"
    )
    parser.add_argument("--without", default="", help="contenders to leave out, by name, separated by commas")
    parser.add_argument("--out", type=Path, default=Path("reports") / "benchmark", help="where the figures go")
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    console.print(
        f"{platform.processor() or platform.machine()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}"
    )
    everything: dict[str, Results] = {}
    for name in arguments.only.split(","):
        started = time.perf_counter()
        title, scenario = SCENARIOS.get(name, ("The parts alone, 256²", None))
        contenders = [server for server in servers(name) if server.name not in arguments.without.split(",")]
        results = compare(scenario, contenders, arguments.rounds) if scenario else parts(arguments.rounds)
        everything[name] = results
        show(f"{title} ({arguments.rounds} rounds, {time.perf_counter() - started:.0f} s)", results)
        (arguments.out / f"{name}.json").write_text(json.dumps(results, indent=1))
    plot(everything, arguments.out / "benchmark.png")


if __name__ == "__main__":
    main()
