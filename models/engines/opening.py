"""The factory of engines: which one runs, by name, device and precision, and what to install where it cannot."""

import ctypes
import logging
import sys
from pathlib import Path
from typing import get_args

from clpips.models.engines.contract import (
    ConvolutionName,
    DeviceName,
    Engine,
    EngineError,
    EngineName,
    JpegDecoder,
    Precision,
)
from clpips.models.installing import install_hint
from clpips.models.metric.backbone_file import Backbone, load_backbone

logger = logging.getLogger(__name__)


def open_engine(
    name: EngineName = "auto",
    device: DeviceName = "auto",
    precision: Precision = "exact",
    backbone: Path | None = None,
    threads: int | None = None,
    *,
    convolution: ConvolutionName = "direct",
    fallback: bool = False,
) -> Engine:
    """Open an engine on one device: `auto`, `cpu`, `cuda`, or a card by its number (`cuda:1`).

    `auto` takes PyTorch on CUDA where it sees a card, else ONNX Runtime on the CPU for `exact` and PyTorch for `fast`;
    the engine `onnx` takes CUDA only when asked. `backbone` names another backbone file; `threads` bounds the cores
    that a run uses (None: all). `convolution` is for the engine `onnx` on the CPU: `winograd` needs fewer
    multiplications and half a second more to open, `auto` measures whether it is faster here. With `fallback`, an
    engine that is asked for on CUDA and cannot be had there runs on the CPU, with a warning, and is `exact` where the
    CPU cannot be `fast`. Raises `EngineError` where something is missing, with what to install, or a CPU gains nothing
    by `fast`, and `BackboneError` for a backbone file that is not sound.

    >>> import numpy as np
    >>> engine = open_engine("onnx", "cpu")
    >>> black, white = engine.embed(np.stack([np.full((64, 64, 3), level, np.uint8) for level in (0, 255)]))
    >>> engine.compare([black, black], [black, white]).shape
    (2, 6016)
    >>> engine.close()
    """
    weights = load_backbone(backbone)
    try:
        return _open(name, device, precision, weights, threads, convolution)
    except EngineError as error:
        if not device.startswith("cuda") or not fallback:
            raise
        logger.warning("no engine on %s, going on with the CPU: %s", device, error)
    try:
        return _open(name, "cpu", precision, weights, threads, convolution)
    except EngineError as error:
        if precision == "exact":
            raise
        logger.warning("going on with precision exact: %s", error)
    return _open(name, "cpu", "exact", weights, threads, convolution)


def open_jpeg_decoder(engine: Engine) -> JpegDecoder:
    """A decoder of JPEGs on the engine's device, tried once.

    On CUDA it is nvJPEG, whose pixels are close to Pillow's and not the same. Raises `EngineError` where the engine
    takes no pixels that lie on its device, or torchvision cannot decode there.
    """
    if engine.name != "torch":
        raise EngineError(
            f"the engine {engine.name} takes pixels from main memory alone: JPEGs are decoded on the device for the "
            "engine torch; choose that one, or decode on the host"
        )
    from clpips.models.engines.pytorch.jpeg import TorchJpegDecoder

    return TorchJpegDecoder(engine.device)


def _open(
    name: EngineName,
    device: DeviceName,
    precision: Precision,
    backbone: Backbone,
    threads: int | None,
    convolution: ConvolutionName,
) -> Engine:
    if name not in get_args(EngineName):
        raise EngineError(f"there is no engine {name!r}; choose one of {', '.join(get_args(EngineName))}")
    if device not in {"auto", "cpu"} and not device.startswith("cuda"):
        raise EngineError(f"there is no device {device!r}; choose auto, cpu, cuda, or a card by its number, as cuda:1")
    if device == "auto":
        device = "cuda" if name != "onnx" and torch_sees_cuda() else "cpu"
    if name == "auto":
        name = "torch" if precision == "fast" or device.startswith("cuda") else "onnx"
    if convolution == "winograd" and (name, device) != ("onnx", "cpu"):
        raise EngineError(
            f"Winograd's convolutions are for the engine onnx on the CPU, and this is {name} on {device}: choose that "
            "one, or convolution auto"
        )
    if name == "torch":
        try:
            from clpips.models.engines.pytorch.engine import TorchEngine
        except ModuleNotFoundError as error:
            raise EngineError(
                f"PyTorch is not installed: {install_hint('torch')}; or choose the engine onnx with precision exact"
            ) from error
        if device == "cpu" and precision == "fast":
            _require_bfloat16()
        return TorchEngine(device, precision, backbone, threads)
    if precision == "fast":
        raise EngineError("the engine onnx has no precision fast: choose the engine torch, or precision exact")
    from clpips.models.engines.onnx import OnnxEngine

    return OnnxEngine(device, backbone, threads, convolution)


def _require_bfloat16() -> None:
    """Raise `EngineError` on a CPU that emulates bfloat16, where `fast` is several times slower than `exact`."""
    from clpips.models.engines.pytorch.precision import cpu_has_bfloat16

    if not cpu_has_bfloat16():
        raise EngineError(
            "precision fast is several times slower than exact on this CPU: it has no bfloat16 units (AMX or AVX-512 "
            "BF16); choose precision exact"
        )


def torch_sees_cuda() -> bool:
    """Whether there is a GPU that PyTorch can use; it is imported only where there is a driver."""
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")  # the driver's own library
    except OSError:
        return False  # and nobody has waited for PyTorch to be imported
    try:
        import torch
    except ModuleNotFoundError:
        return False
    return torch.cuda.is_available()
