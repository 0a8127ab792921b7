"""The engines alone: how fast they embed and compare beside `lpips` and the machine's ceilings, and how exactly.

    python -m loadtest.bench_engine [--device cuda] [--out reports]

Correctness comes first: where a bound does not hold, nothing is timed and the exit code is 1. Every contender gets the
same images, in turn; `lpips.LPIPS` is given all that a careful author would give it (inference mode, pairs in one
batch, pixels that are on the device already).
"""

import argparse
import json
import platform
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from clpips.models.engines.contract import Engine, EngineError
from clpips.models.engines.opening import open_engine
from clpips.models.engines.pytorch.engine import TorchEngine
from clpips.models.engines.pytorch.layout import layout_of
from clpips.models.engines.pytorch.precision import compute_dtype, cpu_has_bfloat16
from clpips.models.metric.distance import weigh
from clpips.models.metric.families import Z_LENGTH
from loadtest.kit.exactness import WEIGHTS, as_lpips, check, check_half, scenes
from loadtest.kit.jpegs import bench_jpeg
from loadtest.kit.measure import Timing, copy_ceiling, flop, in_turn, matrix_ceiling
from loadtest.kit.reference import load_lpips

CONTENDERS = (
    ("onnx", "exact", "direct"),
    ("onnx", "exact", "winograd"),
    ("torch", "exact", "direct"),
    ("torch", "fast", "direct"),
)
BATCHES = {"cpu": (1, 4, 16), "cuda": (1, 4, 16, 64, 128, 256)}
SLOW_PIXELS = 256**2  # a call, of a precision that is emulated

console = Console()


def open_all(device: str) -> dict[str, Engine]:
    """The engines that this machine has."""
    engines = {}
    for name, precision, convolution in CONTENDERS:
        contender = f"{name} {precision}" + (f" {convolution}" if convolution == "winograd" else "")
        try:
            engines[contender] = open_engine(name, device, precision, convolution=convolution)  # type: ignore[arg-type]
        except EngineError as error:
            console.print(f"[yellow]left out: {contender}: {error}")
    return engines


def bench_embed(
    engines: dict[str, Engine], device: str, sides: list[int], rounds: int, seconds: float
) -> list[dict[str, Any]]:
    """Images/s from pixels in main memory, by side and batch."""
    metric = load_lpips().to(device)
    most_pixels = (256 if device == "cuda" else 16) * 256**2
    rows = []
    for side in sides:
        batches = [size for size in BATCHES[device] if size * side**2 <= most_pixels]
        for engine in engines.values():
            if not _crawls(engine):
                engine.prepare(side, batches[-1], 0)
        for batch in batches:
            images = scenes(batch, side)
            calls: dict[str, Callable[[], object]] = {}
            for name, engine in engines.items():
                if _crawls(engine) and batch * side**2 > SLOW_PIXELS:
                    continue
                calls[name] = lambda engine=engine, images=images: engine.embed(images)  # type: ignore[misc]
                if isinstance(engine, TorchEngine) and engine.graphs is not None and batch <= engine.graphs.largest:
                    calls[f"{name}, device alone"] = lambda graphs=engine.graphs, batch=batch: graphs.replay(batch)  # type: ignore[misc]
            if batch > 1:
                halves = torch.chunk(as_lpips(images, device, torch.float32), 2)
                calls["lpips"] = lambda halves=halves: metric(*halves)  # type: ignore[misc]
            with torch.inference_mode():
                timings = in_turn(calls, device, rounds, seconds)
            for name, timing in timings.items():
                rates = _rates(timing, batch)
                tflops = rates["per_second"] * flop(side) / 1e12
                rows.append({"contender": name, "side": side, "batch": batch, **rates, "tflops": tflops})
    return rows


def _crawls(engine: Engine) -> bool:
    """Whether the precision is emulated: a few cells of it are enough."""
    return engine.device == "cpu" and engine.precision == "fast" and not cpu_has_bfloat16()


def _rates(timing: Timing, items: int) -> dict[str, float]:
    """Items a second: in the median round, the slowest and the fastest."""
    return {"per_second": items / timing.median, "least": items / timing.high, "most": items / timing.low}


