"""Supervision of steps: each a process group of its own, with a time limit, of which nothing is left when it is over.

The standard library alone, as in `rows.py`.
"""

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal
from uuid import uuid4

from loadtest.device.rows import DEVICE, ROWS, SKIPPED, STEP, UNTIL, end_last_line

MARK: Final = "ON_DEVICE_MARK"  # in the environment of all that a step starts, whatever session it is in
GRACE_SECONDS: Final = 2.0  # between the request to end and the end
OWN_END: Final = 0.9  # of its limit: when a step should have ended by itself
REASON_CHARACTERS: Final = 300

State = Literal["done", "skipped", "failed", "timed out"]


@dataclass(frozen=True)
class Step:
    """A command with a limit of time, in seconds."""

    name: str
    title: str
    command: Sequence[str]
    seconds: float
    environment: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """How a step ended."""

    name: str
    title: str
    state: State
    seconds: float
    reason: str = ""


def run_step(step: Step, rows: Path, log: Path, device: str, folder: Path) -> Outcome:
    """Run a step in `folder`; its output is appended to `log`, its rows to `rows`.

    At its limit it is ended; and in any case all that it started.
    """
    end_last_line(rows)
    mark = uuid4().hex
    started = time.monotonic()
    own = {
        ROWS: str(rows),
        STEP: step.name,
        UNTIL: str(time.time() + OWN_END * step.seconds),
        DEVICE: device,
        MARK: mark,
        "PYTHONUNBUFFERED": "1",
    }
    with log.open("ab") as output:
        output.write(f"\n=== {step.name}: {step.title}\n".encode())
        output.flush()
        begin = output.tell()
        process = None
        try:
            process = subprocess.Popen(
                list(step.command),
                cwd=folder,
                env={**os.environ, **step.environment, **own},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
            code: int | None = process.wait(step.seconds)
        except subprocess.TimeoutExpired:
            code = None
        except OSError as error:
            return Outcome(step.name, step.title, "failed", time.monotonic() - started, str(error))
        finally:
            if process is not None:
                _end(process, mark)
    return _outcome(step, code, time.monotonic() - started, _last_line(log, begin))


def _outcome(step: Step, code: int | None, seconds: float, last: str) -> Outcome:
    if code is None:
        return Outcome(step.name, step.title, "timed out", seconds, f"ended after its {step.seconds:g} s")
    if code == 0:
        return Outcome(step.name, step.title, "done", seconds)
    if code == SKIPPED:
        return Outcome(step.name, step.title, "skipped", seconds, last)
    ended = f"exit code {code}" if code > 0 else f"signal {signal.Signals(-code).name}"
    return Outcome(step.name, step.title, "failed", seconds, f"{ended}: {last}")


def _end(process: subprocess.Popen[bytes], mark: str) -> None:
    """Ask the group to end, where it has not; then kill all that carries the mark, in whatever session."""
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGTERM)
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_SECONDS)
    while marked := _carriers(mark):  # a process may fork while the others are killed
        for number in marked:
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        time.sleep(0.01)
    process.wait()


def _carriers(mark: str) -> list[int]:
    """Living processes that were started with the mark."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):  # it has ended meanwhile, or is somebody else's
                if wanted in (folder / "environ").read_bytes().split(b"\0"):
                    found.append(int(folder.name))
    return found


def _last_line(log: Path, begin: int) -> str:
    with log.open("rb") as file:
        file.seek(begin)
        lines = file.read().decode(errors="replace").strip().splitlines()
    return lines[-1].strip()[:REASON_CHARACTERS] if lines else "no output"
