"""Tables of an evaluation as files: CSV and LaTeX of the paper's Table 3 (Spearman) and Table 4 (ICC), and of choices.

The rows are the statistics, the columns LPIPS, or another baseline, and the fitted metric, each with its 95 % interval
and p-value, and the difference.
"""

import csv
import io
import math
from itertools import groupby
from typing import Final

from clpips.models.agreement.figures import Evaluation
from clpips.models.agreement.statistic import Statistic
from clpips.models.report.rows import CHOICES, TABLE_3, TABLE_4, Row, comparison_rows, format_p, headline

FILES: Final = {CHOICES: "choices", TABLE_3: "table-3", TABLE_4: "table-4"}
FIELDS: Final = ("value", "low", "high", "p")
ESCAPED: Final = {
    **{sign: f"\\{sign}" for sign in "%_&#${}"},
    "\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "<": "$<$", ">": "$>$",
    "ρ": r"$\rho$", "τ": r"$\tau$", "…": r"\dots{}",
}  # fmt: skip
FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")  # how a cell begins that a spreadsheet computes


def table_files(result: Evaluation, where: str = "") -> dict[str, str]:
    """Contents by file name: a `.csv` and a `.tex` for each table; `where` says what was judged: "images not seen"."""
    files = {}
    for group, rows in groupby(comparison_rows(result), lambda row: row.group):
        own = list(rows)
        files[f"{FILES[group]}.csv"] = format_csv(result, own, where)
        files[f"{FILES[group]}.tex"] = format_latex(result, group, own, where)
    return files


def format_csv(result: Evaluation, rows: list[Row], where: str = "") -> str:
    """A line a statistic and a column a figure, in full precision; what is undefined is empty.

    The last columns say what was judged, and whether weights were fitted to it.
    Before a metric's name that a spreadsheet would take for a formula stands an apostrophe, as spreadsheets have it.
    """
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    names = (result.baseline.name, result.metric.name, "difference")
    sides = [f"'{name}" if name.startswith(FORMULA) else name for name in names]
    writer.writerow(["statistic", *(f"{side} {name}" for side in sides for name in FIELDS), "on", "in sample"])
    judged = [where, "yes" if result.in_sample else "no"]
    for row in rows:
        if row.statistics:
            figures = [_plain(value, name) for value in row.statistics for name in FIELDS]
            writer.writerow([row.title, *figures, *judged])
    return buffer.getvalue()


def format_latex(result: Evaluation, group: str, rows: list[Row], where: str = "") -> str:
    """A `table` that needs no package: a value with its interval and p, beside the other metric's."""
    names = [_escape(name) for name in (result.baseline.name, result.metric.name, "difference")]
    title = (group.partition(": ")[2] or group) + (f", on {where}" if where else "")
    lines = [
        r"\begin{table}",
        rf"  \caption{{{_escape(title)}. {_escape(headline(result))}.}}",
        r"  \begin{tabular}{lrrr}",
        rf"    & {' & '.join(names)} \\ \hline",
    ]
    for row in rows:
        if row.statistics:
            cells = " & ".join(_cell(value) for value in row.statistics)
            lines.append(rf"    {_escape(row.title)} & {cells} \\")
    return "\n".join([*lines, r"  \end{tabular}", r"\end{table}", ""])


def _plain(statistic: Statistic | None, name: str) -> str:
    value = math.nan if statistic is None else getattr(statistic, name)
    return "" if math.isnan(value) else repr(float(value))


def _cell(statistic: Statistic | None) -> str:
    if statistic is None:
        return ""
    if math.isnan(statistic.value):
        return "undefined"
    parts = [f"{statistic.value:.3f}"]
    if not math.isnan(statistic.low):
        parts.append(f"[{statistic.low:.3f}, {statistic.high:.3f}]")
    if not math.isnan(statistic.p):
        parts.append(f"${format_p(statistic.p)}$")
    return " ".join(parts)


def _escape(text: str) -> str:
    return "".join(ESCAPED.get(letter, letter) for letter in text)
