"""Report as one self-contained HTML page: tables, plots, and images in three orders."""

import html
import json
from collections.abc import Mapping, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.figure import Figure

from clpips.models.agreement.figures import Evaluation
from clpips.models.fitting.curve_points import CurvePoint, group_by_size
from clpips.models.fitting.rater_results import ByRater, Leads, Line
from clpips.models.report.contents import Report
from clpips.models.report.plots import curve_plot, figure_files, inline_svg, layers_plot, ranks_plot
from clpips.models.report.rows import LEGEND, Row, brief, comparison_rows, format_statistic, headline, undefined_lines
from clpips.models.report.strips import strips
from clpips.models.report.tables import table_files

STYLE: Final = Path(__file__).with_name("style.css")


def write_report(folder: Path, figures: dict[str, Any], report: Report) -> list[Path]:
    """Write `report.html` and `report.json` into the folder, with tables (CSV, LaTeX) and plots (SVG, PDF) beside them.

    The folder is made if need be. Returns the paths.
    """
    folder.mkdir(parents=True, exist_ok=True)
    plots = draw(report)
    content = {
        "report.html": render(report, plots).encode(),
        "report.json": (json.dumps(figures, ensure_ascii=False, indent=2) + "\n").encode(),
    }
    content |= {name: text.encode() for name, text in table_files(report.evaluation, report.where).items()}
    for name, figure in plots.items():
        content |= figure_files(figure, name)
    for name, data in content.items():
        (folder / name).write_bytes(data)
    return [folder / name for name in content]


def draw(report: Report) -> dict[str, Figure]:
    """The plots by name."""
    plots = {"layers": layers_plot(report), "ranks": ranks_plot(report)}
    return plots | ({"curve": curve_plot(report.curve)} if report.curve else {})


def render(report: Report, plots: Mapping[str, Figure]) -> str:
    """The page as HTML; it refers to nothing outside itself."""
    result = report.evaluation
    drawn = {name: inline_svg(figure) for name, figure in plots.items()}
    where = f" On {report.where}." if report.where else ""
    sections = [
        f"<h1>{html.escape(report.title)}</h1>",
        f'<p class="lead">{result.sets:,} rankings of {result.targets} targets, {result.pairs:,} pairs with a '
        f"majority; figures are for {result.drawn}.{html.escape(where)}</p>",
        *([f'<p class="loud">{html.escape(result.in_sample)}</p>'] if result.in_sample else []),
        *([f'<p class="headline">{html.escape(report.out_of_fold)}</p>'] if report.out_of_fold else []),
        f'<p class="headline">{html.escape(headline(result))}</p>',
        *(f'<p class="note">{html.escape(line)}</p>' for line in [*result.warnings, *undefined_lines(result)]),
        "<h2>Agreement with people</h2>",
        _table(result),
        _verdicts(result),
        f"<p>{LEGEND}</p>",
    ]
    if report.people:
        sections += _people(report.people)
    if report.curve:
        sections += [
            "<h2>Learning curve</h2>",
            f"<p>Lead over {html.escape(result.baseline.name)} in share of votes or pairs, on "
            f"{html.escape(report.where or 'what was held out')}; every point is a split and a random draw of its own, "
            "the line is the median.</p>",
            f'<div class="wide">{drawn["curve"]}</div>',
            _curve_table(report.curve),
        ]
    sections += [
        "<h2>What changed, and how the orders compare</h2>",
        f'<div class="pair">{drawn["layers"]}{drawn["ranks"]}</div>',
        "<p>First: the share of each layer, and in it of each family, of the mean distance over these images. Then: of "
        "the images that people put at a rank, the share that the metric puts at each.</p>",
        *strips(report),
        _made(report.made),
        "<footer>Made by clpips. The same figures are in report.json; beside it are the tables as CSV and LaTeX, the "
        "plots as SVG and PDF.</footer>",
    ]
    style = STYLE.read_text(encoding="utf-8")
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{html.escape(report.title)}</title><style>\n{style}</style></head>"
        f"<body>{''.join(sections)}</body></html>\n"
    )


