"""`clpips distance` and `clpips rank`: distances of image files."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import rich_click as click
from numpy.typing import NDArray
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from clpips.models.cli.options import (
    backbone_option,
    engine_option,
    json_option,
    resolution_option,
    weights_option,
)
from clpips.models.cli.output import print_json, print_line
from clpips.models.engines.contract import Engine, EngineName
from clpips.models.engines.opening import open_engine
from clpips.models.engines.several import compare_images, embed_images
from clpips.models.images.decoding import load_image
from clpips.models.images.errors import ImageError
from clpips.models.images.pixels import MAX_PIXELS, Pixels
from clpips.models.metric.backbone import CHANNELS
from clpips.models.metric.distance import distance_by_family, distance_by_group, distance_by_layer, weigh
from clpips.models.metric.families import FAMILIES, GROUPS
from clpips.models.metric.weights import LayerWeights
from clpips.models.metric.weights_files import load_weights

image_path = click.Path(path_type=Path)


@click.command("distance")
@click.argument("target", type=image_path)
@click.argument("candidate", type=image_path)
@weights_option
@resolution_option
@engine_option
@backbone_option
@json_option
def distance_command(
    target: Path,
    candidate: Path,
    weights: str,
    resolution: int | None,
    engine: EngineName,
    backbone: Path | None,
    as_json: bool,
) -> None:
    """Print the distance of CANDIDATE from TARGET, and what each family of channels and each layer adds to it."""
    chosen = load_weights(weights)
    z = _channel_distances(target, [candidate], resolution, open_engine(engine, backbone=backbone), chosen)
    total = float(weigh(z, chosen.values)[0])
    layers = [float(part) for part in distance_by_layer(z, chosen.values)[0]]
    families = {f.name: float(part) for f, part in zip(FAMILIES, distance_by_family(z, chosen.values)[0], strict=True)}
    if as_json:
        parts = {"layers": layers, "families": families}
        print_json({"distance": total, **parts, "weights": chosen.name, "resolution": _named(resolution)})
        return
    table = Table()
    table.add_column("family")
    for layer in range(len(CHANNELS)):
        table.add_column(f"conv{layer + 1}", justify="right")
    table.add_column("sum", justify="right")
    groups = distance_by_group(z, chosen.values)[0]  # (groups,)
    for name in (name for name in families if name in chosen.families):
        row = [part for group, part in zip(GROUPS, groups, strict=True) if group.family == name]
        table.add_row(name, *(f"{part:.4f}" for part in row), f"{families[name]:.4f}")
    if len(chosen.families) > 1:
        table.add_row("sum", *(f"{part:.4f}" for part in layers), f"{total:.4f}")
    console = Console()
    print_line(console, f"{total:.4f}  {target} ↔ {candidate}")
    console.print(table)
    print_line(console, f"weights {chosen.name}, resolution {_named(resolution)}")


@click.command("rank")
@click.argument("target", type=image_path)
@click.argument("candidates", type=image_path, nargs=-1, required=True)
@weights_option
@resolution_option
@engine_option
@backbone_option
@json_option
def rank_command(
    target: Path,
    candidates: tuple[Path, ...],
    weights: str,
    resolution: int | None,
    engine: EngineName,
    backbone: Path | None,
    as_json: bool,
) -> None:
    """Order CANDIDATES by their distance from TARGET, the most similar first."""
    chosen = load_weights(weights)
    z = _channel_distances(target, candidates, resolution, open_engine(engine, backbone=backbone), chosen)
    distances = weigh(z, chosen.values)
    order = np.argsort(distances, kind="stable")
    ranking = [
        {"rank": place, "path": str(candidates[index]), "distance": float(distances[index])}
        for place, index in enumerate(order, start=1)
    ]
    if as_json:
        print_json({"ranking": ranking, "weights": chosen.name, "resolution": _named(resolution)})
        return
    table = Table()
    table.add_column("rank", justify="right")
    table.add_column("distance", justify="right")
    table.add_column("image", overflow="fold")
    for row in ranking:
        table.add_row(str(row["rank"]), f"{row['distance']:.4f}", escape(str(row["path"])))
    console = Console()
    print_line(console, f"most similar to {target}")
    console.print(table)
    print_line(console, f"weights {chosen.name}, resolution {_named(resolution)}")


def _channel_distances(
    target: Path, candidates: Sequence[Path], resolution: int | None, engine: Engine, weights: LayerWeights
) -> NDArray[np.float32]:
    """`z` of every candidate against the target, `(n, 6016)`; each image is decoded and embedded once."""
    paths = list(dict.fromkeys([target, *candidates]))
    pixels = _read_images(paths, resolution)
    if resolution is None:
        _require_equal_sizes(target, candidates, pixels)
    weights.require_backbone(engine.fingerprint)
    features = {path: embed_images(engine, pixels[path][np.newaxis], weights.networks)[0] for path in paths}
    return compare_images(
        engine, [features[target]] * len(candidates), [features[path] for path in candidates], weights.families
    )


def _read_images(paths: Sequence[Path], resolution: int | None) -> dict[Path, Pixels]:
    pixels, problems = {}, []
    for path in paths:
        try:
            pixels[path] = load_image(path.read_bytes(), resolution, MAX_PIXELS)
        except OSError as error:
            problems.append(f"{path}: {error.strerror}")
        except ImageError as error:
            problems.append(f"{path}: {error}")
    if problems:
        raise ImageError("; ".join(problems))
    return pixels


def _require_equal_sizes(target: Path, candidates: Sequence[Path], pixels: dict[Path, Pixels]) -> None:
    def size(path: Path) -> str:
        height, width, _ = pixels[path].shape
        return f"{width}×{height}"

    others = [f"{path} is {size(path)}" for path in candidates if pixels[path].shape != pixels[target].shape]
    if others:
        raise ImageError(
            f"at native size both images of a pair must be equally large: {target} is {size(target)}, "
            f"{', '.join(others)}; crop them, or leave --resolution at a number of pixels"
        )


def _named(resolution: int | None) -> int | str:
    return "native" if resolution is None else resolution
