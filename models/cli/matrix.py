"""`clpips matrix`: the distances of all pairs of image files, and how diverse the set is."""

import csv
import io
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import numpy as np
import rich_click as click
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table
from rich.text import Text

from clpips.models.cli.data_set import require_matplotlib
from clpips.models.cli.options import image_path, scoring_options
from clpips.models.cli.output import print_json, print_line, write_npy
from clpips.models.cli.pictures import named_resolution, read_images, require_equal_sizes
from clpips.models.engines.contract import EngineName
from clpips.models.engines.opening import open_engine
from clpips.models.engines.several import all_distances, embed_images
from clpips.models.metric.diversity import Diversity, diversity
from clpips.models.metric.weights_files import load_weights

PLOT_ENDINGS: Final = (".png", ".svg")
LONGEST_NAME: Final = 32  # characters of a file's name in a line; it goes on in the next one


@click.command("matrix")
@click.argument("images", type=image_path, nargs=-1, required=True)
@click.option("--csv", "as_csv", is_flag=True, help="Print a table of comma-separated values, for other programs.")
@click.option(
    "--npy",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write the distances, float32 (n, n).",
)
@click.option(
    "--plot", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE.png|svg", help="Draw them as a heat plot."
)
@scoring_options()
def matrix_command(
    images: tuple[Path, ...],
    as_csv: bool,
    npy: Path | None,
    plot: Path | None,
    weights: str,
    resolution: int | None,
    engine: EngineName,
    backbone: Path | None,
    as_json: bool,
) -> None:
    """Compare each of IMAGES with each other, and say how diverse the set is: the mean distance of its pairs."""
    if len(images) < 2:
        raise click.UsageError("a matrix needs two images or more")
    if as_csv and as_json:
        raise click.UsageError("choose one of --json or --csv")
    if plot and plot.suffix.lower() not in PLOT_ENDINGS:
        raise click.UsageError(f"a plot is a file that ends in {' or '.join(PLOT_ENDINGS)}, and this is {plot}")
    require_matplotlib(plot, "--plot")
    opened = open_engine(engine, backbone=backbone)
    chosen = load_weights(weights, opened.net.name)
    chosen.require_backbone(opened.fingerprint, opened.net.name)
    paths = list(dict.fromkeys(images))
    pixels = read_images(paths, resolution)
    if resolution is None:
        require_equal_sizes(images[0], images[1:], pixels)
    features = {path: embed_images(opened, pixels[path][np.newaxis], chosen.networks)[0] for path in paths}
    distances = all_distances(opened, [features[path] for path in images], chosen.values, chosen.families)  # (n, n)
    found = diversity(distances)
    if npy:
        write_npy(npy, distances)
    if plot:
        from clpips.models.report.matrix_plot import draw_matrix  # matplotlib, which not every install has

        draw_matrix(plot, distances, [str(path) for path in images], chosen.name)
    if as_json:
        names = [str(path) for path in images]
        described = {"weights": chosen.name, "resolution": named_resolution(resolution)}
        print_json({"distances": distances.tolist(), "images": names, "diversity": found._asdict(), **described})
    elif as_csv:
        click.echo(_csv(images, distances), nl=False)
    else:
        _print(images, distances, found)
        console = Console(emoji=False)
        print_line(console, f"weights {chosen.name}, resolution {named_resolution(resolution)}")
        for path in filter(None, (npy, plot)):
            print_line(console, f"wrote {path}")


def _csv(images: tuple[Path, ...], distances: NDArray[np.float32]) -> str:
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(["", *images])
    for path, row in zip(images, distances, strict=True):
        writer.writerow([path, *(str(value) for value in row)])
    return stream.getvalue()


def _print(images: tuple[Path, ...], distances: NDArray[np.float32], found: Diversity) -> None:
    """The matrix with numbers for the columns' names, which stand in front of the rows'."""
    console = Console(emoji=False)
    for table in _tables(images, distances, console.width):
        console.print(table)
    interval = "" if found.low is None else f", 95 % interval {found.low:.4f} to {found.high:.4f}"
    print_line(console, f"diversity {found.mean:.4f}{interval}: the mean distance of all pairs")


def _tables(images: tuple[Path, ...], distances: NDArray[np.float32], width: int) -> Iterator[Table]:
    """The matrix as tables of so many characters a line, with as many columns each as fit."""
    names = [Text(str(path)) for path in images]
    cells = [[f"{value:.4f}" for value in row] for row in distances]
    longest = min(max(name.cell_len for name in names), LONGEST_NAME)
    beside = len(str(len(images))) + longest + 7  # the rows' numbers and names, with their borders
    each = max(len(cell) for row in cells for cell in row) + 3
    fit = max((width - beside) // each, 1)  # columns
    for start in range(0, len(images), fit):
        columns = range(len(images))[start : start + fit]
        table = Table()
        table.add_column("", justify="right", no_wrap=True)
        table.add_column("image", overflow="fold")
        for column in columns:
            table.add_column(str(column + 1), justify="right", no_wrap=True)
        for number, (name, row) in enumerate(zip(names, cells, strict=True), start=1):
            table.add_row(str(number), name, *(row[column] for column in columns))
        yield table
