"""`clpips export`: the metric as ONNX graphs."""

from pathlib import Path

import rich_click as click
from rich.console import Console
from rich.table import Table

from clpips.models.cli.options import backbone_option, json_option
from clpips.models.cli.output import print_json, print_line
from clpips.models.engines.contract import EngineError
from clpips.models.installing import install_hint
from clpips.models.metric.backbone_file import load_backbone
from clpips.models.metric.weights_files import load_weights


@click.command("export")
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), required=True, metavar="FILE.onnx")
@backbone_option
@json_option
def export_command(out: Path, backbone: Path | None, as_json: bool) -> None:
    """Write the metric as ONNX graphs, and print how far they are from PyTorch.

    Beside FILE.onnx (images in, distances out) come its halves FILE.embed.onnx and FILE.compare.onnx, and the
    backbone file, which all of them point into: keep them in one folder.
    """
    try:
        from clpips.models.export.onnx_files import export_onnx
        from clpips.models.export.parity import measure_parity
    except ModuleNotFoundError as error:
        raise EngineError(f"{error.name} is not installed: {install_hint('torch')}") from error
    loaded = load_backbone(backbone)
    written = export_onnx(out, loaded)
    parities = measure_parity(out, loaded, load_weights("lpips", loaded.net.name).values)
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
    console = Console(emoji=False)
    console.print(table)
    for path in written:
        print_line(console, f"wrote {path} ({path.stat().st_size:,} bytes)")
