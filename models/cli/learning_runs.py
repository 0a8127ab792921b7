"""What `clpips fit` and `clpips evaluate` do: measure, learn or compare, print, report."""

import importlib.util
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

import rich_click as click
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from clpips.models.agreement.evaluation import Evaluation, evaluate
from clpips.models.cli.options import print_json
from clpips.models.engines.contract import EngineError, EngineName
from clpips.models.engines.opening import open_engine
from clpips.models.fitting.convex import default_parents
from clpips.models.fitting.learning import CurvePoint, Learned, Recipe, learn, learning_curve
from clpips.models.installing import install_hint
from clpips.models.metric.backbone_file import load_backbone
from clpips.models.metric.weights_files import load_weights, save_weights
from clpips.models.rankings.files import read_rankings
from clpips.models.rankings.measuring import Measured, measure
from clpips.models.rankings.splitting import SplitBy
from clpips.models.report.tables import LEGEND, comparison_rows


def fit_rankings(
    rankings: Path,
    out: Path,
    recipe: Recipe,
    parent: str,
    share: float,
    by: SplitBy,
    draws: int,
    seed: int,
    resolution: int | None,
    engine: EngineName,
    backbone: Path | None,
    cache: Path,
    report: Path | None,
    as_json: bool,
) -> None:
    """`clpips fit`: weights into `out`, the held-out comparison to standard output."""
    _require_torch(recipe)
    _require_matplotlib(report)
    if not out.parent.is_dir():
        raise click.BadParameter(f"there is no folder {out.parent}: make it first", param_hint="--out")
    start = load_weights(parent)
    fingerprint = load_backbone(backbone).fingerprint
    start.require_backbone(fingerprint)
    parents = {start.name: start.values} | {k: v for k, v in default_parents().items() if k != start.name}
    measured = _measure(rankings, resolution, engine, backbone, fingerprint, cache)
    learned = learn(measured, out.stem, parents, fingerprint, resolution, recipe, share, seed, by)
    save_weights(learned.weights, out)
    curve: list[CurvePoint] = []
    if report:
        recipes: list[Recipe] = ["convex", "paper"] if importlib.util.find_spec("torch") else ["convex"]
        with _progress("learning curve") as progress:
            curve = list(learning_curve(measured, parents, recipes, draws, share, by, progress))
    figures = _fit_figures(learned, out, curve)
    if report and learned.held_out:
        judged = measured.take(learned.split.held_out)
        title = f"{start.name} and weights fitted to {rankings.name}"
        shown = title, learned.held_out, judged, learned.held_out_weights, start.values, curve
        _write_report(report, figures, shown)
    if as_json:
        print_json(figures)
        return
    console = Console()
    if learned.held_out:
        _print_evaluation(console, learned.held_out, f"on {learned.held_out.targets} targets held out")
    done = learned.fit
    if done.supported:
        told = f"parent {done.parent}" + ("" if done.ridge is None else f", ridge {done.ridge:g}")
        console.print(
            f"fitted on {len(measured.rankings):,} rankings, {done.pairs:,} ordered pairs, {done.targets} targets in "
            f"{done.seconds:.2f} s ({told})",
            soft_wrap=True,
            highlight=False,
        )
    else:
        console.print(f"no fit: {done.reason}. {out} holds the weights of {done.parent}.", soft_wrap=True)
    console.print(f"wrote {out}", soft_wrap=True, highlight=False)


def evaluate_rankings(
    rankings: Path,
    weights: str,
    baseline: str,
    seed: int,
    resolution: int | None,
    engine: EngineName,
    backbone: Path | None,
    cache: Path,
    report: Path | None,
    as_json: bool,
) -> None:
    """`clpips evaluate`: the comparison to standard output."""
    _require_matplotlib(report)
    chosen, other = load_weights(weights), load_weights(baseline)
    fingerprint = load_backbone(backbone).fingerprint
    for each in (chosen, other):
        each.require_backbone(fingerprint)
    measured = _measure(rankings, resolution, engine, backbone, fingerprint, cache)
    result = evaluate(measured, chosen.values, other.values, (chosen.name, other.name), seed)
    if report:
        title = f"{other.name} and {chosen.name} on {rankings.name}"
        _write_report(report, result.as_json(), (title, result, measured, chosen.values, other.values, []))
    if as_json:
        print_json(result.as_json())
        return
    _print_evaluation(Console(), result, f"on {result.targets} targets")


