"""`clpips explain`: how much each family makes of a distance, and in what two pictures differ, in one sentence."""

from dataclasses import asdict
from pathlib import Path

import rich_click as click
from rich.console import Console
from rich.table import Table

from clpips.models.cli.options import image_path, scoring_options
from clpips.models.cli.output import print_figures, print_json, print_line
from clpips.models.cli.pictures import named_resolution
from clpips.models.cli.scoring import measure
from clpips.models.engines.contract import EngineName
from clpips.models.engines.opening import open_engine
from clpips.models.metric.distance import distance_by_group, distance_by_layer, weigh
from clpips.models.metric.explaining import explain, family_parts
from clpips.models.metric.families import ALEXNET, FAMILIES, families_of
from clpips.models.metric.weights_files import load_weights


@click.command("explain")
@click.argument("target", type=image_path)
@click.argument("candidate", type=image_path)
@scoring_options(weights="balanced")
def explain_command(
    target: Path,
    candidate: Path,
    weights: str,
    resolution: int | None,
    engine: EngineName,
    backbone: Path | None,
    as_json: bool,
) -> None:
    """Say in what CANDIDATE differs from TARGET, and how much each family of channels and each layer makes of it.

    Whether pictures are alike in what a family sees is told by comparison with pairs of natural images. Of families
    whose network the weights do not use nothing is said.
    """
    opened = open_engine(engine, backbone=backbone)
    chosen = load_weights(weights, opened.net.name)
    known = families_of(chosen.networks | {ALEXNET})
    (z,) = measure(target, [candidate], resolution, opened, chosen, known)
    total = float(weigh(z[None], chosen.values)[0])
    parts = family_parts(z, chosen.values, known)
    sentence = explain(parts)
    if as_json:
        layers = [float(part) for part in distance_by_layer(z[None], chosen.values)[0]]
        families = {name: asdict(part) for name, part in parts.items()}
        named = {"weights": chosen.name, "resolution": named_resolution(resolution)}
        print_json({"sentence": sentence, "distance": total, "families": families, "layers": layers, **named})
        return
    table = Table(show_edge=False)
    table.add_column("family", no_wrap=True)
    for title in (*(f"conv{layer + 1}" for layer in range(len(opened.net.channels))), "share", "level", "closer"):
        table.add_column(title, justify="right")
    groups = distance_by_group(z[None], chosen.values)[0] / (total or 1)  # (groups,), shares of the distance
    for family in (family for family in FAMILIES if family.name in parts):
        part = parts[family.name]
        own = [share for group, share in zip(chosen.layout.groups, groups, strict=True) if group.family == family.name]
        cells = [f"{share:.0%}" for share in own] if family.backbone == ALEXNET else [""] * len(opened.net.channels)
        table.add_row(family.name, *cells, f"{part.share:.0%}", f"{part.level:.2f}", f"{part.closer:.0%}")
    console = Console(emoji=False)
    print_line(console, sentence)
    print_line(console, f"{total:.4f}  {target} ↔ {candidate}")
    print_figures(table)
    print_line(console, "layers and share: of this distance; level: 1 is typical of two pictures")
    print_line(console, "closer: how many pairs of pictures are more alike in this")
    print_line(console, f"weights {chosen.name}, resolution {named_resolution(resolution)}")
