"""The networks' files: safetensors, read, checked against their description, and known by their sha256.

A file serves every engine: PyTorch takes the tensors, ONNX graphs point into the file at their offsets.
"""

import hashlib
import json
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from clpips.models.metric.backbone import SHIPPED_FINGERPRINT, tensor_shapes
from clpips.models.metric.content import CONTENT_FINGERPRINT, content_shapes
from clpips.models.metric.nets import ALEX, NETS, Net

SHIPPED_BACKBONE: Final = Path(__file__).parent.parent / "data" / "alexnet-imagenet1k-v1.safetensors"
SHIPPED_CONTENT: Final = SHIPPED_BACKBONE.with_name("efficientnet-lite0-imagenet1k.safetensors")


class BackboneError(ValueError):
    """The backbone file is missing, damaged or holds something else."""


@dataclass(frozen=True)
class Backbone:
    """A network's tensors, float32, as its description has them, and the sha256 of their file."""

    path: Path
    fingerprint: str
    tensors: dict[str, NDArray[np.float32]]
    net: Net = ALEX  # what they are the weights of; of the content network's file it says nothing


def load_backbone(path: Path | None = None) -> Backbone:
    """Read and check a backbone file (safetensors); without `path`, the one that ships with the project, AlexNet's.

    Which backbone a file holds is told by its tensors' names (`clpips backbone import` writes such files).
    Raises `BackboneError` where the file cannot be read, the shipped file's sha256 is not the published one, or a
    tensor is missing, of another shape or dtype, or not finite.

    >>> load_backbone().tensors["features.0.bias"].shape
    (64,)
    """
    path = path or SHIPPED_BACKBONE
    if path == SHIPPED_BACKBONE:
        return _load(path, SHIPPED_FINGERPRINT, tensor_shapes(), "torchvision's AlexNet keys")
    net = _net_in(path)
    return replace(_load(path, None, net.tensor_shapes(), f"torchvision's {net.title} keys"), net=net)


def find_net(names: Collection[str]) -> Net | None:
    """The backbone whose tensors have these names, among others perhaps; None where they are of none.

    >>> find_net(NETS["vgg"].tensor_shapes()).name
    'vgg'
    """
    of_all = ((net, net.tensor_shapes().keys()) for net in NETS.values())
    return max((net for net, keys in of_all if keys <= set(names)), key=lambda net: len(net.steps), default=None)


def _net_in(path: Path) -> Net:
    """Which backbone a file holds, AlexNet where that cannot be told: loading it then says what is wrong."""
    try:
        return find_net(tensor_offsets(path)) or ALEX
    except (OSError, ValueError, KeyError, TypeError, AttributeError, MemoryError, OverflowError, RecursionError):
        return ALEX


def load_content() -> Backbone:
    """Read and check the content network's file, which ships with the project.

    Raises `BackboneError` where it cannot be read or is damaged.

    >>> load_content().tensors["head.bias"].shape
    (1280,)
    """
    return _load(SHIPPED_CONTENT, CONTENT_FINGERPRINT, content_shapes(), "those of EfficientNet-Lite0")


def require_content(path: Path | None = None) -> None:
    """Raise `BackboneError` unless the content network's file, the one that ships or `path`, is there and sound.

    It is read in parts, and nothing of it is kept: for whoever loads the network later, or never.
    """
    path = path or SHIPPED_CONTENT
    try:
        with path.open("rb") as file:
            fingerprint = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise _unreadable(path, error) from error
    if fingerprint != CONTENT_FINGERPRINT:
        raise _damaged(path, fingerprint, CONTENT_FINGERPRINT)


def _load(path: Path, expected: str | None, shapes: Mapping[str, tuple[int, ...]], keys: str) -> Backbone:
    """A network's file; `expected` is its sha256 where it is known, `keys` says what tensors it should have."""
    try:
        content = path.read_bytes()
    except OSError as error:
        raise _unreadable(path, error) from error
    fingerprint = hashlib.sha256(content).hexdigest()
    if expected is not None and fingerprint != expected:
        raise _damaged(path, fingerprint, expected)
    try:
        tensors = safetensors.numpy.load(content)
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise BackboneError(f"{path} is not a safetensors file: {error}") from error
    return Backbone(
        path, fingerprint, {name: _checked(path, tensors, name, shape, keys) for name, shape in shapes.items()}
    )


def _unreadable(path: Path, error: OSError) -> BackboneError:
    return BackboneError(f"cannot read the backbone {path}: {error.strerror}")


def _damaged(path: Path, fingerprint: str, expected: str) -> BackboneError:
    return BackboneError(f"{path} is damaged: its sha256 is {fingerprint}, expected {expected}; install clpips again")


def tensor_offsets(path: Path) -> dict[str, tuple[int, int]]:
    """Where each tensor of a safetensors file lies in it: name → (first byte, number of bytes).

    >>> first_byte, length = tensor_offsets(SHIPPED_BACKBONE)["features.0.bias"]
    >>> length
    256
    """
    with path.open("rb") as file:
        header_length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(header_length))
    start = 8 + header_length
    return {
        name: (start + entry["data_offsets"][0], entry["data_offsets"][1] - entry["data_offsets"][0])
        for name, entry in header.items()
        if name != "__metadata__"
    }


def _checked(
    path: Path, tensors: dict[str, NDArray[np.generic]], name: str, shape: tuple[int, ...], keys: str
) -> NDArray[np.float32]:
    tensor = tensors.get(name)
    if tensor is None:
        raise BackboneError(f"{path} has no tensor {name!r}; expected {keys}")
    if tensor.shape != shape or tensor.dtype != np.float32:
        raise BackboneError(f"{path}: {name} is {tensor.dtype}{tensor.shape}, expected float32{shape}")
    if not np.isfinite(tensor).all():
        raise BackboneError(f"{path}: {name} has values that are not finite")
    return np.ascontiguousarray(tensor, dtype=np.float32)
