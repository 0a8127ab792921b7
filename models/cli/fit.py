"""`clpips fit`: learn weights from people's rankings, and say how much closer to people they are.

The statistics behind it take a second to load: they are imported when the command runs, so that no other one waits.
"""

import hashlib
import importlib.util
import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import rich_click as click
from rich.console import Console

from clpips.models.cli.data_set import made, read_data_set, require_matplotlib
from clpips.models.cli.options import FiniteRange, data_set_options, rankings_argument
from clpips.models.cli.output import Stopwatch, counted, print_json, print_line
from clpips.models.engines.contract import EngineError, EngineName
from clpips.models.installing import install_hint
from clpips.models.metric.backbone_file import load_backbone
from clpips.models.metric.weights import LayerWeights
from clpips.models.metric.weights_files import load_weights, save_weights

if TYPE_CHECKING:
    from clpips.models.fitting.curve_points import CurvePoint
    from clpips.models.fitting.holdout import JudgedFit
    from clpips.models.fitting.rater_results import ByRater
    from clpips.models.fitting.recipes import Recipe
    from clpips.models.rankings.measured import MeasuredRankings
    from clpips.models.rankings.splitting import SplitBy

JUDGING: Final = "a fit judged on what is held out"
LONGEST_NAME: Final = 40  # characters of a person's name in a file's
NO_FILE_NAME: Final = r"[^\w.-]"  # characters of a person's name that a file's has not


@click.command("fit")
@rankings_argument
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), required=True, metavar="FILE.safetensors",
    help="Where the fitted weights go.",
)  # fmt: skip
@click.option(
    "--recipe", type=click.Choice(["convex", "personal", "paper"]), default="convex", show_default=True,
    help="convex: of one or many people, in seconds. personal: as the service fits. paper: Adam; needs PyTorch.",
)  # fmt: skip
@click.option(
    "--parent", metavar="FILE|NAME",
    help="Weights to start from: balanced, and lpips for the paper recipe, where none are named.",
)  # fmt: skip
@click.option(
    "--split", "share", type=FiniteRange(0, 1, min_open=True, max_open=True), default=0.7, show_default=True,
    help="Share to fit on for the held-out figures. The weights written are fitted on everything.",
)  # fmt: skip
@click.option(
    "--split-by", "by", type=click.Choice(["auto", "image", "target", "rater"]), default="auto", show_default=True,
    callback=lambda _context, _parameter, value: None if value == "auto" else value,
    help="What to keep apart. auto: images, wherever one stands in rankings of several targets, else targets.",
)  # fmt: skip
@click.option(
    "--by", "each", type=click.Choice(["rater"]),
    help="One fit a person as well: OUT.NAME.safetensors each, with the table of people and of targets.",
)  # fmt: skip
@click.option("--draws", type=click.IntRange(1), default=5, show_default=True, help="Of the report's learning curve.")
@data_set_options
def fit_command(
    rankings: Path,
    out: Path,
    recipe: "Recipe",
    parent: str | None,
    share: float,
    by: "SplitBy | None",
    each: str | None,
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

    The figures are of images, or targets, kept out of a first fit; the weights written are then fitted on all rankings.
    """
    from clpips.models.fitting.by_rater import fit_by_rater, people_of
    from clpips.models.fitting.holdout import fit_and_judge
    from clpips.models.fitting.learning_curve import learning_curve
    from clpips.models.fitting.recipes import DEFAULT_PARENTS

    _require_torch(recipe)
    require_matplotlib(report)
    if not out.parent.is_dir():
        raise click.BadParameter(f"there is no folder {out.parent}: make it first", param_hint="--out")
    loaded = load_backbone(backbone)
    fingerprint, net = loaded.fingerprint, loaded.net.name
    start, baseline = load_weights(parent or DEFAULT_PARENTS[recipe], net), load_weights("lpips", net)
    start.require_backbone(fingerprint, net)
    watch = Stopwatch()
    measured = read_data_set(
        rankings, resolution, engine, backbone, fingerprint, cache, watch,
        check=(lambda read: people_of(read, by)) if each else None,
    )  # fmt: skip
    with watch.part(JUDGING):
        fitted = fit_and_judge(
            measured,
            start,
            baseline,
            name=out.stem,
            backbone=fingerprint,
            resolution=resolution,
            recipe=recipe,
            share=share,
            seed=seed,
            by=by,
        )
    watch.move(JUDGING, "the fit", fitted.outcome.seconds)
    save_weights(fitted.weights, out)
    people: ByRater | None = None
    if each:
        with watch.part("fits by rater") as progress:
            people = fit_by_rater(measured, start, baseline, recipe, share, seed, by, progress)
        _save_each(people, fitted.weights, start, measured, out)
    curve: list[CurvePoint] = []
    if report:
        parents: dict[Recipe, LayerWeights] = {"convex": start if recipe != "paper" else load_weights("balanced", net)}
        if importlib.util.find_spec("torch"):
            parents["paper"] = start if recipe == "paper" else baseline
        with watch.part("learning curve") as progress:
            curve = list(learning_curve(measured, parents, baseline, draws, share, by, progress))
    how = made(
        rankings, fingerprint, {"parent": start, "compared with": baseline, "fitted": fitted.weights},
        seed=seed, resolution=resolution, split=f"{share:g} of the {fitted.split.by}s to fit on",
    )  # fmt: skip
    figures = _figures(fitted, out, curve) | ({"by_rater": people.as_json()} if people else {})
    figures |= {"made": how, "took": watch.as_json()}
    if report and fitted.held_out:
        from clpips.models.report.contents import Report
        from clpips.models.report.page import write_report  # matplotlib, which not every install has

        contents = Report(
            title=f"{baseline.name} and weights fitted to {rankings.name}",
            evaluation=fitted.held_out.evaluation,
            judged=measured.take(fitted.split.held_out),
            weights=fitted.held_out.weights,
            baseline=baseline.values,
            curve=curve,
            people=people,
            where=fitted.split.words,
            out_of_fold=_out_of_fold(fitted),
            made=how,
        )
        with watch.part("report"):
            write_report(report, figures, contents)
    if as_json:
        print_json(figures)
    else:
        _print(fitted, out, report)
        if people:
            from clpips.models.cli.people_table import print_people

            print_people(Console(emoji=False), people)
        print_line(Console(emoji=False), watch.words)


def _save_each(
    people: "ByRater", everybody: LayerWeights, parent: LayerWeights, measured: "MeasuredRankings", out: Path
) -> None:
    """A weights file for each person beside everybody's."""
    from clpips.models.rankings.membership import hash_data_set

    recipe = everybody.recipe.partition(",")[0]
    for rater, name in _file_names(people.weights).items():
        path = out.with_name(f"{out.stem}.{name}{out.suffix}")
        own = measured.take([ranking for ranking in measured.rankings if ranking.rater == rater])
        reason = people.unsupported.get(rater)
        said = f"{counted(len(own.rankings), 'ranking')} of {rater}"
        weights = replace(
            everybody,
            values=people.weights[rater],
            name=path.stem,
            parent=parent.name,
            recipe=f"{recipe}, not supported by {said}: {reason}" if reason else f"{recipe}, {said}",
            agreement={},
            trained_on=parent.trained_on if reason else parent.trained_on | hash_data_set(own),
        )
        save_weights(weights, path)


def _file_names(raters: Iterable[str]) -> dict[str, str]:
    """A part of a file's name for each person, all of them different, also where capitals make no difference.

    >>> _file_names(["ada", "b c", "b_c"])
    {'ada': 'ada', 'b c': 'b_c-47d8a4a8', 'b_c': 'b_c-10fba79c'}
    """
    plain = {rater: re.sub(NO_FILE_NAME, "_", rater)[:LONGEST_NAME] for rater in raters}
    times = Counter(name.casefold() for name in plain.values())
    return {
        rater: name
        if times[name.casefold()] == 1 and len(rater) <= LONGEST_NAME
        else f"{name}-{hashlib.sha256(rater.encode()).hexdigest()[:8]}"
        for rater, name in plain.items()
    }


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
        "rankings": len(split.fit) + len(split.held_out) + split.dropped,
        "pairs": outcome.pairs,
        "targets": outcome.targets,
        "seconds": outcome.seconds,
        "cross_validated": {
            "on": validation.words if validation else None,
            "targets": validation.targets if validation else None,
            "agreement": validation.agreement if validation else None,
            "parent_agreement": validation.parent_agreement if validation else None,
            "lpips_agreement": validation.lpips_agreement if validation else None,
            "in_sample": bool(fitted.parent_seen) if validation else None,
        },
        "headline": "cross_validated" if validation and _few(fitted) else "held_out",
        "held_out_on": split.words if fitted.held_out else None,
        "held_out": fitted.held_out.evaluation.as_json() if fitted.held_out else None,
    }
    if curve:
        figures["learning_curve"] = [asdict(point) for point in curve]
    return figures


