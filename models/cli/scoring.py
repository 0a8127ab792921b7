"""`clpips distance` and `clpips rank`: distances of image files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import rich_click as click
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Column, Table
from rich.text import Text

from clpips.models.cli.options import image_path, mask_option, scoring_options
from clpips.models.cli.output import print_figures, print_json, print_line
from clpips.models.cli.pictures import named_resolution, read_images, read_mask, require_equal_sizes
from clpips.models.engines.contract import Engine, EngineName
from clpips.models.engines.opening import open_engine
from clpips.models.engines.several import compare_images, embed_images
from clpips.models.metric.distance import distance_by_family, distance_by_group, distance_by_layer, weigh
from clpips.models.metric.families import ALEXNET, FAMILIES, Families, networks_of
from clpips.models.metric.weights import LayerWeights
from clpips.models.metric.weights_files import load_weights


@click.command("distance")
@click.argument("target", type=image_path)
@click.argument("candidate", type=image_path)
@mask_option
@scoring_options()
def distance_command(
    target: Path,
    candidate: Path,
    mask: Path | None,
    weights: str,
    resolution: int | None,
    engine: EngineName,
    backbone: Path | None,
    as_json: bool,
) -> None:
    """Print the distance of CANDIDATE from TARGET, and what each family of channels and each layer adds to it."""
    opened = open_engine(engine, backbone=backbone)
    chosen = load_weights(weights, opened.net.name)
    z = measure(target, [candidate], resolution, opened, chosen, mask=mask)
    total = float(weigh(z, chosen.values)[0])
    layers = [float(part) for part in distance_by_layer(z, chosen.values)[0]]
    families = {f.name: float(part) for f, part in zip(FAMILIES, distance_by_family(z, chosen.values)[0], strict=True)}
    if as_json:
        parts = {"layers": layers, "families": families}
        print_json({"distance": total, **parts, "weights": chosen.name, "resolution": named_resolution(resolution)})
        return
    table = Table("family", *(Column(f"conv{layer + 1}", justify="right") for layer in range(len(opened.net.channels))))
    table.add_column("sum", justify="right")
    for name, cells in family_cells(z[0], chosen).items():
        table.add_row(name, *cells)
    if len(chosen.families) > 1:
        table.add_row("sum", *(f"{part:.4f}" for part in layers), f"{total:.4f}")
    console = Console(emoji=False)
    print_line(console, f"{total:.4f}  {target} ↔ {candidate}")
    print_figures(table)
    print_line(console, f"weights {chosen.name}, resolution {named_resolution(resolution)}")


def family_cells(z: NDArray[np.float32], weights: LayerWeights) -> dict[str, list[str]]:
    """What each layer of each family that counts adds to a distance, and their sum, from z `(z,)`: cells by family.

    A family of another network has its sum alone.
    """
    groups = distance_by_group(z[np.newaxis], weights.values)[0]  # (groups,)
    cells = {}
    for family in (family for family in FAMILIES if family.name in weights.families):
        parts = [part for group, part in zip(weights.layout.groups, groups, strict=True) if group.family == family.name]
        layers = (
            [f"{part:.4f}" for part in parts] if family.backbone == ALEXNET else [""] * len(weights.layout.net.channels)
        )
        cells[family.name] = [*layers, f"{sum(parts):.4f}"]
    return cells


@click.command("rank")
@click.argument("target", type=image_path)
@click.argument("candidates", type=image_path, nargs=-1, required=True)
@mask_option
@scoring_options()
def rank_command(
    target: Path,
    candidates: tuple[Path, ...],
    mask: Path | None,
    weights: str,
    resolution: int | None,
    engine: EngineName,
    backbone: Path | None,
    as_json: bool,
) -> None:
    """Order CANDIDATES by their distance from TARGET, the most similar first."""
    opened = open_engine(engine, backbone=backbone)
    chosen = load_weights(weights, opened.net.name)
    z = measure(target, candidates, resolution, opened, chosen, mask=mask)
    distances = weigh(z, chosen.values)
    order = np.argsort(distances, kind="stable")
    ranking = [
        {"rank": place, "path": str(candidates[index]), "distance": float(distances[index])}
        for place, index in enumerate(order, start=1)
    ]
    if as_json:
        print_json({"ranking": ranking, "weights": chosen.name, "resolution": named_resolution(resolution)})
        return
    table = Table()
    table.add_column("rank", justify="right")
    table.add_column("distance", justify="right")
    table.add_column("image", overflow="fold")
    for row in ranking:
        table.add_row(str(row["rank"]), f"{row['distance']:.4f}", Text(str(row["path"])))
    console = Console(emoji=False)
    print_line(console, f"most similar to {target}")
    console.print(table)
    print_line(console, f"weights {chosen.name}, resolution {named_resolution(resolution)}")


def measure(
    target: Path,
    candidates: Sequence[Path],
    resolution: int | None,
    engine: Engine,
    weights: LayerWeights,
    families: Families | None = None,
    mask: Path | None = None,
) -> NDArray[np.float32]:
    """`z` of every candidate against the target, `(n, z)`, within a mask if one is named.

    Each image is decoded and embedded once.
    `families` are those that are asked for, None those that count. Raises `ImageError` or `WeightsError`.
    """
    families = weights.families if families is None else families
    paths = list(dict.fromkeys([target, *candidates]))
    pixels, region = read_images(paths, resolution), read_mask(mask, target)
    if resolution is None:
        require_equal_sizes(target, candidates, pixels)
    weights.require_backbone(engine.fingerprint, engine.net.name)
    features = {path: embed_images(engine, pixels[path][np.newaxis], networks_of(families))[0] for path in paths}
    return compare_images(
        engine, [features[target]] * len(candidates), [features[path] for path in candidates], families, region
    )
