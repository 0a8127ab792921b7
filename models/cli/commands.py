"""The `clpips` command: distances and rankings of image files, learning, the ONNX export, and the service."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
import rich_click as click
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from clpips import __version__
from clpips.models.cli.learning import evaluate, fit
from clpips.models.cli.options import (
    backbone_option,
    engine_option,
    json_option,
    print_json,
    resolution_option,
    weights_option,
)
from clpips.models.engines.contract import Engine, EngineError, EngineName
from clpips.models.engines.opening import open_engine
from clpips.models.images.decoding import load_image
from clpips.models.images.errors import ImageError
from clpips.models.images.pixels import MAX_PIXELS, Pixels
from clpips.models.installing import install_hint
from clpips.models.metric.backbone_file import BackboneError, load_backbone
from clpips.models.metric.distance import distance_by_layer, weigh
from clpips.models.metric.weights import LayerWeights, WeightsError
from clpips.models.metric.weights_files import load_weights
from clpips.models.rankings.files import RankingsError

click.rich_click.TEXT_MARKUP = "markdown"
click.rich_click.SHOW_ARGUMENTS = True

BAD_INPUT = 2  # exit code
USER_ERRORS = (ImageError, WeightsError, BackboneError, EngineError)
image_path = click.Path(path_type=Path)


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, "-V", "--version", message="clpips %(version)s")
def commands() -> None:
    """CLPIPS: image similarity that learns what *you* mean by similar.

    Distances are LPIPS's (AlexNet) unless you name other weights: 0 is identical, larger is less similar.
    """


@commands.command()
@click.argument("target", type=image_path)
@click.argument("candidate", type=image_path)
@weights_option
@resolution_option
@engine_option
@backbone_option
@json_option
def distance(
    target: Path,
    candidate: Path,
    weights: str,
    resolution: int | None,
    engine: EngineName,
    backbone: Path | None,
    as_json: bool,
) -> None:
    """Print the distance of CANDIDATE from TARGET, and what each of the five layers adds to it."""
    chosen = load_weights(weights)
    z = _channel_distances(target, [candidate], resolution, open_engine(engine, backbone=backbone), chosen)
    total = float(weigh(z, chosen.values)[0])
    layers = [float(share) for share in distance_by_layer(z, chosen.values)[0]]
    if as_json:
        print_json({"distance": total, "layers": layers, "weights": chosen.name, "resolution": _named(resolution)})
        return
    table = Table()
    for heading in ("conv1", "conv2", "conv3", "conv4", "conv5"):
        table.add_column(heading, justify="right")
    table.add_row(*(f"{share:.4f}" for share in layers))
    console = Console()
    console.print(f"{total:.4f}  {target} ↔ {candidate}", soft_wrap=True, highlight=False)
    console.print(table)
    console.print(f"weights {chosen.name}, resolution {_named(resolution)}", highlight=False)


@commands.command()
@click.argument("target", type=image_path)
@click.argument("candidates", type=image_path, nargs=-1, required=True)
@weights_option
@resolution_option
@engine_option
@backbone_option
@json_option
def rank(
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
        table.add_row(str(row["rank"]), f"{row['distance']:.4f}", str(row["path"]))
    console = Console()
    console.print(f"most similar to {target}", soft_wrap=True, highlight=False)
    console.print(table)
    console.print(f"weights {chosen.name}, resolution {_named(resolution)}", highlight=False)


@commands.command()
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, metavar="FILE.onnx")
@backbone_option
@json_option
def export(out: Path, backbone: Path | None, as_json: bool) -> None:
    """Write the metric as ONNX graphs, and print how far they are from PyTorch.

    Beside FILE.onnx (images in, distances out) come its halves FILE.embed.onnx and FILE.compare.onnx, and the
    backbone file, which all of them point into: keep them in one folder.
    """
    try:
        from clpips.models.export.onnx_files import export_onnx
        from clpips.models.export.parity import measure_parity
    except ModuleNotFoundError as error:
        raise EngineError(f"{error.name} is not installed: {install_hint('torch')}") from error
    written = export_onnx(out, load_backbone(backbone))
    parities = measure_parity(out, load_backbone(backbone), load_weights().values)
    if as_json:
        rows = [{"size": list(p.size), "pairs": p.pairs, "largest_difference": p.largest_difference} for p in parities]
        print_json({"files": [str(path) for path in written], "parity": rows})
        return
    table = Table(title="distances against PyTorch, float32", title_justify="left")
    for heading in ("height × width", "pairs", "largest difference"):
        table.add_column(heading, justify="right")
    for parity in parities:
        height, width = parity.size
        table.add_row(f"{height} × {width}", str(parity.pairs), f"{parity.largest_difference:.1e}")
    console = Console()
    console.print(table)
    for path in written:
        console.print(f"wrote {path} ({path.stat().st_size:,} bytes)", soft_wrap=True)


commands.add_command(fit)
commands.add_command(evaluate)


def _channel_distances(
    target: Path, candidates: Sequence[Path], resolution: int | None, engine: Engine, weights: LayerWeights
) -> NDArray[np.float32]:
    """`z` of every candidate against the target, `(n, 1152)`; each image is decoded and embedded once."""
    paths = list(dict.fromkeys([target, *candidates]))
    pixels = _read_images(paths, resolution)
    if resolution is None:
        _require_equal_sizes(target, candidates, pixels)
    weights.require_backbone(engine.fingerprint)
    features = {path: _embed_one(engine, pixels[path]) for path in paths}
    return engine.compare([features[target]] * len(candidates), [features[path] for path in candidates])


def _embed_one(engine: Engine, pixels: Pixels) -> Any:
    return engine.embed(pixels[np.newaxis])[0]


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


def main(arguments: Sequence[str] | None = None) -> NoReturn:
    """Run the command line. Bad input ends with exit code 2 and one line on standard error, never a traceback."""
    try:
        code = commands.main(args=arguments, prog_name="clpips", standalone_mode=False)
    except click.Abort:
        sys.exit(130)
    except click.ClickException as error:
        _fail(error.format_message(), error.exit_code)
    except RankingsError as error:  # one line a problem: there may be many
        click.echo(f"clpips: {error}", err=True)
        sys.exit(BAD_INPUT)
    except USER_ERRORS as error:
        _fail(str(error), BAD_INPUT)
    except OSError as error:
        _fail(f"{error.filename or 'the system'}: {error.strerror}", BAD_INPUT)
    sys.exit(code if isinstance(code, int) else 0)


def _fail(message: str, code: int) -> NoReturn:
    click.echo("clpips: " + " ".join(message.split()), err=True)
    sys.exit(code)
