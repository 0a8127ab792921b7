"""Output of commands: results on standard output, progress on standard error."""

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import rich_click as click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn


def print_json(value: object) -> None:
    """One JSON object on a line, for programs."""
    click.echo(json.dumps(value, ensure_ascii=False))


def print_line(console: Console, text: str) -> None:
    """One line as it is: not wrapped, and with brackets that are no markup, as file names may have them."""
    console.print(text, soft_wrap=True, highlight=False, markup=False)


@contextmanager
def progress_bar(title: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error, gone when done; what it gives is told how much is done, and of how much."""
    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None)

        def step(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield step
