"""`clpips backbone import`: a state dict of torchvision's as a backbone file."""

from pathlib import Path

import rich_click as click
from rich.console import Console

from clpips.models.cli.options import json_option
from clpips.models.cli.output import print_json, print_line
from clpips.models.engines.contract import EngineError
from clpips.models.installing import install_hint
from clpips.models.metric.nets import NETS


@click.group("backbone")
def backbone_group() -> None:
    """Backbones: AlexNet ships, VGG16 and SqueezeNet are brought."""


@backbone_group.command("import")
@click.argument("file", type=click.Path(path_type=Path, exists=True, dir_okay=False), metavar="FILE.pth")
@click.option("--net", type=click.Choice(list(NETS)), required=True, help="Which backbone it has the weights of.")
@click.option(
    "--out", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE.safetensors",
    help="Where the backbone file goes; beside FILE.pth, with its name, unless told.",
)  # fmt: skip
@json_option
def import_command(file: Path, net: str, out: Path | None, as_json: bool) -> None:
    """Write FILE.pth, a state dict of torchvision's, as a backbone file, and print its fingerprint.

    `--backbone` of other commands and CLPIPS_BACKBONE of the service name such a file. FILE.pth is read as data: code
    in it is not run. Of the classifier nothing is kept.
    """
    try:
        from clpips.models.export.backbone_import import import_backbone
    except ModuleNotFoundError as error:
        raise EngineError(f"{error.name} is not installed: {install_hint('torch')}") from error
    path = out or file.with_suffix(".safetensors")
    backbone = import_backbone(file, NETS[net], path)
    if as_json:
        print_json({"out": str(path), "net": net, "fingerprint": backbone.fingerprint})
        return
    console = Console(emoji=False)
    print_line(console, f"wrote {path}: {backbone.net.title}, fingerprint {backbone.fingerprint}")
