"""Backbone files from state dicts: torchvision's `.pth` as safetensors."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import safetensors.numpy
import torch
from numpy.typing import NDArray

from clpips.models.metric.backbone_file import SHIPPED_BACKBONE, Backbone, BackboneError, load_backbone
from clpips.models.metric.nets import Net
from clpips.models.metric.whole_files import write_whole


def import_backbone(source: Path, net: Net, out: Path) -> Backbone:
    """Write a backbone file with a state dict's convolutions, and read it as any other.

    The same state dict gives the same bytes, and so the same fingerprint; that of the AlexNet that ships gives the
    bytes of the file that ships, so that weights for the one go with the other. Raises `BackboneError` where the file
    cannot be read without running code in it, lacks a tensor, or has one of another shape, and where `out` is `source`.
    """
    if out.resolve() == source.resolve():
        raise BackboneError(f"{out} is the state dict itself, which would be lost: name another file with --out")
    try:
        state: Any = torch.load(source, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # of any kind, where a file is cut off or another
        said = next(iter(str(error).splitlines()), type(error).__name__)
        raise BackboneError(
            f"{source} is no state dict that can be read as data: {said}; save one with "
            "torch.save(model.state_dict(), FILE), or bring the whole file again"
        ) from error
    if isinstance(state, Mapping) and "state_dict" in state:
        state = state["state_dict"]
    if not isinstance(state, Mapping):
        raise BackboneError(f"{source} holds {type(state).__name__}, expected a state dict of {net.title}")
    tensors = {name: _tensor(source, state, net, name, shape) for name, shape in net.tensor_shapes().items()}
    write_whole(out, SHIPPED_BACKBONE.read_bytes() if _are_shipped(tensors) else safetensors.numpy.save(tensors))
    return load_backbone(out)


def _are_shipped(tensors: Mapping[str, NDArray[np.float32]]) -> bool:
    """Whether these are the weights that ship."""
    shipped = load_backbone().tensors
    return tensors.keys() == shipped.keys() and all(np.array_equal(shipped[name], tensors[name]) for name in tensors)


def _tensor(source: Path, state: Mapping[Any, Any], net: Net, name: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    tensor = state.get(name)
    if not isinstance(tensor, torch.Tensor):
        raise BackboneError(f"{source} has no tensor {name!r}: is it the state dict of torchvision's {net.title}?")
    if tuple(tensor.shape) != shape or not tensor.is_floating_point():
        found = f"{str(tensor.dtype).removeprefix('torch.')}{tuple(tensor.shape)}"
        raise BackboneError(f"{source}: {name} is {found}, and {net.title} has float32{shape} there")
    try:
        plain = tensor.detach().to(torch.float32).numpy()  # torchvision's older files have parameters, with gradients
    except (RuntimeError, TypeError) as error:  # sparse, quantised, or without values
        raise BackboneError(f"{source}: {name} is no plain tensor of numbers") from error
    values: NDArray[np.float32] = np.ascontiguousarray(plain)
    if not np.isfinite(values).all():
        raise BackboneError(f"{source}: {name} has values that are not finite")
    return values
