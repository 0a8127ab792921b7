"""Contenders, each in a process of its own: `clpips score`, and the `lpips` package with a DataLoader."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import psutil


class Run(NamedTuple):
    """What a process took: seconds of the clock, most bytes of it and its children at a time, and what it printed."""

    seconds: float
    peak_bytes: int
    printed: dict[str, Any]


def score(table: Path, out: Path, *options: str) -> Run:
    """`clpips score` of a table. Raises `RuntimeError` where it fails."""
    return timed([sys.executable, "-m", "clpips", "score", str(table), "--out", str(out), "--json", *options])


def reference(table: Path, pairs: int, batch: int, workers: int) -> Run:
    """The `lpips` package on the first pairs of a table."""
    command = [sys.executable, "-m", "loadtest.bulk.reference", str(table), str(pairs), str(batch), str(workers)]
    return timed(command)


def timed(command: Sequence[str]) -> Run:
    """Run a command that prints a JSON object last. Raises `RuntimeError` with its last words where it fails."""
    environment = {**os.environ, "RAY_USAGE_STATS_ENABLED": "0", "RAY_worker_niceness": "0"}
    started = time.perf_counter()
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=environment
    ) as process:
        peak: list[int] = [0]
        watcher = threading.Thread(target=_watch, args=(process, peak))
        watcher.start()
        printed, said = process.communicate()
        watcher.join()
    seconds = time.perf_counter() - started
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}: {said[-2000:]}")
    return Run(seconds, peak[0], json.loads(printed.strip().splitlines()[-1]))


def _watch(process: "subprocess.Popen[str]", peak: list[int]) -> None:
    """The most memory that the process and its children had at a time, looked at ten times a second."""
    while process.poll() is None:
        try:
            whole = psutil.Process(process.pid)
            peak[0] = max(peak[0], sum(_resident(one) for one in [whole, *whole.children(recursive=True)]))
        except psutil.NoSuchProcess:
            return
        time.sleep(0.1)


def _resident(process: psutil.Process) -> int:
    try:
        return int(process.memory_info().rss)
    except psutil.NoSuchProcess:
        return 0
