"""`clpips export-lpips`: weights as a state dict of the `lpips` package."""

from pathlib import Path

import rich_click as click
from rich.console import Console

from clpips.models.cli.options import backbone_option, json_option
from clpips.models.cli.output import print_json, print_line
from clpips.models.engines.contract import EngineError
from clpips.models.installing import install_hint
from clpips.models.metric.backbone_file import load_backbone
from clpips.models.metric.weights_files import load_weights


@click.command("export-lpips")
@click.argument("weights", metavar="FILE|NAME")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), required=True, metavar="STATE_DICT.pth",
    help="Where the state dict goes.",
)  # fmt: skip
@backbone_option
@json_option
def export_lpips_command(weights: str, out: Path, backbone: Path | None, as_json: bool) -> None:
    """Write WEIGHTS as a state dict that `lpips.LPIPS(net="alex")` loads: a metric to train with, gradients and all.

    With another backbone it is for `net="vgg"` or `net="squeeze"`.

    Its distances are the aligned part of those by the weights: what other families add is left out, and said.
    """
    try:
        from clpips.models.export.lpips_state import export_lpips
    except ModuleNotFoundError as error:
        raise EngineError(f"{error.name} is not installed: {install_hint('torch')}") from error
    loaded = load_backbone(backbone)
    chosen = load_weights(weights, loaded.net.name)
    missing = export_lpips(out, chosen, loaded)
    if as_json:
        print_json({"out": str(out), "weights": chosen.name, "left_out": missing})
        return
    console = Console(emoji=False)
    if missing:
        parts = ", ".join(f"{name} {share:.0%}" for name, share in missing.items())
        print_line(console, f"left out of {chosen.name}, in shares of a typical distance: {parts}")
    print_line(console, f"wrote {out}")
