"""`clpips fit` and `clpips evaluate`: what they take. What they do is in `models/cli/learning_runs.py`.

That is loaded when one of them runs: the statistics behind it take a second that no other command has to wait for.
"""

from pathlib import Path
from typing import Any

import rich_click as click

from clpips.models.cli.options import backbone_option, engine_option, json_option, resolution_option, weights_option
from clpips.models.rankings.distance_cache import default_folder

rankings_argument = click.argument(
    "rankings", type=click.Path(path_type=Path, dir_okay=False), metavar="RANKINGS.jsonl"
)
report_option = click.option(
    "--report",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write a page with tables and plots, and the same figures as JSON, into this folder.",
)
cache_option = click.option(
    "--cache",
    type=click.Path(path_type=Path, file_okay=False),
    default=default_folder,
    envvar="CLPIPS_CACHE",
    show_envvar=True,
    metavar="DIR",
    help="Where channel distances are kept, so that the next fit on these images is instant.",
)
seed_option = click.option("--seed", type=int, default=0, show_default=True, help="For the split and the bootstrap.")


@click.command()
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
def fit(**arguments: Any) -> None:
    """Learn weights from people's RANKINGS and say how much closer to people they are.

    The figures are of targets that were kept out of a first fit; the weights written are then fitted on all rankings.
    """
    from clpips.models.cli.learning_runs import fit_rankings

    fit_rankings(**arguments)


@click.command()
@rankings_argument
@weights_option
@click.option("--baseline", default="lpips", show_default=True, metavar="FILE|NAME", help="Weights to compare with.")
@seed_option
@resolution_option
@engine_option
@backbone_option
@cache_option
@report_option
@json_option
def evaluate(**arguments: Any) -> None:
    """Say with statistics how well a metric agrees with people's RANKINGS, beside a baseline."""
    from clpips.models.cli.learning_runs import evaluate_rankings

    evaluate_rankings(**arguments)
