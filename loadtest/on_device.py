"""One command for a machine with a GPU, which does all that is to be known of it in less than eight minutes.

    python3 -m loadtest.on_device [--wheels .wheels] [--out FOLDER] [--only NAMES] [--device cuda|cpu] [--scale 1]

It starts with nothing but the standard library, installs wheels that lie in a folder (`make wheels-on-device` makes it,
where there is a package index), and runs steps, each with a limit of time: one that hangs, crashes or lacks a package
costs itself alone. Figures are written as they come: `rows.jsonl` and `log.txt`, and after each step `summary.json`
and `summary.txt`, in the folder of `--out`, else of the variable OUT, else `reports/on_device`. Exit code: 0 where
every step ended well or had nothing to do here (a step for CUDA where there is none), 1 where one did not. A figure
that misses its bar is said, and is no failure. With `--device cpu` the same steps rehearse on a CPU.
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from loadtest.device.running import GRACE_SECONDS, Outcome, Step, run_step
from loadtest.device.summary import failed, write_summary

ROOT: Final = Path(__file__).parent.parent
BUDGET_SECONDS: Final = 480.0
INSTALL_SECONDS: Final = 40.0


def steps(site: Path) -> list[Step]:
    """The steps, in the order of what is to be known first; they find what was installed in `site`."""
    paths = [str(site), str(ROOT / "src"), str(ROOT), os.environ.get("PYTHONPATH", "")]
    environment = {"PYTHONPATH": os.pathsep.join(path for path in paths if path)}

    def step(name: str, title: str, seconds: float, *command: str) -> Step:
        return Step(
            name, title, [sys.executable, "-m", f"loadtest.device.{command[0]}", *command[1:]], seconds, environment
        )

    return [
        step("machine", "what is here", 25, "machine"),
        step("kernels", "tests of kernels, graphs and JPEG, compiled", 70, "kernels"),
        step("exactness", "distances beside float64", 35, "exactness"),
        step("rates", "embed and compare beside the card's ceilings", 60, "rates"),
        step("wide", "the service with many clients beside the plain handler", 90, "service", "wide"),
        step("one", "one client, target seen", 35, "service", "one"),
        step("cores", "the CPU engine and the service by number of cores", 65, "cores"),
        step("replicas", "two replicas on one card", 40, "service", "replicas"),
    ]


def install(wheels: Path, site: Path) -> Step:
    """Install the wheels into a folder of their own.

    A folder on the path, not a virtual environment: the interpreter that has PyTorch may be one of an environment
    itself, whose packages a further environment would not see.
    """
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--no-compile", "--upgrade"]
    files = [str(wheel) for wheel in sorted(wheels.glob("*.whl"))]
    return Step("install", f"{len(files)} wheels", [*pip, "--target", str(site), *files], INSTALL_SECONDS)


def run(plan: Sequence[Step], out: Path, device: str) -> list[Outcome]:
    """Run the steps one after the other, and keep the summary true after each."""
    out.mkdir(parents=True, exist_ok=True)
    rows, log = out / "rows.jsonl", out / "log.txt"
    for old in (rows, log):
        old.unlink(missing_ok=True)
    outcomes: list[Outcome] = []
    for step in plan:
        print(f"{step.name}: {step.title} (at most {step.seconds:g} s) ...", flush=True)
        outcomes.append(run_step(step, rows, log, device, ROOT))
        print(f"{step.name}: {outcomes[-1].state} in {outcomes[-1].seconds:.1f} s {outcomes[-1].reason}", flush=True)
        write_summary(out, rows, outcomes)
    return outcomes


def longest(plan: Sequence[Step]) -> float:
    """Seconds that the steps take at most, where every one of them has to be ended."""
    return sum(step.seconds + GRACE_SECONDS for step in plan)


def main() -> int:
    parser = argparse.ArgumentParser(description="All that is to be known of a machine with a GPU, in eight minutes.")
    parser.add_argument("--wheels", type=Path, default=ROOT / ".wheels", help="folder of wheels to install")
    parser.add_argument("--out", type=Path, default=Path(os.environ.get("OUT") or ROOT / "reports" / "on_device"))
    parser.add_argument("--only", default="", help="steps, separated by commas [default: all]")
    parser.add_argument("--device", choices=("cuda", "cpu"), default="cuda", help="cpu: a rehearsal without a GPU")
    parser.add_argument("--scale", type=float, default=1.0, help="of the time limits")
    arguments = parser.parse_args()
    out = arguments.out.resolve()
    site = ROOT / "build" / f"on_device-{sys.implementation.cache_tag}"  # compiled modules are for one Python
    plan = [one for one in steps(site) if not arguments.only or one.name in arguments.only.split(",")]
    if any(arguments.wheels.glob("*.whl")):
        plan = [install(arguments.wheels.resolve(), site), *plan]
    plan = [Step(s.name, s.title, s.command, s.seconds * arguments.scale, s.environment) for s in plan]
    outcomes = run(plan, out, arguments.device)
    print((out / "summary.txt").read_text())
    return int(failed(outcomes))


if __name__ == "__main__":
    sys.exit(main())
