"""Engines run the frozen backbone: images → features, and pairs of features → channel distances.

`open_engine` chooses one. An engine is used from as many threads at a time as its `parallel` says; the features it
returns may be handed between threads.
"""

import ctypes
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from clpips.models.images.decoding import MAX_PIXELS
from clpips.models.metric.backbone import Backbone, load_backbone

logger = logging.getLogger(__name__)

EngineName = Literal["auto", "onnx", "torch"]
Precision = Literal["exact", "fast"]


class DevicePixels(Protocol):
    """uint8 RGB `(h, w, 3)` that lie on the engine's device. Opaque: they go into `embed` of the engine."""

    @property
    def shape(self) -> Sequence[int]: ...


Image = NDArray[np.uint8] | DevicePixels
Images = Sequence[Image] | NDArray[np.uint8]  # n of one size, (h, w, 3) each

GPU_BATCH = 64  # images
DEFAULT_FEATURE_BYTES = 512 * 2**20  # of main memory, for features that are kept


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
    parallel: int
    """Calls of `embed` that may run at the same time, in threads of their own, beside one of `compare`: one a core on a
    CPU. Where it is 1, as on a GPU, all calls come from one thread."""
    batch: int  # images in one of those calls beyond which it gains nothing
    on_memory_pressure: Callable[[], None]
    """Set by who keeps features: called in the engine's thread when the device's memory has run out, before the next,
    smaller try. To drop some, and return when they are dropped, is all that is asked."""

    def prepare(self, side: int, largest: int, feature_bytes: int | None = None) -> int:
        """Pay now for what is paid once, for batches of up to `largest` images of `side` × `side` pixels.

        Returns the bytes of features that may be kept at a time: `feature_bytes`, or less where the device has less;
        where None is asked for, the engine's own choice. Images of other sizes are welcome afterwards.
        """
        ...

    def embed(self, images: Images, *, more: bool = False) -> Sequence[Any]:
        """Features of each of n images of one size, uint8 RGB with both sides ≥ 31: `(n, h, w, 3)`, or n `(h, w, 3)`.

        `more` says that others are about to be embedded beside these: a single image then leaves them their cores.

        Some or all may lie on the device already: those that a `JpegDecoder` for this engine has decoded. May return
        before they are computed: whoever compares them waits.
        """
        ...

    def compare(self, targets: Sequence[Any], candidates: Sequence[Any]) -> NDArray[np.float32]:
        """Channel distances of n pairs of features of equally large images: float32 `(n, 1152)`, ≥ 0."""
        ...

    def close(self) -> None:
        """Give the device's memory back. The engine cannot be used afterwards."""
        ...


class JpegDecoder(Protocol):
    """Decodes JPEGs on an engine's device, a batch at a time; used from one thread, beside the engine's own."""

    def decode(
        self, files: Sequence[bytes], resolution: int | None, max_pixels: int = MAX_PIXELS
    ) -> Sequence[DevicePixels | None]:
        """The pixels of each file at the scoring resolution (None: as stored), ready for the engine's `embed`.

        None for every file that is better left to `load_image`: it is no plain JPEG, it cannot be scored, it is
        damaged, or the device has no room for it now. Raises nothing for what is in a file.
        """
        ...


def open_engine(
    name: EngineName = "auto",
    device: Literal["auto", "cpu", "cuda"] = "auto",
    precision: Precision = "exact",
    backbone: Path | None = None,
    threads: int | None = None,
    *,
    fallback: bool = False,
) -> Engine:
    """Open an engine.

    `auto` takes PyTorch on CUDA where it sees a card, else ONNX Runtime on the CPU for `exact` and PyTorch for `fast`;
    the engine `onnx` takes CUDA only when asked. `backbone` names another backbone file; `threads` bounds the cores
    that a run uses (None: all). With `fallback`, an engine that is asked for on CUDA and cannot be had there runs on
    the CPU, with a warning. Raises `EngineError` where something is missing, with what to install, and
    `BackboneError` for a backbone file that is not sound.
    """
    weights = load_backbone(backbone)
    try:
        return _open(name, device, precision, weights, threads)
    except EngineError as error:
        if device != "cuda" or not fallback:
            raise
        logger.warning("no engine on cuda, going on with the CPU: %s", error)
    return _open(name, "cpu", precision, weights, threads)


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


def nothing_to_free() -> None:
    """`on_memory_pressure` while nobody has said that they keep features."""


def _open(
    name: EngineName,
    device: Literal["auto", "cpu", "cuda"],
    precision: Precision,
    weights: Backbone,
    threads: int | None,
) -> Engine:
    if device == "auto":
        device = "cuda" if name != "onnx" and _torch_sees_cuda() else "cpu"
    if name == "auto":
        name = "torch" if precision == "fast" or device == "cuda" else "onnx"
    if name == "torch":
        try:
            from clpips.models.engines.pytorch.engine import TorchEngine
        except ModuleNotFoundError as error:
            raise EngineError(
                "PyTorch is not installed: pip install 'clpips[torch]', or choose the engine onnx with precision exact"
            ) from error
        return TorchEngine(device, precision, weights, threads)
    if precision == "fast":
        raise EngineError("the engine onnx has no precision fast: choose the engine torch, or precision exact")
    from clpips.models.engines.onnx import OnnxEngine

    return OnnxEngine(device, weights, threads)


def _torch_sees_cuda() -> bool:
    try:
        ctypes.CDLL("nvcuda.dll" if sys.platform == "win32" else "libcuda.so.1")  # the driver's own library
    except OSError:
        return False  # and nobody has waited for PyTorch to be imported
    try:
        import torch
    except ModuleNotFoundError:
        return False
    return torch.cuda.is_available()
