"""`clpips fit`: learn weights from people's rankings, and say how much closer to people they are.

The statistics behind it take a second to load: they are imported when the command runs, so that no other one waits.
"""

import importlib.util
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import rich_click as click
from rich.console import Console

from clpips.models.cli.data_set import read_data_set, require_matplotlib
from clpips.models.cli.options import (
    backbone_option,
    cache_option,
    engine_option,
    json_option,
    rankings_argument,
    report_option,
    resolution_option,
    seed_option,
)
from clpips.models.cli.output import print_json, print_line, progress_bar
from clpips.models.engines.contract import EngineError, EngineName
from clpips.models.installing import install_hint
from clpips.models.metric.backbone_file import load_backbone
from clpips.models.metric.weights_files import load_weights, save_weights

if TYPE_CHECKING:
    from clpips.models.fitting.curve_points import CurvePoint
    from clpips.models.fitting.holdout import JudgedFit
    from clpips.models.fitting.recipes import Recipe
    from clpips.models.rankings.splitting import SplitBy


@click.command("fit")
@rankings_argument
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), required=True, metavar="FILE.safetensors",
    help="Where the fitted weights go.",
)  # fmt: skip
@click.option(
    "--recipe", type=click.Choice(["convex", "personal", "paper"]), default="convex", show_default=True,
    help="convex: one optimum in seconds. personal: narrower, as the service fits. paper: Adam; needs PyTorch.",
)  # fmt: skip
@click.option("--parent", default="lpips", show_default=True, metavar="FILE|NAME", help="Weights to start from.")
@click.option(
    "--split", "share", type=click.FloatRange(0, 1, min_open=True, max_open=True), default=0.7, show_default=True,
    help="Share to fit on for the held-out figures. The weights written are fitted on everything.",
)  # fmt: skip
@click.option(
    "--split-by", "by", type=click.Choice(["target", "image"]), default="target", show_default=True,
    help="Keep targets apart, or every image, where targets are candidates elsewhere.",
)  # fmt: skip
@click.option("--draws", type=click.IntRange(1), default=5, show_default=True, help="Of the report's learning curve.")
@seed_option
@resolution_option
@engine_option
@backbone_option
@cache_option
@report_option
@json_option
def fit_command(
    rankings: Path,
    out: Path,
    recipe: "Recipe",
    parent: str,
    share: float,
    by: "SplitBy",
    draws: int,
    seed: int,
    resolution: int | None,
    engine: EngineName,
    backbone: Path | None,
    cache: Path,
    report: Path | None,
    as_json: bool,
) -> None:
    """Learn weights from people's RANKINGS and say how much closer to people they are.

    The figures are of targets that were kept out of a first fit; the weights written are then fitted on all rankings.
    """
    from clpips.models.fitting.convex import default_parents
    from clpips.models.fitting.holdout import fit_and_judge
    from clpips.models.fitting.learning_curve import learning_curve

    _require_torch(recipe)
    require_matplotlib(report)
    if not out.parent.is_dir():
        raise click.BadParameter(f"there is no folder {out.parent}: make it first", param_hint="--out")
    start = load_weights(parent)
    fingerprint = load_backbone(backbone).fingerprint
    start.require_backbone(fingerprint)
    parents = {start.name: start.values} | {k: v for k, v in default_parents().items() if k != start.name}
    measured = read_data_set(rankings, resolution, engine, backbone, fingerprint, cache)
    fitted = fit_and_judge(
        measured,
        parents,
        name=out.stem,
        backbone=fingerprint,
        resolution=resolution,
        recipe=recipe,
        share=share,
        seed=seed,
        by=by,
    )
    save_weights(fitted.weights, out)
    curve: list[CurvePoint] = []
    if report:
        recipes: list[Recipe] = ["convex", "paper"] if importlib.util.find_spec("torch") else ["convex"]
        with progress_bar("learning curve") as progress:
            curve = list(learning_curve(measured, parents, recipes, draws, share, by, progress))
    figures = _figures(fitted, out, curve)
    if report and fitted.held_out:
        from clpips.models.report.contents import Report
        from clpips.models.report.page import write_report  # matplotlib, which not every install has

        contents = Report(
            title=f"{start.name} and weights fitted to {rankings.name}",
            evaluation=fitted.held_out.evaluation,
            judged=measured.take(fitted.split.held_out),
            weights=fitted.held_out.weights,
            baseline=start.values,
            curve=curve,
        )
        write_report(report, figures, contents)
    if as_json:
        print_json(figures)
    else:
        _print(fitted, out)


def _require_torch(recipe: "Recipe") -> None:
    if recipe == "paper" and not importlib.util.find_spec("torch"):
        raise EngineError(f"the paper recipe needs PyTorch: {install_hint('torch')}; or take --recipe convex")


def _figures(fitted: "JudgedFit", out: Path, curve: list["CurvePoint"]) -> dict[str, Any]:
    """All that is known of the fit as JSON types, null where there is nothing to know."""
    outcome, split, validation = fitted.outcome, fitted.split, fitted.outcome.validation
    figures: dict[str, Any] = {
        "weights": str(out),
        "supported": outcome.supported,
        "reason": outcome.reason,
        "recipe": fitted.weights.recipe,
        "parent": outcome.parent,
        "ridge": outcome.ridge,
        "rankings": len(split.fit) + len(split.held_out) + split.dropped,
        "pairs": outcome.pairs,
        "targets": outcome.targets,
        "seconds": outcome.seconds,
        "cross_validated": {
            "agreement": validation.agreement if validation else None,
            "parent_agreement": validation.parent_agreement if validation else None,
        },
        "held_out": fitted.held_out.evaluation.as_json() if fitted.held_out else None,
    }
    if curve:
        figures["learning_curve"] = [asdict(point) for point in curve]
    return figures


def _print(fitted: "JudgedFit", out: Path) -> None:
    from clpips.models.cli.evaluation_table import print_evaluation

    console, outcome, split = Console(), fitted.outcome, fitted.split
    if fitted.held_out:
        result = fitted.held_out.evaluation
        print_evaluation(console, result, f"on {result.targets} targets held out")
    if outcome.supported:
        told = f"parent {outcome.parent}" + ("" if outcome.ridge is None else f", ridge {outcome.ridge:g}")
        rankings = len(split.fit) + len(split.held_out) + split.dropped
        print_line(
            console,
            f"fitted on {rankings:,} rankings, {outcome.pairs:,} ordered pairs, {outcome.targets} targets in "
            f"{outcome.seconds:.2f} s ({told})",
        )
    else:
        print_line(console, f"no fit: {outcome.reason}. {out} holds the weights of {outcome.parent}.")
    print_line(console, f"wrote {out}")
