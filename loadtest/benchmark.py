"""The service beside its alternatives: one run, each contender in its own processes on the same cores and inputs.

    python -m loadtest.benchmark [--rounds 5] [--only rank,one,session,npy,pair,fair,fits,parts] [--without NAMES]
        [--out reports/benchmark]

Bias, named: this is the service's own benchmark, its scenarios are those the service was made for, and the
alternatives are its authors' idea of what a competent author writes. They get evaluation and inference mode, no
gradient, images resized to 256², and the settings with which they were fastest here.

Contenders take turns within a round, so that a slow minute of the machine hits all of them; who does not run is frozen
(SIGSTOP). Every number is the median of the rounds, with the least and the greatest.
"""

import argparse
import asyncio
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Awaitable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from loadtest.kit.contenders import Server
from loadtest.kit.scenarios import SCENARIOS, Measured, Scenario, computes_bfloat16, servers

console = Console(width=120)

PARTS = {
    "convolutions alone, float32": ["ceiling", "float32"],
    "convolutions alone, bfloat16": ["ceiling", "bfloat16"],
    "engine onnx exact": ["engine", "onnx", "exact"],
    "engine onnx exact, direct": ["engine", "onnx", "exact", "direct"],
    "engine torch exact": ["engine", "torch", "exact"],
    "engine torch fast": ["engine", "torch", "fast"],
    "one pair without a server": ["pair"],
}

BESIDE = {"npy": ["engine onnx exact"], "pair": ["one pair without a server"]}  # parts that take turns with a scenario

Results = dict[str, dict[str, list[float]]]  # contender, quantity → one value a round


def compare(scenario: Scenario, contenders: Sequence[Server], beside: Sequence[str], rounds: int) -> Results:
    """Run the scenario with each contender in turn, `rounds` times after one round that does not count.

    `beside` names parts that take their turn too.
    """
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
            if number:
                _measure_parts(beside, results)
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
        _measure_parts([name for name in PARTS if "fast" not in PARTS[name] or computes_bfloat16()], results)
    return results


def _measure_parts(names: Sequence[str], results: Results) -> None:
    """Add what each of the named parts can do, in a process of its own, to the results."""
    for name in names:
        command = [sys.executable, "-m", "loadtest.kit.parts", *PARTS[name]]
        value = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)["value"]
        if PARTS[name] == ["pair"]:
            results[name]["p50 ms"].append(value * 1e3)
        else:
            results[name]["images/s"].append(value)


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
        "--only", default="parts,rank,one,session,npy,pair,fair,fits", help="scenarios, separated by commas"
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
        results = (
            compare(scenario, contenders, BESIDE.get(name, ()), arguments.rounds)
            if scenario
            else parts(arguments.rounds)
        )
        everything[name] = results
        show(f"{title} ({arguments.rounds} rounds, {time.perf_counter() - started:.0f} s)", results)
        (arguments.out / f"{name}.json").write_text(json.dumps(results, indent=1))
    plot(everything, arguments.out / "benchmark.png")


if __name__ == "__main__":
    main()
