"""The backbone on ONNX Runtime: the engine of the default install, on the CPU and, with onnxruntime-gpu, on CUDA."""

import contextlib
import io
import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import numpy as np
from numpy.typing import NDArray

from models.backbone import DATA, TOTAL_CHANNELS, Backbone, load_backbone
from models.distance import channel_distances
from models.engines import DEFAULT_FEATURE_BYTES, EngineError, Images, Precision, nothing_to_free

EMBED_GRAPH = DATA / "embed.onnx"
CHUNK = 4  # images a run: as fast as larger ones, and the activations of four stay small

# Float32 without TF32, and cuDNN's algorithms chosen by rule: timing them anew for every size that comes would cost
# more than it gains, and may choose ones that round more.
PROVIDERS = {
    "cpu": ("CPUExecutionProvider", {}),
    "cuda": ("CUDAExecutionProvider", {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}),
}


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
        runtime = load_runtime()
        backbone = backbone or load_backbone()
        if PROVIDERS[device][0] not in runtime.get_available_providers():
            raise EngineError(
                "this ONNX Runtime has no CUDA provider: in a fresh environment, pip install 'clpips[gpu]' "
                "(never beside clpips[cpu])"
            )
        self.on_memory_pressure = nothing_to_free
        self._tensors = backbone.tensors  # the sessions read them where they lie
        self.device = device
        self.fingerprint = backbone.fingerprint
        self._session = self._open(runtime, threads or 0)
        self._lanes = (threads or core_count()) if device == "cpu" else 1
        if self._lanes > 1:
            self._lane_session = self._open(runtime, 1)
            self._pool = ThreadPoolExecutor(self._lanes, thread_name_prefix="onnx")

    def _open(self, runtime: Any, threads: int) -> Any:
        provider, settings = PROVIDERS[self.device]
        said = _load_cuda(runtime) if self.device == "cuda" else ""
        options = runtime.SessionOptions()
        options.log_severity_level = 3  # errors; what it warns of is said by the check of the providers below
        options.intra_op_num_threads = threads
        options.add_session_config_entry("session.force_spinning_stop", "1")  # between runs the cores are for decoding
        options.add_external_initializers(
            list(self._tensors), [runtime.OrtValue.ortvalue_from_numpy(t) for t in self._tensors.values()]
        )
        try:
            session = runtime.InferenceSession(
                EMBED_GRAPH.read_bytes(),
                options,
                providers=[(provider, settings)],
                enable_fallback=0,  # to the CPU, with a banner on stdout
            )
        except Exception as error:
            raise EngineError(f"ONNX Runtime cannot open the backbone on {self.device}: {error}{said}") from error
        if provider not in session.get_providers():
            raise EngineError(
                f"ONNX Runtime cannot use {self.device}: the CUDA libraries that it needs are missing or do not fit "
                f"the driver; pip install 'clpips[gpu]' brings them, nvidia-smi shows the driver{said}"
            )
        return session

    def prepare(self, side: int, largest: int, feature_bytes: int | None = None) -> int:
        blank = np.zeros((side, side, 3), np.uint8)
        target, *_, candidate = self.embed([blank] * max(2, min(largest, CHUNK)))
        self.compare([target], [candidate])
        return DEFAULT_FEATURE_BYTES if feature_bytes is None else feature_bytes

    def embed(self, images: Images) -> list[OnnxFeatures]:
        """As `Engine.embed`. On a CPU one image is computed by all cores, several by one core each.

        A core that has an image to itself never waits for the others after each layer: that saves a fifth of the time,
        and more where other threads want the cores too.
        """
        if self._lanes == 1 or len(images) == 1:
            return self._run(self._session, images)
        chunk = min(max(len(images) // (2 * self._lanes), 1), CHUNK)
        parts = [images[start : start + chunk] for start in range(0, len(images), chunk)]
        return [one for part in self._pool.map(partial(self._run, self._lane_session), parts) for one in part]

    @staticmethod
    def _run(session: Any, images: Images) -> list[OnnxFeatures]:
        features: list[OnnxFeatures] = []
        for start in range(0, len(images), CHUNK):
            batch = np.stack([np.asarray(image) for image in images[start : start + CHUNK]])
            maps = session.run(None, {"images": batch})  # five (n, c, h, w)
            features += [OnnxFeatures(taps) for taps in zip(*maps, strict=True)]
        return features

    def compare(self, targets: Sequence[OnnxFeatures], candidates: Sequence[OnnxFeatures]) -> NDArray[np.float32]:
        z = np.empty((len(targets), TOTAL_CHANNELS), np.float32)
        for row, target, candidate in zip(z, targets, candidates, strict=True):
            row[:] = channel_distances(target.taps, candidate.taps)
        return z

    def close(self) -> None:
        del self._session
        if self._lanes > 1:
            self._pool.shutdown()
            del self._lane_session


def load_runtime() -> Any:
    """The module `onnxruntime`, with its reports to its makers turned off. Raises `EngineError` where it is missing.

    Since 1.32 ONNX Runtime writes a device identifier into the user's cache and sends what it runs to Microsoft,
    unless this variable is set before it is loaded; someone who wants that sets it to 0.
    """
    os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")
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


def _load_cuda(runtime: Any) -> str:
    """Load the CUDA libraries that pip installed; what ONNX Runtime prints of those that it misses, for an error."""
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):  # stdout is the answer's
        runtime.preload_dlls()
    runtime.set_default_logger_severity(4)  # else it says the same again, in four lines on stderr
    said = " ".join(printed.getvalue().split())
    return f" ({said})" if said else ""


def _is_installed(distribution: str) -> bool:
    try:
        version(distribution)
    except PackageNotFoundError:
        return False
    return True


def core_count() -> int:
    """Processor cores that this process may run on."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
