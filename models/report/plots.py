"""Plots of a report, as SVG elements that stand in its page."""

import io
from collections.abc import Sequence
from typing import Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from clpips.models.agreement.pooling import pool_ranks
from clpips.models.fitting.curve_points import CurvePoint, group_by_size
from clpips.models.metric.backbone import LAYERS
from clpips.models.report.contents import Report

BASELINE_COLOUR: Final = "#8a94a6"
METRIC_COLOUR: Final = "#0f7b6c"
PAPER_COLOUR: Final = "#c26a1b"


def curve_plot(curve: Sequence[CurvePoint]) -> str:
    """The lead of each recipe over the number of rankings: a dot a draw, and a line through the medians."""
    figure, axes = _figure(7.6, 3.1)
    grouped = group_by_size(curve)
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
    return _svg(figure)


def layers_plot(report: Report) -> str:
    """Each layer's share of the mean distance, by the baseline and by the metric."""
    figure, axes = _figure(3.7, 3.1)
    rows = report.judged.rows[np.unique(np.concatenate(report.judged.rows_of))]  # (r, c)
    mean = rows.mean(axis=0, dtype=np.float64)  # (c,)
    places = np.arange(len(LAYERS))
    sides = (
        (report.evaluation.baseline.name, report.baseline, BASELINE_COLOUR, -0.2),
        (report.evaluation.metric.name, report.weights, METRIC_COLOUR, 0.2),
    )
    for name, weights, colour, shift in sides:
        parts = np.array([float(mean[layer] @ weights[layer]) for layer in LAYERS])  # (layers,)
        axes.bar(places + shift, 100 * parts / (parts.sum() or 1), 0.38, color=colour, label=name)
    axes.set_xticks(places, [f"conv{layer + 1}" for layer in places])
    axes.set_ylabel("share of distance, %")
    figure.legend(frameon=False, loc="outside upper left", ncols=2)
    return _svg(figure)


def ranks_plot(report: Report) -> str:
    """Confusion matrix of ranks: where the metric puts the images that people put at a rank."""
    figure, axes = _figure(3.7, 3.1)
    distances = report.judged.rows.astype(np.float64) @ report.weights  # (r,)
    orders = [ranking.order for ranking in report.judged.rankings]
    pooled = pool_ranks(orders, [distances[rows] for rows in report.judged.rows_of])
    people, metric = pooled.people, pooled.metric  # (n,)
    ranks = int(max(people.max(), metric.max()))
    edges = np.arange(0.5, ranks + 1)
    counts, _, _ = np.histogram2d(np.floor(people), np.floor(metric), [edges, edges])  # (ranks, ranks)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(
        100 * shares.T, origin="lower", cmap="Greens", vmin=0, extent=(0.5, ranks + 0.5, 0.5, ranks + 0.5)
    )
    step = max(1, ranks // 8)
    axes.set_xticks(range(1, ranks + 1, step))
    axes.set_yticks(range(1, ranks + 1, step))
    axes.set(xlabel="people's rank", ylabel=f"rank by {report.evaluation.metric.name}")
    figure.colorbar(image, ax=axes, label="%", shrink=0.85)
    return _svg(figure)


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
