"""Table of an evaluation on a terminal, with its verdicts, its legend and its warnings."""

from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from clpips.models.agreement.evaluation import Evaluation
from clpips.models.cli.output import print_line
from clpips.models.report.rows import LEGEND, comparison_rows


def print_evaluation(console: Console, result: Evaluation, where: str) -> None:
    """The paper's Table 3 (Spearman) and Table 4 (ICC), with the shares of pairs and votes."""
    table = Table(title=f"agreement with people {where}", title_justify="left", box=SIMPLE_HEAD)
    for heading in ("", result.baseline.name, result.metric.name, "difference"):
        table.add_column(escape(heading), justify="left" if not heading else "right", no_wrap=True)
    for row in comparison_rows(result):
        table.add_row(row.title, *(escape(cell) for cell in (row.baseline, row.metric, row.difference)))
    console.print(table)
    verdicts = [
        f"{scores.name}: {scores.verdicts['koo_li']} (Koo and Li), {scores.verdicts['cicchetti']} (Cicchetti)"
        for scores in (result.baseline, result.metric)
    ]
    print_line(console, f"ICC(2,1) in words: {'; '.join(verdicts)}")
    print_line(
        console,
        f"{result.sets:,} rankings, {result.pairs:,} pairs with a majority; in brackets 95 % intervals, for "
        f"differences, shares and pooled Spearman by bootstrap over targets; sign-flip test p = {result.sign_flip:.2g}",
    )
    print_line(console, LEGEND)
    for warning in result.warnings:
        print_line(console, f"note: {warning}")
