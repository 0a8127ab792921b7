"""Engines run the frozen backbone: images → features, and pairs of features → channel distances.

`open_engine` chooses one. An engine is used from one thread at a time; the features it returns may be handed between
threads.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from models.backbone import load_backbone

EngineName = Literal["auto", "onnx", "torch"]
Precision = Literal["exact", "fast"]


class EngineError(RuntimeError):
    """The engine cannot be opened or has failed; the message says what to install or to change."""


class Features(Protocol):
    """What an engine knows of one image. Opaque: it goes back into `compare` of the engine that made it."""

    @property
    def nbytes(self) -> int:
        """Bytes of memory that keeping these features costs."""
        ...


class Engine(Protocol):
    """The frozen backbone on a device."""

    name: str  # "onnx" or "torch"
    device: str  # "cpu" or "cuda"
    precision: Precision
    fingerprint: str  # of the backbone, sha256

    def embed(self, images: NDArray[np.uint8]) -> Sequence[Any]:
        """Features of each of n images, uint8 RGB `(n, h, w, 3)` with h and w ≥ 31."""
        ...

    def compare(self, targets: Sequence[Any], candidates: Sequence[Any]) -> NDArray[np.float32]:
        """Channel distances of n pairs of features of equally large images: float32 `(n, 1152)`, ≥ 0."""
        ...

    def close(self) -> None:
        """Give the device's memory back. The engine cannot be used afterwards."""
        ...


def open_engine(
    name: EngineName = "auto",
    device: Literal["auto", "cpu", "cuda"] = "auto",
    precision: Precision = "exact",
    backbone: Path | None = None,
    threads: int | None = None,
) -> Engine:
    """Open an engine.

    `auto` takes ONNX Runtime on the CPU for `exact`, and PyTorch where `fast` or CUDA is asked for. `backbone` names
    another backbone file; `threads` bounds the cores that a run uses (None: all). Raises `EngineError` where
    something is missing, with what to install, and `BackboneError` for a backbone file that is not sound.
    """
    if name == "auto":
        name = "torch" if precision == "fast" or device == "cuda" else "onnx"
    if device == "auto":
        device = "cuda" if name == "torch" and _torch_sees_cuda() else "cpu"
    weights = load_backbone(backbone)
    if name == "torch":
        try:
            from models.engines.torch import TorchEngine
        except ModuleNotFoundError as error:
            raise EngineError(
                "PyTorch is not installed: pip install 'clpips[torch]', or choose the engine onnx with precision exact"
            ) from error
        return TorchEngine(device, precision, weights, threads)
    if precision == "fast":
        raise EngineError("the engine onnx has no precision fast: choose the engine torch, or precision exact")
    from models.engines.onnx import OnnxEngine

    return OnnxEngine(device, weights, threads)


def _torch_sees_cuda() -> bool:
    try:
        import torch
    except ModuleNotFoundError:
        return False
    return torch.cuda.is_available()
