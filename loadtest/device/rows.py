"""What a step found, a row as soon as it is known: appended to a file, so that a step that is ended loses nothing.

The standard library alone: who runs the steps imports this on a machine where nothing is installed yet.
"""

import json
import os
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final, NoReturn

ROWS: Final = "ON_DEVICE_ROWS"  # the variables by which a step learns where rows go,
STEP: Final = "ON_DEVICE_STEP"  # what it is called,
UNTIL: Final = "ON_DEVICE_UNTIL"  # when it should have ended by itself, in seconds since the epoch,
DEVICE: Final = "ON_DEVICE_DEVICE"  # and what it measures: cuda or cpu

SKIPPED: Final = 77  # the exit code of a step that has nothing to do here; its last line says why


@dataclass(frozen=True)
class Row:
    """One figure of one step."""

    step: str
    what: str
    value: float
    unit: str = ""
    low: float | None = None  # of several rounds, where there were several
    high: float | None = None
    least: float | None = None  # the bar: the least value that is good enough,
    most: float | None = None  # or the most
    note: str = ""

    @property
    def holds(self) -> bool | None:
        """Whether the bar is held; None where there is none. A figure that is no number holds no bar."""
        if self.least is None and self.most is None:
            return None
        enough = self.least is None or self.value >= self.least
        return enough and (self.most is None or self.value <= self.most)


def emit(
    what: str,
    value: float,
    unit: str = "",
    *,
    low: float | None = None,
    high: float | None = None,
    least: float | None = None,
    most: float | None = None,
    note: str = "",
    anywhere: bool = False,
) -> None:
    """Say what was found: on standard output, and to whoever runs the step.

    The bar, `least` or `most`, is one for CUDA, and left out on a CPU, unless it holds `anywhere`.
    """
    if device() == "cpu" and not anywhere:
        least = most = None
    row = Row(os.environ.get(STEP, ""), what, float(value), unit, low, high, least, most, note)
    print(f"{what}: {value:.6g} {unit}{f' ({note})' if note else ''}", flush=True)
    if path := os.environ.get(ROWS):
        with Path(path).open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(row)) + "\n")


def read_rows(path: Path) -> list[Row]:
    """The rows of a file. A line that was cut off when its step was ended is left out."""
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            rows.append(Row(**json.loads(line)))
        except (ValueError, TypeError):
            continue
    return rows


def end_last_line(path: Path) -> None:
    """End a line that was cut off, so that it does not spoil the next row."""
    if path.exists() and path.read_bytes()[-1:] not in {b"", b"\n"}:
        with path.open("a", encoding="utf-8") as file:
            file.write("\n")


def device(environment: Mapping[str, str] = os.environ) -> str:
    """What this step measures: `cuda` or `cpu`."""
    return environment.get(DEVICE, "cuda")


def seconds_left() -> float:
    """Seconds until this step should end by itself; many where nobody has said."""
    return float(os.environ.get(UNTIL, time.time() + 3600)) - time.time()


def skip(reason: str) -> NoReturn:
    """End this step: there is nothing for it to do here."""
    print(reason, flush=True)
    sys.exit(SKIPPED)


def require_device() -> str:
    """The device to measure. Ends the step as skipped where that is CUDA, and PyTorch sees none."""
    if device() == "cuda":
        import torch

        if not torch.cuda.is_available():
            skip("no CUDA here")
    return device()
