"""The frozen backbone: AlexNet's five convolutions, the file that holds them, and the shapes that follow.

Architecture: Krizhevsky, "One weird trick for parallelizing convolutional neural networks" (2014), as torchvision
implements it. LPIPS (Zhang et al., CVPR 2018) taps it after each of its five ReLUs.
"""

import hashlib
import json
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
import safetensors
from numpy.typing import NDArray
from safetensors.numpy import load as parse_safetensors

DATA = Path(__file__).parent.parent / "data"
SHIPPED_BACKBONE = DATA / "alexnet-imagenet1k-v1.safetensors"
SHIPPED_FINGERPRINT = "112f026bedbd2466eb29d5490e267f2f2415f7ac7d3c8ace6fdd050efd5967ae"


class Convolution(NamedTuple):
    """One convolution with the ReLU behind it, and whether a 3×3, stride 2 max-pool stands in front."""

    key: str  # in torchvision's state dict
    inputs: int
    outputs: int
    kernel: int
    stride: int
    padding: int
    pooled: bool


CONVOLUTIONS = (
    Convolution("features.0", 3, 64, 11, 4, 2, pooled=False),
    Convolution("features.3", 64, 192, 5, 1, 2, pooled=True),
    Convolution("features.6", 192, 384, 3, 1, 1, pooled=True),
    Convolution("features.8", 384, 256, 3, 1, 1, pooled=False),
    Convolution("features.10", 256, 256, 3, 1, 1, pooled=False),
)
CHANNELS = tuple(convolution.outputs for convolution in CONVOLUTIONS)
TOTAL_CHANNELS = sum(CHANNELS)  # 1152
LAYERS = tuple(
    slice(sum(CHANNELS[:layer]), sum(CHANNELS[: layer + 1])) for layer in range(len(CHANNELS))
)  # each tap's part of a (1152,) vector

MIN_SIDE = 31  # pixels: below it the second max-pool has nothing to pool

# Pixels in [-1, 1] are shifted and scaled so, channel by channel, before the first convolution (LPIPS's ScalingLayer).
SHIFT = (-0.030, -0.088, -0.188)
SCALE = (0.458, 0.448, 0.450)
EPSILON = 1e-10  # added to a feature vector's norm before the division, as in the lpips package


class BackboneError(ValueError):
    """The backbone file is missing, damaged or holds something else."""


@dataclass(frozen=True)
class Backbone:
    """The ten tensors of the five convolutions, float32: weights OIHW, biases `(O,)`, keys as in torchvision.

    `fingerprint` is the sha256 of the file they came from. Distances of different backbones do not compare, so
    every result and every weights file carries it.
    """

    path: Path
    fingerprint: str
    tensors: dict[str, NDArray[np.float32]]

    @cached_property
    def name(self) -> str:
        return self.path.stem


def load_backbone(path: Path | None = None) -> Backbone:
    """Read and check a backbone file (safetensors); without `path`, the one that ships with the project.

    Raises `BackboneError` where the file cannot be read, the shipped file's sha256 is not the published one, or a
    tensor is missing, of another shape or dtype, or not finite.
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
        tensors = parse_safetensors(content)
    except (safetensors.SafetensorError, ValueError, KeyError) as error:
        raise BackboneError(f"{path} is not a safetensors file: {error}") from error
    return Backbone(path, fingerprint, {name: _checked(path, tensors, name, shape) for name, shape in _shapes()})


def _shapes() -> list[tuple[str, tuple[int, ...]]]:
    return [
        entry
        for key, inputs, outputs, kernel, *_ in CONVOLUTIONS
        for entry in ((f"{key}.weight", (outputs, inputs, kernel, kernel)), (f"{key}.bias", (outputs,)))
    ]


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


def tensor_offsets(path: Path) -> dict[str, tuple[int, int]]:
    """Where each tensor of a safetensors file lies in it: name → (first byte, number of bytes)."""
    with path.open("rb") as file:
        header_length = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(header_length))
    start = 8 + header_length
    return {
        name: (start + entry["data_offsets"][0], entry["data_offsets"][1] - entry["data_offsets"][0])
        for name, entry in header.items()
        if name != "__metadata__"
    }


def tap_sizes(height: int, width: int) -> list[tuple[int, int]]:
    """Height and width of each tap's feature map for an image of `height` × `width` pixels (both ≥ `MIN_SIDE`)."""
    return list(zip(_side_lengths(height), _side_lengths(width), strict=True))


def _side_lengths(side: int) -> list[int]:
    lengths = []
    for convolution in CONVOLUTIONS:
        if convolution.pooled:
            side = (side - 3) // 2 + 1
        side = (side + 2 * convolution.padding - convolution.kernel) // convolution.stride + 1
        lengths.append(side)
    return lengths
