"""Progress of `clpips score` on standard error: a bar on a terminal, JSON lines off it."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import rich_click as click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from clpips.models.cli.output import LINE_SECONDS, clock

if TYPE_CHECKING:
    from clpips.models.bulk.progress import Progress as Job
    from clpips.models.bulk.progress import Report


@contextmanager
def shown(line_seconds: float = LINE_SECONDS) -> "Iterator[Report]":
    """What is told of a job's progress, and shows it."""
    console = Console(stderr=True)
    if console.is_terminal:
        with _bar(console) as report:
            yield report
    else:
        yield _Lines(line_seconds)


class _Lines:
    """A JSON object a line: at each new stage, and every few seconds."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._stage = ""
        self._last = 0.0

    def __call__(self, job: "Job") -> None:
        now = time.monotonic()
        if job.stage != self._stage or now - self._last >= self._seconds:
            self._stage, self._last = job.stage, now
            click.echo(json.dumps({"event": "progress", **job.as_json()}), err=True)


@contextmanager
def _bar(console: Console) -> "Iterator[Report]":
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TextColumn("{task.fields[pace]}"), console=console, transient=True) as bar:
        task = bar.add_task("planning", total=None, pace="")

        def report(job: "Job") -> None:
            left = job.seconds_left
            pace = f"{job.images_per_second:.0f} images/s, {job.pairs_per_second:.0f} pairs/s"
            pace += "" if left is None else f", {clock(left)} left"
            pace += f", {job.bad_rows:,} rows with errors" if job.bad_rows else ""
            total = job.all_pairs or None
            bar.update(task, description=job.stage, completed=job.pairs, total=total, pace=pace if total else "")

        yield report
