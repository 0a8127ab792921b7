"""Table of an evaluation on a terminal, with its verdicts, its legend and its warnings."""

import textwrap
from typing import Final

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from clpips.models.agreement.figures import Evaluation
from clpips.models.cli.output import counted, print_line, print_statistics
from clpips.models.report.rows import LEGEND, comparison_rows, headline, undefined_lines

WIDEST: Final = 100  # characters of a warning's frame
TITLE: Final = 26  # characters of a row's title
FIGURE: Final = 16  # characters of the longest figure, [-0.123, -0.456]


def print_evaluation(console: Console, result: Evaluation, where: str) -> None:
    """The paper's Table 3 (Spearman) and Table 4 (ICC), with the shares of pairs and votes, and the headline."""
    print_line(console, f"agreement with people {where}, for {result.drawn}")
    if result.in_sample:
        console.print(Panel(Text(result.in_sample), style="bold red", width=min(console.width, WIDEST)))
    print_line(console, headline(result))
    table = Table(box=SIMPLE_HEAD, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column("", no_wrap=True)
    for heading in (result.baseline.name, result.metric.name, "difference"):
        table.add_column(Text(heading), justify="right", overflow="fold", min_width=FIGURE)
    group = ""
    for row in comparison_rows(result):
        if row.group != group:
            group = row.group
            table.add_section()
            words = textwrap.fill(group, TITLE)
            table.add_row(Text(words, style="bold"))
        table.add_row(Text(row.title), *map(Text, (row.baseline, row.metric, row.difference)))
    print_statistics(console, table)
    verdicts = [
        f"{scores.name}: {scores.verdicts['koo_li']} (Koo and Li), {scores.verdicts['cicchetti']} (Cicchetti)"
        for scores in (result.baseline, result.metric)
    ]
    print_line(console, f"ICC(2,1) in words: {'; '.join(verdicts)}")
    print_line(console, f"{counted(result.sets, 'ranking')}, {counted(result.pairs, 'pair')} with a majority. {LEGEND}")
    for line in [*undefined_lines(result), *(f"note: {warning}" for warning in result.warnings)]:
        print_line(console, line)