def _people(result: ByRater) -> list[str]:
    """One fit a person: shares of choices by person and by target, and the lead for new targets and new people."""

    def share(value: float) -> str:
        return "–" if np.isnan(value) else f"{100 * value:.1f} %"

    def table(kind: str, lines: Sequence[Line], names: Sequence[str]) -> str:
        rows = "".join(
            f"<tr><td>{html.escape(name)}</td><td>{line.judged:,}</td><td>{share(line.baseline)}</td>"
            f"<td>{share(line.own)}</td><td>{share(line.others)}</td></tr>"
            for name, line in zip(names, lines, strict=True)
        )
        head = f"<tr><th>{kind}</th><th>judged</th><th>baseline</th><th>own</th><th>others</th></tr>"
        return f'<div class="wide"><table>{head}{rows}</table></div>'

    def lead(name: str, each: Leads) -> str:
        targets, people, both = (format_statistic(one, percent=True, signed=True) for one in vars(each).values())
        return _row(Row("", name, targets, people, both))

    leads = lead("own weights", result.own) + lead("weights of the others", result.others)
    head = "<tr><th>lead over the baseline</th><th>of new targets</th><th>of new people</th><th>of both</th></tr>"
    return [
        "<h2>One fit a person</h2>",
        f"<p>Shares of people's choices on {html.escape(result.split.words)}. Own: weights that the person taught; "
        "others: weights of everybody else.</p>",
        f'<div class="wide"><table>{head}{leads}</table></div>',
        table("person", result.people, [line.name for line in result.people]),
        table("target", result.targets, brief([line.name for line in result.targets])),
    ]


def _made(made: Mapping[str, str]) -> str:
    """How the report came about, for whoever has to repeat it."""
    rows = "".join(f"<tr><td>{html.escape(name)}</td><td>{html.escape(text)}</td></tr>" for name, text in made.items())
    return f'<h2>How this was made</h2><table class="made">{rows}</table>' if rows else ""


def _table(result: Evaluation) -> str:
    """The groups of `comparison_rows`, a table each."""
    names = "".join(f"<th>{html.escape(name)}</th>" for name in (result.baseline.name, result.metric.name))
    head = f"<tr><th></th>{names}<th>difference</th></tr>"
    return "".join(
        f'<h3>{html.escape(group)}</h3><div class="wide"><table>{head}{"".join(map(_row, rows))}</table></div>'
        for group, rows in groupby(comparison_rows(result), lambda row: row.group)
    )


def _row(row: Row) -> str:
    cells = [html.escape(cell).partition("\n") for cell in (row.baseline, row.metric, row.difference)]
    figures = "".join(f"<td>{first}<small>{rest.replace(chr(10), '<br>')}</small></td>" for first, _, rest in cells)
    return f"<tr><td>{html.escape(row.title)}</td>{figures}</tr>"


def _verdicts(result: Evaluation) -> str:
    words = "; ".join(
        f"{html.escape(scores.name)} is <b>{scores.verdicts['koo_li']}</b> by Koo and Li and "
        f"<b>{scores.verdicts['cicchetti']}</b> by Cicchetti"
        for scores in (result.baseline, result.metric)
    )
    return f"<p>ICC(2,1) in words: {words}.</p>"


def _curve_table(curve: Sequence[CurvePoint]) -> str:
    rows = "".join(
        f"<tr><td>{recipe}</td><td>{size:,}</td><td>{100 * np.median([point.lead for point in points]):+.2f}</td>"
        f"<td>{100 * min(point.lead for point in points):+.2f} to {100 * max(point.lead for point in points):+.2f}</td>"
        f"<td>{np.median([point.seconds for point in points]):.2f} s</td></tr>"
        for (recipe, size), points in group_by_size(curve).items()
    )
    head = "<tr><th>recipe</th><th>rankings</th><th>median lead, points</th><th>spread</th><th>fit</th></tr>"
    return f'<div class="wide"><table>{head}{rows}</table></div>'
