"""`clpips heatmap`: where two image files differ, as a picture or as values."""

from pathlib import Path
from typing import Final

import numpy as np
import rich_click as click
from rich.console import Console

from clpips.models.cli.options import FiniteRange, choice_option, image_path, mask_option, scoring_options
from clpips.models.cli.output import print_json, print_line, write_npy
from clpips.models.cli.pictures import named_resolution, read_images, read_mask, require_equal_sizes
from clpips.models.engines.contract import EngineName
from clpips.models.engines.opening import open_engine
from clpips.models.engines.several import compare_images, embed_images
from clpips.models.images.heat import heat_png, overlay_png
from clpips.models.metric.distance import distance_by_family, weigh
from clpips.models.metric.families import ALEXNET, FAMILIES
from clpips.models.metric.spatial import UPSAMPLINGS, Upsampling, heat_map
from clpips.models.metric.weights_files import load_weights
from clpips.models.metric.whole_files import write_whole

PICTURE_ENDINGS: Final = (".png", "")
VALUES_ENDING: Final = ".npy"


@click.command("heatmap")
@click.argument("target", type=image_path)
@click.argument("candidate", type=image_path)
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), required=True, metavar="MAP.png",
    help="Where the map goes: a picture, or its values, float32 (H, W), where the name ends in .npy.",
)  # fmt: skip
@choice_option("--style", ["map", "overlay"], "The map alone, or laid over the candidate in grey.")
@click.option("--opacity", type=FiniteRange(0, 1), default=0.6, show_default=True, help="The map's part of an overlay.")
@choice_option(
    "--upsample",
    UPSAMPLINGS,
    "nearest: the mean of the map is the aligned part of the distance. bilinear: as LPIPS's own spatial maps.",
)
@click.option(
    "--high", type=FiniteRange(0, min_open=True),
    help="The value of the lightest colour: the same in several maps lets them be compared. Else the map's largest.",
)  # fmt: skip
@mask_option
@scoring_options()
def heatmap_command(
    target: Path,
    candidate: Path,
    out: Path,
    style: str,
    opacity: float,
    upsample: Upsampling,
    high: float | None,
    mask: Path | None,
    weights: str,
    resolution: int | None,
    engine: EngineName,
    backbone: Path | None,
    as_json: bool,
) -> None:
    """Show where CANDIDATE differs from TARGET, and print which part of the distance has a place in the map."""
    ending = out.suffix.lower()
    if ending not in {*PICTURE_ENDINGS, VALUES_ENDING}:
        raise click.UsageError(f"a map is a .png picture or a .npy file of values, and {out} ends in {out.suffix}")
    if ending == VALUES_ENDING and style == "overlay":
        raise click.UsageError("an overlay is a picture: write it to a .png file, or leave --style out")
    opened = open_engine(engine, backbone=backbone)
    chosen = load_weights(weights, opened.net.name)
    chosen.require_backbone(opened.fingerprint, opened.net.name)
    pixels = read_images(list(dict.fromkeys([target, candidate])), resolution)
    if resolution is None:
        require_equal_sizes(target, [candidate], pixels)
    a, b = (
        embed_images(opened, pixels[path][np.newaxis], chosen.networks | {ALEXNET})[0] for path in (target, candidate)
    )
    region = read_mask(mask, target)
    z = compare_images(opened, [a], [b], chosen.families, region)  # (1, z)
    layers = opened.locate(a[ALEXNET], b[ALEXNET], chosen.aligned, region)
    height, width, _ = pixels[target].shape
    values = heat_map(layers, height, width, upsample)  # (h, w)
    high = float(values.max()) if high is None else high
    if ending == VALUES_ENDING:
        write_npy(out, values)
    elif style == "overlay":
        write_whole(out, overlay_png(values, high, pixels[candidate], opacity))
    else:
        write_whole(out, heat_png(values, high))
    total = float(weigh(z, chosen.values)[0])
    families = {f.name: float(part) for f, part in zip(FAMILIES, distance_by_family(z, chosen.values)[0], strict=True)}
    unplaced = 1 - families["aligned"] / total if total else 0.0
    if as_json:
        legend = {"low": 0.0, "high": high}
        parts = {"families": families, "unplaced": unplaced, "legend": legend, "out": str(out)}
        print_json({"distance": total, **parts, "weights": chosen.name, "resolution": named_resolution(resolution)})
        return
    console = Console(emoji=False)
    print_line(console, f"{total:.4f}  {target} ↔ {candidate}")
    print_line(console, f"in the map {families['aligned']:.4f}, without a place {unplaced:.1%} of the distance")
    print_line(
        console, f"colours from 0 to {high:.4g}, weights {chosen.name}, resolution {named_resolution(resolution)}"
    )
    print_line(console, f"wrote {out}")
