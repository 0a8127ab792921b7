"""The backbone on ONNX Runtime: the engine of the default install, on the CPU and, with onnxruntime-gpu, on CUDA."""

from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.backbone import DATA, TOTAL_CHANNELS, Backbone, load_backbone
from models.distance import channel_distances
from models.engines import EngineError, Precision

EMBED_GRAPH = DATA / "embed.onnx"
CHUNK = 4  # images a run: on two cores as fast as larger ones, and the activations of four stay small


class OnnxFeatures:
    """An image's five feature maps, float32 `(c, h, w)`, in one buffer of their own."""

    __slots__ = ("nbytes", "taps")

    def __init__(self, taps: Sequence[NDArray[np.float32]]) -> None:
        buffer = np.concatenate([tap.reshape(-1) for tap in taps])
        ends = np.cumsum([tap.size for tap in taps])
        parts = np.split(buffer, ends[:-1])
        self.taps = [part.reshape(tap.shape) for part, tap in zip(parts, taps, strict=True)]
        self.nbytes = buffer.nbytes


class OnnxEngine:
    """Float32 throughout (`precision="exact"`); `threads` is the number of cores a run may use (None: all)."""

    name = "onnx"
    precision: Precision = "exact"

    def __init__(self, device: str = "cpu", backbone: Backbone | None = None, threads: int | None = None) -> None:
        """Open the session. Raises `EngineError` where ONNX Runtime or the device's provider is missing."""
        runtime = _runtime()
        backbone = backbone or load_backbone()
        provider = {"cpu": "CPUExecutionProvider", "cuda": "CUDAExecutionProvider"}[device]
        if provider not in runtime.get_available_providers():
            raise EngineError(
                "this ONNX Runtime has no CUDA provider: in a fresh environment, pip install 'clpips[gpu]' "
                "(never beside clpips[cpu])"
            )
        options = runtime.SessionOptions()
        options.log_severity_level = 3  # errors; what it warns of is said by the check of the providers below
        options.intra_op_num_threads = threads or 0
        options.add_external_initializers(
            list(backbone.tensors), [runtime.OrtValue.ortvalue_from_numpy(t) for t in backbone.tensors.values()]
        )
        try:
            self._session = runtime.InferenceSession(EMBED_GRAPH.read_bytes(), options, providers=[provider])
        except Exception as error:
            raise EngineError(f"ONNX Runtime cannot open the backbone on {device}: {error}") from error
        if provider not in self._session.get_providers():
            raise EngineError(
                f"ONNX Runtime cannot use {device}: the CUDA libraries that it needs are missing or do not fit the "
                "driver; pip install 'clpips[gpu]' brings them, nvidia-smi shows the driver"
            )
        self._tensors = backbone.tensors  # the session reads them where they lie
        self.device = device
        self.fingerprint = backbone.fingerprint

    def embed(self, images: NDArray[np.uint8]) -> list[OnnxFeatures]:
        features: list[OnnxFeatures] = []
        for start in range(0, len(images), CHUNK):
            maps = self._session.run(None, {"images": images[start : start + CHUNK]})  # five (n, c, h, w)
            features += [OnnxFeatures(taps) for taps in zip(*maps, strict=True)]
        return features

    def compare(self, targets: Sequence[OnnxFeatures], candidates: Sequence[OnnxFeatures]) -> NDArray[np.float32]:
        z = np.empty((len(targets), TOTAL_CHANNELS), np.float32)
        for row, target, candidate in zip(z, targets, candidates, strict=True):
            row[:] = channel_distances(target.taps, candidate.taps)
        return z

    def close(self) -> None:
        del self._session


def _runtime() -> Any:
    installed = [name for name in ("onnxruntime", "onnxruntime-gpu") if _is_installed(name)]
    if len(installed) == 2:
        raise EngineError(
            "onnxruntime and onnxruntime-gpu are both installed and have overwritten each other's files: "
            "pip uninstall -y onnxruntime onnxruntime-gpu, then pip install 'clpips[cpu]' or 'clpips[gpu]'"
        )
    try:
        import onnxruntime
    except ImportError as error:
        raise EngineError("ONNX Runtime is not installed: pip install 'clpips[cpu]' or 'clpips[gpu]'") from error
    return onnxruntime


def _is_installed(distribution: str) -> bool:
    try:
        version(distribution)
    except PackageNotFoundError:
        return False
    return True
