"""Output of commands: results on standard output, progress on standard error."""

import json
import os
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from io import BytesIO, TextIOWrapper
from pathlib import Path
from threading import Event, Thread
from time import perf_counter
from typing import Any, Final, TextIO, cast

import numpy as np
import rich_click as click
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from clpips.models.metric.whole_files import write_whole

LINE_SECONDS: Final = 5.0  # between lines of progress off a terminal
SHOWN_SECONDS: Final = 0.05  # a part that takes less is not worth a word
NARROWEST: Final = 80  # characters of a terminal that a table of statistics is made for
WIDEST: Final = 10_000  # characters of a line of a table
LONE_SURROGATE: Final = re.compile("[\ud800-\udfff]")


class Unfailing:
    """A stream for words beside the work: what cannot be written is dropped, on a full disk or without a reader."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        with suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with suppress(OSError):
            self._stream.flush()


def write_what_can_be_written() -> None:
    """Have output streams write `?` for what their encoding has no sign for (cp1252 has no ρ), and never fail for it.

    Standard error never fails at all: neither a log line nor a bar of progress may end the work that it tells of.
    """
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            stream.reconfigure(errors="replace")
    for descriptor in range(3):  # a closed one would be given to a socket or a file, to which others then write
        try:
            os.fstat(descriptor)
        except OSError:
            os.open(os.devnull, os.O_RDWR)
    errors: TextIO | None = sys.stderr  # None where it is closed
    sys.stderr = cast("TextIO", Unfailing(errors or Path(os.devnull).open("w")))  # noqa: SIM115 - it is never closed


def print_json(value: object) -> None:
    """One JSON object on a line, for programs; with escapes where the output cannot have it else: nothing is lost.

    So it is where the output is not UTF-8, and for file names that are not, whose bytes Python has as lone surrogates.
    """
    is_utf8 = (getattr(sys.stdout, "encoding", None) or "").replace("-", "").lower() == "utf8"
    text = json.dumps(value, ensure_ascii=not is_utf8)
    click.echo(json.dumps(value) if LONE_SURROGATE.search(text) else text)


def counted(number: int, noun: str) -> str:
    """So many of something, in words.

    >>> counted(1, "target"), counted(2000, "ranking")
    ('1 target', '2,000 rankings')
    """
    return f"{number:,} {noun}" if number == 1 else f"{number:,} {noun}s"


def print_figures(table: Table) -> None:
    """A table as wide as its figures need: none is cut where the terminal is narrower."""
    console = Console(emoji=False)
    needed = console.measure(table, options=console.options.update(width=WIDEST)).maximum
    Console(emoji=False, width=max(console.width, needed)).print(table)


def print_statistics(console: Console, table: Table) -> None:
    """A table of statistics: on a narrow terminal its lines run on, and none of its columns is left out."""
    console.print(table, width=max(console.width, NARROWEST), crop=False)


def write_npy(path: Path, values: NDArray[np.float32]) -> None:
    """Write a `.npy` file of this very name; `numpy.save` would add an ending to one that has another."""
    content = BytesIO()  # `numpy.save` does not say why a file cannot be written
    np.save(content, values, allow_pickle=False)
    write_whole(path, content.getvalue())


def print_line(console: Console, text: str) -> None:
    """One line as it is: not wrapped, and with brackets that are no markup, as file names may have them."""
    console.print(text, soft_wrap=True, highlight=False, markup=False)


@contextmanager
def progress_bar(title: str, line_seconds: float = LINE_SECONDS) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error, gone when done; off a terminal a plain line every `line_seconds`.

    What it gives is told how much is done, and of how much, where that is known.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        with _plain_lines(title, line_seconds) as step:
            yield step
        return
    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(title, total=None)

        def advance(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield advance


@contextmanager
def _plain_lines(title: str, line_seconds: float) -> Iterator[Callable[[int, int], None]]:
    started, stopped, reached = perf_counter(), Event(), [""]

    def speak() -> None:
        while not stopped.wait(line_seconds):
            click.echo(f"{title}{reached[0]}, {perf_counter() - started:.0f} s", err=True)

    def advance(done: int, total: int) -> None:
        reached[0] = f": {done:,} of {total:,}"

    speaker = Thread(target=speak, daemon=True)
    speaker.start()
    try:
        yield advance
    finally:
        stopped.set()
        speaker.join()


class Stopwatch:
    """Elapsed time of a command by its parts, which add up to the whole."""

    def __init__(self) -> None:
        self._started = perf_counter()
        self.parts: dict[str, float] = {}

    @contextmanager
    def part(self, title: str) -> Iterator[Callable[[int, int], None]]:
        """Time a part, with a progress bar of this title."""
        started = perf_counter()
        with progress_bar(title) as step:
            yield step
        self.parts[title] = self.parts.get(title, 0.0) + perf_counter() - started

    def move(self, part: str, title: str, seconds: float) -> None:
        """Count so many seconds of a part as another one."""
        self.parts[part] -= seconds
        self.parts[title] = self.parts.get(title, 0.0) + seconds

    def as_json(self) -> dict[str, float]:
        """Seconds by part, and in all; `other` is what no part covers."""
        total = perf_counter() - self._started
        return {**self.parts, "other": total - sum(self.parts.values()), "total": total}

    @property
    def words(self) -> str:
        """The whole and its parts, for people."""
        seconds = self.as_json()
        total = seconds.pop("total")
        parts = ", ".join(f"{title} {clock(value)}" for title, value in seconds.items() if value >= SHOWN_SECONDS)
        return f"took {clock(total)} in all" + (f": {parts}" if parts else "")


def clock(seconds: float) -> str:
    """Seconds for people.

    >>> clock(3.21), clock(338)
    ('3.2 s', '5:38')
    """
    return f"{seconds:.1f} s" if seconds < 60 else f"{int(seconds) // 60}:{int(seconds) % 60:02}"
