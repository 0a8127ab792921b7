"""Options that several commands share."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import rich_click as click

from clpips.models.images.pixels import MAX_RESOLUTION
from clpips.models.metric.backbone import DEFAULT_RESOLUTION, MIN_SIDE
from clpips.models.metric.weights_files import shipped_weights
from clpips.models.rankings.distance_cache import default_folder

Command = Callable[..., Any]
Option = Callable[[Command], Command]  # a decorator


class ResolutionParam(click.ParamType[int | None]):
    """A number of pixels, or `native`."""

    name = "N|native"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | None:
        if value is None or value == "native":
            return None
        try:
            resolution = int(value)
        except ValueError:
            self.fail(f"{value!r} is neither a number of pixels nor 'native'", param, ctx)
        if resolution > MAX_RESOLUTION:
            self.fail(f"{resolution} is too large: {MAX_RESOLUTION} or less", param, ctx)
        if resolution < MIN_SIDE:
            self.fail(f"{resolution} is too small for the backbone's stages: {MIN_SIDE} or more", param, ctx)
        return resolution


class FiniteRange(click.FloatRange):
    """A number within bounds that is finite: NaN passes every bound, and infinity those that are not set."""

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        number = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is not a finite number", param, ctx)
        return number


image_path = click.Path(path_type=Path)
mask_option = click.option(
    "--mask",
    type=image_path,
    metavar="FILE",
    help="A grey image or .npy array of TARGET's size: 255 counts fully, 0 not at all.",
)


def weights_help() -> str:
    """What `--weights` takes."""
    return f"A weights file, or a shipped name: {', '.join(shipped_weights())}."


def weights_option_of(default: str) -> Option:
    """`--weights`, with a default of the command's own."""
    return click.option("--weights", default=default, show_default=True, metavar="FILE|NAME", help=weights_help())


def resolution_option_of(images: str) -> Option:
    """`--resolution`, of these images."""
    return click.option(
        "--resolution",
        type=ResolutionParam(),
        default=DEFAULT_RESOLUTION,
        show_default=True,
        help=f"Resize {images} to a square of so many pixels a side, or score them at their native size.",
    )


def choice_option(name: str, choices: Sequence[str], help_text: str | None = None) -> Option:
    """An option that takes one of a few words; the first is the default."""
    return click.option(name, type=click.Choice(choices), default=choices[0], show_default=True, help=help_text)


weights_option = weights_option_of("lpips")
resolution_option = resolution_option_of("both images")
engine_option = choice_option("--engine", ["auto", "onnx", "torch"], "What computes.")
backbone_option = click.option(
    "--backbone",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    envvar="CLPIPS_BACKBONE",
    show_envvar=True,
    help="Another backbone file than the one that ships.",
)
json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object, for programs.")


def all_of(*options: Option) -> Option:
    """Several options as one decorator; `--help` has them in this order."""

    def declared(command: Command) -> Command:
        for option in reversed(options):  # as a column of decorators is applied, from the lowest up
            command = option(command)
        return command

    return declared


def scoring_options(weights: str = "lpips") -> Option:
    """What all commands take that score image files; `weights` are the default ones."""
    return all_of(weights_option_of(weights), resolution_option, engine_option, backbone_option, json_option)


rankings_argument = click.argument(
    "rankings", type=click.Path(path_type=Path, dir_okay=False), metavar="RANKINGS.jsonl"
)
report_option = click.option(
    "--report",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Write a page with tables and plots, and the same figures as JSON, into this folder.",
)


def _cache_folder() -> Path:
    try:
        return default_folder()
    except RuntimeError as error:  # no HOME, and a user whom the system does not know, as in many containers
        raise click.UsageError(
            "there is no home folder to keep channel distances in; name a folder with --cache or CLPIPS_CACHE"
        ) from error


cache_option = click.option(
    "--cache",
    type=click.Path(path_type=Path, file_okay=False),
    default=_cache_folder,
    envvar="CLPIPS_CACHE",
    show_envvar=True,
    metavar="DIR",
    help="Where channel distances are kept, so that the next fit on these images is instant.",
)
seed_option = click.option("--seed", type=int, default=0, show_default=True, help="For the split and the bootstrap.")
data_set_options = all_of(
    seed_option, resolution_option, engine_option, backbone_option, cache_option, report_option, json_option
)
