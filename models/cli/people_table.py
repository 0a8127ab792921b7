"""Tables of one fit a person on a terminal: people, targets, and the lead for new targets and for new people."""

from collections.abc import Sequence

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from clpips.models.cli.output import print_line, print_statistics
from clpips.models.fitting.rater_results import ByRater, Line
from clpips.models.report.rows import brief, format_statistic


def print_people(console: Console, result: ByRater) -> None:
    """Shares of held-out choices by person and by target, and the leads with their clusters."""
    print_line(console, f"one fit a person, judged on {result.split.words}: share of the person's choices")
    print_statistics(console, _lines("person", result.people, [line.name for line in result.people]))
    print_statistics(console, _lines("target", result.targets, brief([line.name for line in result.targets])))
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in ("lead over the baseline", "of new targets", "of new people", "of both"):
        table.add_column(heading, justify="left" if heading.startswith("lead") else "right", overflow="fold")
    for name, leads in (("own weights", result.own), ("weights of the others", result.others)):
        figures = (leads.new_targets, leads.new_people, leads.both)
        table.add_row(name, *(Text(format_statistic(lead, percent=True, signed=True)) for lead in figures))
    print_statistics(console, table)
    print_line(
        console,
        "Own: weights that the person taught; others: weights of everybody else, for a person who teaches nothing. "
        "New targets: targets are drawn, people are these; new people: people are drawn, targets are these; both: new "
        "people and new targets. Sign-flip tests and bootstrap intervals over the same.",
    )
    for line in result.people:
        if line.reason:
            print_line(console, f"note: no weights of their own for {line.name}: {line.reason}")


def _lines(kind: str, lines: Sequence[Line], names: Sequence[str]) -> Table:
    table = Table(box=SIMPLE_HEAD, pad_edge=False)
    for heading in (kind, "judged", "baseline", "own", "others"):
        table.add_column(heading, justify="left" if heading == kind else "right", overflow="fold")
    for name, line in zip(names, lines, strict=True):
        shares = (
            "–" if np.isnan(share) else f"{100 * share:.1f} %" for share in (line.baseline, line.own, line.others)
        )
        table.add_row(Text(name), f"{line.judged:,}", *shares)
    return table