def bench_compare(engines: dict[str, Engine], device: str, rounds: int, seconds: float) -> list[dict[str, Any]]:
    """Pairs/s at 256² by pairs a call; every pair has features of its own, together larger than the caches."""
    held = 1024 if device == "cuda" else 32
    rows = []
    sizes = [size for size in (1, 10, 64, 512) if size <= held // 2]
    images = scenes(16, 256)
    for name, engine in engines.items():
        features = [one for _ in range(held // 16) for one in engine.embed(images)]
        halves = features[: held // 2], features[held // 2 :][::-1]
        calls = {str(size): _comparing(engine, *halves, size) for size in sizes}
        for size, timing in in_turn(calls, device, rounds, seconds).items():
            pairs = int(size)
            moved = pairs * (2 * features[0].nbytes + 4 * Z_LENGTH)
            rate = _rates(timing, pairs)
            rows.append({"contender": name, "pairs": pairs, **rate, "gbps": moved / timing.median / 1e9})
    return rows


def _comparing(engine: Engine, targets: list[Any], candidates: list[Any], size: int) -> Callable[[], object]:
    """A call that compares the next `size` pairs, so that no call finds the last one's features in a cache."""
    starts = iter(range(0, sys.maxsize, size))

    def call() -> object:
        start = next(starts) % (len(targets) - size + 1)
        return engine.compare(targets[start : start + size], candidates[start : start + size])

    return call


def bench_profiles(rounds: int, seconds: float) -> list[dict[str, Any]]:
    """What weighing 1,000 pairs costs when all have one profile's weights, and when each has its own."""
    rng = np.random.default_rng(0)
    z = rng.random((1000, Z_LENGTH), np.float32)
    many = rng.random((1000, Z_LENGTH), np.float32)
    calls: dict[str, Callable[[], object]] = {"1": lambda: weigh(z, WEIGHTS), "1000": lambda: weigh(z, many)}
    return [
        {"profiles": int(name), "microseconds_a_pair": timing.median * 1e6 / 1000}
        for name, timing in in_turn(calls, "cpu", rounds, seconds).items()
    ]


def describe(device: str) -> str:
    if device == "cuda":
        return f"{torch.cuda.get_device_name()}, PyTorch {torch.__version__}"
    return f"{torch.get_num_threads()} threads of {torch.cpu.get_capabilities().get('cpu_name') or platform.machine()}"


def show(title: str, rows: list[dict[str, Any]]) -> None:
    table = Table(title=title, title_justify="left")
    for column in rows[0]:
        table.add_column(column.replace("_", " "), justify="left" if isinstance(rows[0][column], str) else "right")
    for row in rows:
        table.add_row(*(f"{value:,.5g}" if isinstance(value, float) else str(value) for value in row.values()))
    console.print(table)


def plot(report: dict[str, Any], path: Path) -> None:
    """Images/s by batch at 256², and the comparison's share of the copy ceiling."""
    import matplotlib as mpl

    mpl.use("Agg")
    from matplotlib import pyplot as plt

    figure, (left, right) = plt.subplots(1, 2, figsize=(11, 4.2), layout="constrained")
    rows = [row for row in report["embed"] if row["side"] == 256]
    for name in dict.fromkeys(row["contender"] for row in rows):
        own = [row for row in rows if row["contender"] == name]
        left.plot([row["batch"] for row in own], [row["per_second"] for row in own], marker="o", label=name)
    left.set(xscale="log", xlabel="images a batch", title="Embedding, 256 × 256, images/s", ylim=(0, None))
    ticks = sorted({row["batch"] for row in rows})
    left.set_xticks(ticks, [str(tick) for tick in ticks])
    left.minorticks_off()
    for name in dict.fromkeys(row["contender"] for row in report["compare"]):
        own = [row for row in report["compare"] if row["contender"] == name]
        shares = [100 * row["gbps"] / report["ceilings"]["copy_gbps"] for row in own]
        right.plot([row["pairs"] for row in own], shares, marker="o", label=name)
    right.set(xscale="log", xlabel="pairs a call", title="Comparing, % of the measured copy bandwidth", ylim=(0, None))
    ticks = sorted({row["pairs"] for row in report["compare"]})
    right.set_xticks(ticks, [str(tick) for tick in ticks])
    right.minorticks_off()
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend(frameon=False)
    figure.suptitle(report["device"], fontsize=10)
    figure.savefig(path, dpi=130)


def main() -> int:
    parser = argparse.ArgumentParser(description="Time the engines; correctness first.")
    found = "cuda" if torch.cuda.is_available() else "cpu"
    parser.add_argument("--device", choices=("cpu", "cuda"), default=found)
    parser.add_argument("--sides", default="64,256,512", help="of the images, in pixels; 256 is what is plotted")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--seconds", type=float, default=0.2, help="that a contender's turn lasts about")
    parser.add_argument("--out", type=Path, default=Path("reports"), help="folder for engine.json and engine.png")
    arguments = parser.parse_args()
    device: str = arguments.device
    sides = [int(side) for side in arguments.sides.split(",")]
    turns = arguments.rounds, arguments.seconds

    engines = open_all(device)
    correctness = check(engines)
    show("Correctness, against float64 on the CPU", correctness)
    if not all(row["holds"] for row in correctness):
        console.print("[red]a bound does not hold: nothing is timed")
        return 1
    halves = check_half()
    show("Half precision against float32, at 256 × 256", halves)
    half = compute_dtype(device, "fast")
    report: dict[str, Any] = {
        "device": describe(device),
        "correctness": correctness,
        "half": halves,
        "ceilings": {
            "float32_tflops": matrix_ceiling(device, torch.float32) / 1e12,
            f"{str(half).removeprefix('torch.')}_tflops": matrix_ceiling(device, half) / 1e12,
            "copy_gbps": copy_ceiling(device) / 1e9,
        },
    }
    show(f"Ceilings of {report['device']}", [report["ceilings"]])
    report["embed"] = bench_embed(engines, device, sides, *turns)
    show("Embedding", report["embed"])
    report["compare"] = bench_compare(engines, device, *turns)
    show(f"Comparing at 256 × 256 ({layout_of(256, 256).elements:,} numbers an image)", report["compare"])
    report["profiles"] = bench_profiles(*turns)
    show("Weighing 1,000 pairs", report["profiles"])
    if rows := bench_jpeg(engines, device, *turns):
        report["jpeg"] = rows
        show("JPEG to pixels of 256 × 256 on the device, from files in main memory", rows)
    arguments.out.mkdir(parents=True, exist_ok=True)
    (arguments.out / "engine.json").write_text(json.dumps(report, indent=1))
    plot(report, arguments.out / "engine.png")
    console.print(f"written: {arguments.out / 'engine.json'}, {arguments.out / 'engine.png'}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
