"""Hostile and unlucky cases against a real service process: files, HTTP, access, overload, what fails beside it.

    python -m loadtest.hostile [--only files,…] [--match WORDS] [--list]

Each suite has a process of its own on a loopback port. While a suite is watched, no `/healthz` may take over 250 ms,
and all processes of the service together must hold less than 1.2 GiB. A case in which `/healthz` was late is run again,
twice at most, because on a busy machine somebody else may have been at work: it fails where it is late each time. Exit
code 1 where a case does not hold, with its name and why.
"""

import argparse
import signal
import sys
import time

from rich.console import Console
from rich.markup import escape

from loadtest.hostile.runner import Outcome, Runner
from loadtest.hostile.suites import SUITES

console = Console(width=140, soft_wrap=True)


def main() -> int:
    """1 where a case does not hold, 2 where no case has been asked for, else 0."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0] if __doc__ else None)
    parser.add_argument("--only", default="", help="suites, separated by commas [default: all]")
    parser.add_argument("--match", default="", help="cases whose names hold these words")
    parser.add_argument("--list", action="store_true", help="name the cases and run none")
    arguments = parser.parse_args()
    wanted = [name for name in arguments.only.split(",") if name]
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    outcomes: list[Outcome] = []
    started = time.monotonic()
    for suite in SUITES:
        cases = [case for case in suite.cases if arguments.match in case.name and (not wanted or suite.name in wanted)]
        if arguments.list:
            for case in cases:
                console.print(f"{suite.name:10} {escape(case.name)}")
            continue
        runner = Runner(suite)
        try:
            for case in cases:
                outcome = runner.run(case)
                outcomes.append(outcome)
                _report(outcome)
        finally:
            runner.close()
    if arguments.list:
        return 0
    return _summary(outcomes, time.monotonic() - started)


def _report(outcome: Outcome) -> None:
    mark = "[red]fails[/red]" if outcome.complaint else "holds"
    tries = f" ({outcome.tries} tries)" if outcome.tries > 1 else ""
    memory = f"{outcome.memory_bytes / 2**20:6.0f} MiB" if outcome.memory_bytes else " " * 10
    console.print(f"{mark}  {outcome.suite:10} {outcome.seconds:5.1f} s {memory}  {escape(outcome.case)}{tries}")
    if outcome.complaint:
        console.print(f"       {escape(outcome.complaint)}")


def _summary(outcomes: list[Outcome], seconds: float) -> int:
    if not outcomes:
        console.print("no case of that name")
        return 2
    failed = [outcome for outcome in outcomes if outcome.complaint]
    slowest = max(outcomes, key=lambda outcome: outcome.healthz_seconds)
    largest = max(outcomes, key=lambda outcome: outcome.memory_bytes)
    console.print(f"\n{len(outcomes) - len(failed)} of {len(outcomes)} cases hold, in {seconds:.0f} s")
    console.print(f"/healthz took {slowest.healthz_seconds * 1e3:.0f} ms at most ({escape(slowest.case)})")
    console.print(f"memory was {largest.memory_bytes / 2**20:.0f} MiB at most ({escape(largest.case)})")
    for outcome in failed:
        console.print(f"[red]fails[/red]  {outcome.suite}: {escape(outcome.case)}: {escape(outcome.complaint)}")
    return int(bool(failed))


if __name__ == "__main__":
    sys.exit(main())
