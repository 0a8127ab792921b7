"""One self-contained HTML page of a fit or an evaluation: tables, plots, and images in three orders."""

import base64
import html
import io
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray
from PIL import Image
from scipy.stats import rankdata

from clpips.models.agreement.correlation import within_spearman
from clpips.models.agreement.evaluation import Evaluation
from clpips.models.fitting.learning import CurvePoint
from clpips.models.images.decoding import decode
from clpips.models.images.errors import ImageError
from clpips.models.metric.backbone import LAYERS
from clpips.models.rankings.measuring import Measured
from clpips.models.report.tables import LEGEND, Row, comparison_rows

THUMBNAIL: Final = 112  # pixels
STRIP: Final = 12  # images of a set that are shown
BASELINE_COLOUR: Final = "#8a94a6"
METRIC_COLOUR: Final = "#0f7b6c"
PAPER_COLOUR: Final = "#c26a1b"
STYLE: Final = """
:root { color-scheme: light }
body { font: 15px/1.5 system-ui, sans-serif; color: #1d2530; background: #fff; margin: 2.5rem auto; max-width: 60rem;
  padding: 0 1.25rem }
h1 { font-size: 1.6rem; margin: 0 0 .3rem } h2 { font-size: 1.1rem; margin: 2.4rem 0 .6rem }
h3 { font-size: .95rem; margin: 1.2rem 0 .3rem }
p { margin: .3rem 0 .8rem; max-width: 46rem } .lead { color: #4b5565 }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .88rem }
th, td { padding: .32rem .8rem; border-bottom: 1px solid #e3e7ee; text-align: right; vertical-align: top }
th:first-child, td:first-child { text-align: left; padding-left: 0 }
small { display: block; color: #6b7484; font-size: .92em }
svg { max-width: 100%; height: auto }
.pair { display: flex; flex-wrap: wrap; gap: 1.5rem }
.strip { display: flex; gap: .4rem; align-items: flex-end; margin: .35rem 0; overflow-x: auto }
.strip span { flex: 0 0 8.5rem; color: #4b5565; align-self: center }
.strip figure { margin: 0; text-align: center; font-size: .75rem; color: #4b5565 }
.strip img { display: block; width: 84px; height: 84px; object-fit: cover; border-radius: 4px; background: #eef1f5 }
.target { margin-right: .8rem !important } .target img { outline: 3px solid #0f7b6c; outline-offset: -3px }
.note { background: #fff6e5; border-left: 3px solid #c26a1b; padding: .4rem .8rem }
footer { margin-top: 3rem; color: #6b7484; font-size: .85rem }
"""


@dataclass(frozen=True, eq=False)
class Report:
    """What a page shows: `weights` and `baseline`, float32 `(1152,)`, judged by `evaluation` on `judged`."""

    title: str
    evaluation: Evaluation
    judged: Measured
    weights: NDArray[np.float32]
    baseline: NDArray[np.float32]
    curve: list[CurvePoint]


def write_report(folder: Path, figures: dict[str, Any], report: Report) -> list[Path]:
    """Write `report.html` and `report.json` into the folder, which is made if need be; returns their paths."""
    folder.mkdir(parents=True, exist_ok=True)
    page, data = folder / "report.html", folder / "report.json"
    page.write_text(render(report), encoding="utf-8")
    data.write_text(json.dumps(figures, ensure_ascii=False, indent=2) + "\n", encoding="utf-8")
    return [page, data]


def render(report: Report) -> str:
    """The page as HTML; it refers to nothing outside itself."""
    result = report.evaluation
    sections = [
        f"<h1>{html.escape(report.title)}</h1>",
        f'<p class="lead">{result.sets:,} rankings of {result.targets} targets, {result.pairs:,} pairs with a '
        "majority. Brackets are 95 % intervals: for shares, pooled ranks and differences by bootstrap over targets, "
        "for ICCs from F.</p>",
        *(f'<p class="note">{html.escape(warning)}</p>' for warning in result.warnings),
        "<h2>Agreement with people</h2>",
        _table(result),
        _verdicts(result),
        f"<p>{LEGEND}</p>",
    ]
    if report.curve:
        sections += [
            "<h2>Learning curve</h2>",
            "<p>Lead over the parent in share of votes or pairs, on targets held out; every point is a split and a "
            "random draw of its own, the line is the median.</p>",
            _svg(_plot_curve(report.curve)),
            _curve_table(report.curve),
        ]
    sections += [
        "<h2>What changed, and how the orders compare</h2>",
        f'<div class="pair">{_svg(_plot_layers(report))}{_svg(_plot_ranks(report))}</div>',
        "<p>Left: each layer's share of the mean distance over these images. Right: of the images that people put at a "
        "rank, the share that the metric puts at each.</p>",
        *_strips(report),
        "<footer>Made by clpips. The same figures are in report.json.</footer>",
    ]
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width,initial-scale=1">'
        f"<title>{html.escape(report.title)}</title><style>{STYLE}</style></head><body>{''.join(sections)}</body></html>\n"
    )


