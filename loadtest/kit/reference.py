"""The original: `lpips.LPIPS` with this project's backbone weights, the measure of parity and of speed."""

import contextlib
import importlib.util
import sys
import warnings
from collections.abc import Iterator
from importlib.resources import files
from types import ModuleType

import torch
from torch import nn

from clpips.models.metric.backbone_file import Backbone, load_backbone
from loadtest.kit.torchvisions import import_torchvision


def load_lpips(*, spatial: bool = False, backbone: Backbone | None = None) -> nn.Module:
    """`lpips.LPIPS(net="alex")`, v0.1, in eval mode and without gradients; with a `backbone` the net of that.

    Takes float32 `(n, 3, h, w)` in [-1, 1], gives `(n, 1, 1, 1)`, or where `spatial`, maps `(n, 1, h, w)`.
    The package would download its backbone; the project's own file holds the same numbers.
    """
    backbone = backbone or load_backbone()
    name = backbone.net.name
    import_torchvision()
    with scipy_or_a_stand_in():
        import lpips

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # lpips 0.1.4 calls torchvision by names that are deprecated since
        metric = lpips.LPIPS(net=name, pretrained=False, pnet_rand=True, spatial=spatial, verbose=False)
    linear = files("lpips") / "weights" / "v0.1" / f"{name}.pth"
    metric.load_state_dict(torch.load(str(linear), map_location="cpu", weights_only=True), strict=False)
    convolutions = [module for module in metric.net.modules() if isinstance(module, nn.Conv2d)]
    for convolution, description in zip(convolutions, backbone.net.convolutions, strict=True):
        convolution.load_state_dict(
            {part: torch.from_numpy(backbone.tensors[f"{description.key}.{part}"]) for part in ("weight", "bias")}
        )
    # lpips keeps the layers twice, as lin0..lin4 and in `lins`: the same objects, so one load serves both.
    result: nn.Module = metric.eval().requires_grad_(requires_grad=False)
    return result


@contextlib.contextmanager
def scipy_or_a_stand_in() -> Iterator[None]:
    """Let lpips import where SciPy is not installed: the trainer that comes with it zooms by SciPy, nothing else."""
    if "scipy" in sys.modules or importlib.util.find_spec("scipy") is not None:
        yield
        return
    ndimage = ModuleType("scipy.ndimage")
    ndimage.zoom = None  # type: ignore[attr-defined]
    sys.modules |= {"scipy": ModuleType("scipy"), ndimage.__name__: ndimage}
    try:
        yield
    finally:
        del sys.modules["scipy"], sys.modules[ndimage.__name__]
