"""Plots of a report: figures that stand in its page as SVG, and beside it as files."""

import io
from collections.abc import Sequence
from typing import Final

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from clpips.models.agreement.pooling import pool_ranks
from clpips.models.fitting.curve_points import CurvePoint, group_by_size
from clpips.models.metric.families import ALEXNET, FAMILIES, layout_of_z
from clpips.models.report.contents import Report
from clpips.models.report.labels import any_script, plain_label

BASELINE_COLOUR: Final = "#8a94a6"
METRIC_COLOUR: Final = "#0f7b6c"
PAPER_COLOUR: Final = "#c26a1b"
LONGEST: Final = 28  # characters of a metric's name that a plot has room for
STRENGTHS: Final = (1.0, 0.75, 0.55, 0.4, 0.28)  # opacity of a bar's families, in their order


def curve_plot(curve: Sequence[CurvePoint]) -> Figure:
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
    return figure


def layers_plot(report: Report) -> Figure:
    """The share of each layer, and in it of each family, of the mean distance, by the baseline and by the metric."""
    figure, axes = _figure(3.7, 3.8)
    rows = report.judged.rows[np.unique(np.concatenate(report.judged.rows_of))]  # (r, c)
    mean = rows.mean(axis=0, dtype=np.float64)  # (c,)
    backbones = {family.name: family.backbone for family in FAMILIES}
    groups = layout_of_z(rows.shape[1]).groups
    taps = list(dict.fromkeys((backbones[group.family], group.layer) for group in groups))
    places = np.arange(len(taps))
    sides = (
        (report.evaluation.baseline.name, report.baseline, BASELINE_COLOUR, -0.2),
        (report.evaluation.metric.name, report.weights, METRIC_COLOUR, 0.2),
    )
    for name, weights, colour, shift in sides:
        heights = np.zeros((len(FAMILIES), len(taps)))  # (families, taps)
        for group in groups:
            tap = taps.index((backbones[group.family], group.layer))
            heights[list(backbones).index(group.family), tap] = mean[group.place] @ weights[group.place]
        heights *= 100 / (heights.sum() or 1)
        below = np.cumsum(heights, axis=0) - heights  # (families, taps)
        for number, family in enumerate(backbones):
            if heights[number].any():
                axes.bar(
                    places + shift, heights[number], 0.38, bottom=below[number], color=colour,
                    alpha=STRENGTHS[number % len(STRENGTHS)], label=f"{family} by {_label(name)}",
                )  # fmt: skip
    names = [f"conv{layer + 1}" if backbone == ALEXNET else "content" for backbone, layer in taps]
    axes.set_xticks(places, names)
    axes.set_ylabel("share of distance, %")
    figure.legend(frameon=False, loc="outside upper left", fontsize=7)
    return figure


def ranks_plot(report: Report) -> Figure:
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
    axes.set(xlabel="people's rank", ylabel=f"rank by {_label(report.evaluation.metric.name)}")
    figure.colorbar(image, ax=axes, label="%", shrink=0.85)
    return figure


def _label(name: str) -> str:
    """A metric's name, of a long one the beginning."""
    return plain_label(name if len(name) <= LONGEST else f"{name[: LONGEST - 1]}…")


def _figure(width: float, height: float) -> tuple[Figure, Axes]:
    figure = Figure((width, height), layout="constrained")
    axes = figure.subplots()
    axes.spines[["top", "right"]].set_visible(False)
    return figure, axes


def inline_svg(figure: Figure) -> str:
    """The figure as an element of the page, in the page's own colour, on its own ground."""
    text = _save(figure, "svg", transparent=True).decode()
    return text[text.index("<svg") :].replace("#000000", "currentColor")


def figure_files(figure: Figure, name: str) -> dict[str, bytes]:
    """Contents by file name: the figure as `.svg` and as `.pdf`, on white."""
    return {f"{name}.{format_}": _save(figure, format_, transparent=False) for format_ in ("svg", "pdf")}


def _save(figure: Figure, format_: str, transparent: bool) -> bytes:
    undated = {"Date": None} if format_ == "svg" else {"CreationDate": None}
    with (
        any_script(),
        mpl.rc_context({"svg.hashsalt": "clpips", "svg.fonttype": "none", "font.family": "sans-serif", "font.size": 9}),
    ):
        buffer = io.BytesIO()
        figure.savefig(buffer, format=format_, metadata=undated, transparent=transparent)
    return buffer.getvalue()