def _few(fitted: "JudgedFit") -> bool:
    from clpips.models.agreement.clusters import FEWEST_SETS

    return fitted.held_out is None or fitted.held_out.evaluation.targets < FEWEST_SETS


def _out_of_fold(fitted: "JudgedFit") -> str:
    """The out-of-fold figure in words; nothing where there is none."""
    outcome = fitted.outcome
    if (found := outcome.validation) is None:
        return ""
    figure = (
        f"out of fold, on {found.words} of {_of_all(found.targets, outcome.targets)}: {found.agreement:.1%} of "
        f"people's choices, {outcome.parent} {found.parent_agreement:.1%}, lpips {found.lpips_agreement:.1%}"
    )
    if seen := fitted.parent_seen:
        return f"IN SAMPLE, because {outcome.parent}, which the fit starts from, was fitted to {seen.words}; {figure}"
    if not _few(fitted):
        return figure
    return f"{figure}; {'with so few targets held out below, ' if fitted.held_out else ''}this is the figure to quote"


def _of_all(targets: int, every: int) -> str:
    return f"all {every} targets" if targets == every else f"{targets} of {counted(every, 'target')}"


def _print(fitted: "JudgedFit", out: Path, report: Path | None) -> None:
    from clpips.models.cli.evaluation_table import print_evaluation

    console, outcome, split = Console(emoji=False), fitted.outcome, fitted.split
    if said := _out_of_fold(fitted):
        print_line(console, said)
    if fitted.held_out:
        result = fitted.held_out.evaluation
        print_evaluation(console, result, f"on {split.words}: {counted(result.targets, 'target')} held out")
        if not all(ranking.names for ranking in split.held_out):
            print_line(console, "the file names no candidates: whether their images were seen in fitting is not known")
    else:
        missing = f"table, and no report in {report}" if report else "table"
        print_line(
            console,
            f"no {missing}: on {split.words} there is nothing to judge by, because the split leaves no ranking on one "
            "of its sides; collect more rankings",
        )
    if outcome.supported:
        rankings = len(split.fit) + len(split.held_out) + split.dropped
        print_line(
            console,
            f"fitted on {counted(rankings, 'ranking')}, {counted(outcome.pairs, 'ordered pair')}, "
            f"{counted(outcome.targets, 'target')} in "
            f"{outcome.seconds:.2f} s (parent {outcome.parent})",
        )
    else:
        print_line(console, f"no fit: {outcome.reason}. {out} holds the weights of {outcome.parent}.")
    print_line(console, f"wrote {out}")
