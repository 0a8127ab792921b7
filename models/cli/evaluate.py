"""`clpips evaluate`: how well a metric agrees with people's rankings, beside a baseline.

The statistics behind it take a second to load: they are imported when the command runs, so that no other one waits.
"""

from dataclasses import replace
from pathlib import Path

import rich_click as click
from rich.console import Console

from clpips.models.cli.data_set import made, read_data_set, require_known, require_matplotlib
from clpips.models.cli.options import data_set_options, rankings_argument, weights_option
from clpips.models.cli.output import Stopwatch, counted, print_json, print_line
from clpips.models.engines.contract import EngineName
from clpips.models.metric.backbone_file import load_backbone
from clpips.models.metric.weights_files import load_weights


@click.command("evaluate")
@rankings_argument
@weights_option
@click.option("--baseline", default="lpips", show_default=True, metavar="FILE|NAME", help="Weights to compare with.")
@data_set_options
def evaluate_command(
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
    """Say with statistics how well a metric agrees with people's RANKINGS, beside a baseline."""
    from clpips.models.agreement.evaluation import evaluate
    from clpips.models.cli.evaluation_table import print_evaluation
    from clpips.models.rankings.membership import share_seen

    require_matplotlib(report)
    loaded = load_backbone(backbone)
    fingerprint, net = loaded.fingerprint, loaded.net.name
    chosen, other = load_weights(weights, net), load_weights(baseline, net)
    for each in (chosen, other):
        each.require_backbone(fingerprint, net)
    watch = Stopwatch()
    measured = read_data_set(rankings, resolution, engine, backbone, fingerprint, cache, watch)
    for each in (chosen, other):
        require_known(measured.rankings, each)
    with watch.part("statistics"):
        found = evaluate(measured, chosen.values, other.values, (chosen.name, other.name), seed)
    result = replace(
        found,
        metric_seen=share_seen(chosen.trained_on, measured),
        baseline_seen=share_seen(other.trained_on, measured),
    )
    how = made(rankings, fingerprint, {"judged": chosen, "compared with": other}, seed=seed, resolution=resolution)
    figures = result.as_json() | {"made": how}
    if report:
        from clpips.models.report.contents import Report
        from clpips.models.report.page import write_report  # matplotlib, which not every install has

        contents = Report(
            title=f"{other.name} and {chosen.name} on {rankings.name}",
            evaluation=result,
            judged=measured,
            weights=chosen.values,
            baseline=other.values,
            where=f"all rankings of {rankings.name}",
            made=made(
                rankings, fingerprint, {"judged": chosen, "compared with": other}, seed=seed, resolution=resolution
            ),
        )
        with watch.part("report"):
            write_report(report, figures, contents)
    if as_json:
        print_json(figures)
    else:
        print_evaluation(Console(emoji=False), result, f"on {counted(result.targets, 'target')}")
        print_line(Console(emoji=False), watch.words)