def _table(result: Evaluation) -> str:
    names = "".join(f"<th>{html.escape(name)}</th>" for name in (result.baseline.name, result.metric.name))
    rows = "".join(f"<tr><td>{html.escape(row.title)}</td>{_cells(row)}</tr>" for row in comparison_rows(result))
    return f"<table><tr><th></th>{names}<th>difference</th></tr>{rows}</table>"


def _cells(row: Row) -> str:
    return "".join(
        f"<td>{first}<small>{second}</small></td>"
        for first, _, second in (cell.partition("\n") for cell in (row.baseline, row.metric, row.difference))
    )


def _verdicts(result: Evaluation) -> str:
    words = "; ".join(
        f"{html.escape(scores.name)} is <b>{scores.verdicts['koo_li']}</b> by Koo and Li and "
        f"<b>{scores.verdicts['cicchetti']}</b> by Cicchetti"
        for scores in (result.baseline, result.metric)
    )
    return f"<p>ICC(2,1) in words: {words}. Sign-flip test over targets: p = {result.sign_flip:.2g}.</p>"


def _by_size(curve: list[CurvePoint]) -> dict[tuple[str, int], list[CurvePoint]]:
    """Points of a recipe and a size together; "all" differs a little from split to split and counts as its median."""
    draws = max(point.seed for point in curve) + 1
    by_recipe: dict[str, list[CurvePoint]] = {}
    for point in curve:
        by_recipe.setdefault(point.recipe, []).append(point)
    grouped = {}
    for recipe, points in by_recipe.items():
        for start in range(0, len(points), draws):
            group = points[start : start + draws]
            grouped[recipe, int(np.median([point.rankings for point in group]))] = group
    return grouped


def _curve_table(curve: list[CurvePoint]) -> str:
    rows = "".join(
        f"<tr><td>{recipe}</td><td>{size:,}</td><td>{100 * np.median([point.lead for point in points]):+.2f}</td>"
        f"<td>{100 * min(point.lead for point in points):+.2f} to {100 * max(point.lead for point in points):+.2f}</td>"
        f"<td>{np.median([point.seconds for point in points]):.2f} s</td></tr>"
        for (recipe, size), points in _by_size(curve).items()
    )
    head = "<tr><th>recipe</th><th>rankings</th><th>median lead, points</th><th>spread</th><th>fit</th></tr>"
    return f"<table>{head}{rows}</table>"


def _plot_curve(curve: list[CurvePoint]) -> Figure:
    figure, axes = _figure(7.6, 3.1)
    grouped = _by_size(curve)
    for recipe, colour in (("convex", METRIC_COLOUR), ("paper", PAPER_COLOUR)):
        sizes = [size for name, size in grouped if name == recipe]
        if not sizes:
            continue
        leads = [[100 * point.lead for point in grouped[recipe, size]] for size in sizes]
        axes.plot(sizes, [np.median(values) for values in leads], color=colour, lw=2, marker="o", ms=5, label=recipe)
        for size, values in zip(sizes, leads, strict=True):
            axes.scatter([size] * len(values), values, color=colour, alpha=0.35, s=14, lw=0)
    axes.axhline(0, color=BASELINE_COLOUR, lw=1)
    axes.set_xscale("log")
    ticks = sorted({size for _, size in grouped})
    axes.set_xticks(ticks, [f"{tick:,}" for tick in ticks])
    axes.minorticks_off()
    axes.set(xlabel="rankings used", ylabel="lead, points")
    axes.legend(frameon=False, loc="upper left")
    return figure


def _plot_layers(report: Report) -> Figure:
    figure, axes = _figure(3.7, 3.1)
    mean = report.judged.rows[np.unique(np.concatenate(report.judged.rows_of))].mean(axis=0, dtype=np.float64)
    places = np.arange(len(LAYERS))
    sides = (
        (report.evaluation.baseline.name, report.baseline, BASELINE_COLOUR, -0.2),
        (report.evaluation.metric.name, report.weights, METRIC_COLOUR, 0.2),
    )
    for name, weights, colour, shift in sides:
        parts = np.array([float(mean[layer] @ weights[layer]) for layer in LAYERS])
        axes.bar(places + shift, 100 * parts / (parts.sum() or 1), 0.38, color=colour, label=name)
    axes.set_xticks(places, [f"conv{layer + 1}" for layer in places])
    axes.set_ylabel("share of distance, %")
    figure.legend(frameon=False, loc="outside upper left", ncols=2)
    return figure


