"""The backbone's file: safetensors, read, checked against the description, and known by its sha256.

One file serves every engine: PyTorch takes the tensors, ONNX graphs point into the file at their offsets.
"""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray

from clpips.models.metric.backbone import SHIPPED_FINGERPRINT, tensor_shapes

SHIPPED_BACKBONE: Final = Path(__file__).parent.parent / "data" / "alexnet-imagenet1k-v1.safetensors"


class BackboneError(ValueError):
    """The backbone file is missing, damaged or holds something else."""


@dataclass(frozen=True)
class Backbone:
    """The ten tensors of the five convolutions, float32 (`tensor_shapes`), and the sha256 of their file."""

    path: Path
    fingerprint: str
    tensors: dict[str, NDArray[np.float32]]


def load_backbone(path: Path | None = None) -> Backbone:
    """Read and check a backbone file (safetensors); without `path`, the one that ships with the project.

    Raises `BackboneError` where the file cannot be read, the shipped file's sha256 is not the published one, or a
    tensor is missing, of another shape or dtype, or not finite.

    >>> load_backbone().tensors["features.0.bias"].shape
    (64,)
    """
    path = path or SHIPPED_BACKBONE
    try:
        content = path.read_bytes()
    except OSError as error:
        raise BackboneError(f"cannot read the backbone {path}: {error.strerror}") from error
    fingerprint = hashlib.sha256(content).hexdigest()
    if path == SHIPPED_BACKBONE and fingerprint != SHIPPED_FINGERPRINT:
        raise BackboneError(
            f"{path} is damaged: its sha256 is {fingerprint}, expected {SHIPPED_FINGERPRINT}; install clpips again"
        )
    try:
        tensors = safetensors.numpy.load(content)
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise BackboneError(f"{path} is not a safetensors file: {error}") from error
    return Backbone(
        path, fingerprint, {name: _checked(path, tensors, name, shape) for name, shape in tensor_shapes().items()}
    )


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
    path: Path, tensors: dict[str, NDArray[np.generic]], name: str, shape: tuple[int, ...]
) -> NDArray[np.float32]:
    tensor = tensors.get(name)
    if tensor is None:
        raise BackboneError(f"{path} has no tensor {name!r}; expected torchvision's AlexNet keys")
    if tensor.shape != shape or tensor.dtype != np.float32:
        raise BackboneError(f"{path}: {name} is {tensor.dtype}{tensor.shape}, expected float32{shape}")
    if not np.isfinite(tensor).all():
        raise BackboneError(f"{path}: {name} has values that are not finite")
    return np.ascontiguousarray(tensor, dtype=np.float32)