def _require_torch(recipe: Recipe) -> None:
    if recipe == "paper" and not importlib.util.find_spec("torch"):
        raise EngineError(f"the paper recipe needs PyTorch: {install_hint('torch')}; or take --recipe convex")


def _require_matplotlib(report: Path | None) -> None:
    if report and not importlib.util.find_spec("matplotlib"):
        raise EngineError(f"the report needs matplotlib: {install_hint('report')}; or leave --report out")


def _measure(
    path: Path, resolution: int | None, engine: EngineName, backbone: Path | None, fingerprint: str, cache: Path
) -> Measured:
    rankings = read_rankings(path)
    with _progress("channel distances") as progress:
        return measure(
            rankings, lambda: open_engine(engine, backbone=backbone), resolution, fingerprint, cache, progress
        )


@contextmanager
def _progress(title: str) -> Iterator[Callable[[int, int], None]]:
    """A bar on standard error, gone when done; standard output stays for results."""
    columns = (TextColumn(title), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None)

        def step(done: int, total: int) -> None:
            bar.update(task, completed=done, total=total)

        yield step


def _fit_figures(learned: Learned, out: Path, curve: list[CurvePoint]) -> dict[str, Any]:
    fit = learned.fit
    figures: dict[str, Any] = {
        "weights": str(out),
        "supported": fit.supported,
        "reason": fit.reason,
        "recipe": learned.weights.recipe,
        "parent": fit.parent,
        "ridge": fit.ridge,
        "rankings": len(learned.split.fit) + len(learned.split.held_out) + learned.split.dropped,
        "pairs": fit.pairs,
        "targets": fit.targets,
        "seconds": fit.seconds,
        "cross_validated": {
            "agreement": _number(fit.agreement),
            "parent_agreement": _number(fit.parent_agreement),
        },
        "held_out": learned.held_out.as_json() if learned.held_out else None,
    }
    if curve:
        figures["learning_curve"] = [asdict(point) for point in curve]
    return figures


def _number(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _write_report(folder: Path, figures: dict[str, Any], shown: tuple[Any, ...]) -> None:
    from clpips.models.report.page import Report, write_report  # matplotlib, which not every install has

    write_report(folder, figures, Report(*shown))


def _print_evaluation(console: Console, result: Evaluation, where: str) -> None:
    """The paper's Table 3 (Spearman) and Table 4 (ICC), with the shares of pairs and votes."""
    table = Table(title=f"agreement with people {where}", title_justify="left", box=SIMPLE_HEAD)
    for heading in ("", result.baseline.name, result.metric.name, "difference"):
        table.add_column(heading, justify="left" if not heading else "right", no_wrap=True)
    for row in comparison_rows(result):
        table.add_row(row.title, row.baseline, row.metric, row.difference)
    console.print(table)
    verdicts = [
        f"{scores.name}: {scores.verdicts['koo_li']} (Koo and Li), {scores.verdicts['cicchetti']} (Cicchetti)"
        for scores in (result.baseline, result.metric)
    ]
    console.print(f"ICC(2,1) in words: {'; '.join(verdicts)}", soft_wrap=True, highlight=False)
    console.print(
        f"{result.sets:,} rankings, {result.pairs:,} pairs with a majority; in brackets 95 % intervals, for "
        f"differences, shares and pooled Spearman by bootstrap over targets; sign-flip test p = {result.sign_flip:.2g}",
        soft_wrap=True,
        highlight=False,
    )
    console.print(LEGEND, soft_wrap=True, highlight=False)
    for warning in result.warnings:
        console.print(f"note: {warning}", soft_wrap=True, highlight=False)