def _plot_ranks(report: Report) -> Figure:
    figure, axes = _figure(3.7, 3.1)
    distances = report.judged.rows.astype(np.float64) @ report.weights
    people, metric = (
        np.concatenate(side)
        for side in zip(
            *(
                (rankdata(ranking.order), rankdata(distances[rows]))
                for ranking, rows in zip(report.judged.rankings, report.judged.rows_of, strict=True)
            ),
            strict=True,
        )
    )
    ranks = int(max(people.max(), metric.max()))
    edges = np.arange(0.5, ranks + 1)
    counts, _, _ = np.histogram2d(np.floor(people), np.floor(metric), [edges, edges])
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(
        100 * shares.T, origin="lower", cmap="Greens", vmin=0, extent=(0.5, ranks + 0.5, 0.5, ranks + 0.5)
    )
    step = max(1, ranks // 8)
    axes.set_xticks(range(1, ranks + 1, step))
    axes.set_yticks(range(1, ranks + 1, step))
    axes.set(xlabel="people's rank", ylabel=f"rank by {report.evaluation.metric.name}")
    figure.colorbar(image, ax=axes, label="%", shrink=0.85)
    return figure


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure((width, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def _svg(figure: Figure) -> str:
    with mpl.rc_context(
        {"svg.hashsalt": "clpips", "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 9}
    ):
        buffer = io.StringIO()
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    return buffer.getvalue()[buffer.getvalue().index("<svg") :]


def _strips(report: Report) -> list[str]:
    """The best, the median and the worst set by ρ, as rows of images; none where rankings hold no images."""
    scored = []
    for index, (ranking, rows) in enumerate(zip(report.judged.rankings, report.judged.rows_of, strict=True)):
        if ranking.z is None:
            rho = within_spearman([ranking.order], [report.judged.rows[rows].astype(np.float64) @ report.weights])[0]
            if not np.isnan(rho):
                # Of pairs, whose ρ is 1 or −1, those come first on which people are surest.
                votes = ranking.votes or (1.0, 0.0)
                scored.append((float(rho) * abs(votes[0] - votes[1]), len(rows), float(rho), index))
    if not scored:
        return []
    largest = max(size for _, size, _, _ in scored)  # long rankings show more than pairs
    ordered = [(rho, index) for _, size, rho, index in sorted(scored) if 2 * size >= largest]
    chosen = {"best": ordered[-1], "median": ordered[len(ordered) // 2], "worst": ordered[0]}
    head = "<h2>Images in the order of people, of the baseline and of the metric</h2><p>Most similar first.</p>"
    return [head, *(_strip(report, title, rho, index) for title, (rho, index) in chosen.items())]


def _strip(report: Report, title: str, rho: float, index: int) -> str:
    ranking, rows = report.judged.rankings[index], report.judged.rows_of[index]
    z = report.judged.rows[rows].astype(np.float64)
    people = ranking.order if ranking.ranks is not None else -np.asarray(ranking.votes)
    orders = [
        (
            "people",
            ranking.order,
            people if ranking.ranks is not None else -people,
            "rank" if ranking.ranks else "votes",
        ),
        (report.evaluation.baseline.name, z @ report.baseline, z @ report.baseline, ""),
        (report.evaluation.metric.name, z @ report.weights, z @ report.weights, ""),
    ]
    target = f'<figure class="target">{_thumbnail(ranking.target)}target</figure>'
    lines = []
    for name, keys, shown, unit in orders:
        figures = "".join(
            f"<figure>{_thumbnail(ranking.candidates[place])}{_caption(shown[place], unit)}</figure>"
            for place in np.argsort(keys, kind="stable")[:STRIP]
        )
        lines.append(f'<div class="strip"><span>{html.escape(name)}</span>{target}{figures}</div>')
    label = html.escape(ranking.set or Path(ranking.target).stem)
    return f"<h3>{title}: {label}, ρ = {rho:.2f}</h3>{''.join(lines)}"


def _caption(value: float, unit: str) -> str:
    return f"{unit} {value:g}" if unit else f"{value:.3f}"


def _thumbnail(path: str) -> str:
    try:
        image = Image.fromarray(decode(Path(path).read_bytes()))
    except (OSError, ImageError):
        return "<img alt='no longer there'>"
    image.thumbnail((2 * THUMBNAIL, 2 * THUMBNAIL))
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=82)
    content = base64.b64encode(buffer.getvalue()).decode("ascii")
    return f'<img src="data:image/jpeg;base64,{content}" alt="{html.escape(Path(path).stem, quote=True)}">'
