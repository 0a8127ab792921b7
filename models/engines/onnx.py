"""The engine on ONNX Runtime: that of the default install, on the CPU and, with onnxruntime-gpu, on CUDA."""

import time
from collections.abc import Sequence
from functools import partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from clpips.models.engines.contract import (
    DEFAULT_FEATURE_BYTES,
    GPU_BATCH,
    EngineError,
    Image,
    Images,
    Precision,
    nothing_to_free,
)
from clpips.models.engines.cores import Cores, core_count
from clpips.models.engines.onnx_runtime import load_cuda_libraries, load_runtime
from clpips.models.installing import install_hint
from clpips.models.metric.backbone import CHANNELS, TOTAL_CHANNELS, tap_sizes
from clpips.models.metric.backbone_file import SHIPPED_BACKBONE, Backbone, load_backbone
from clpips.models.metric.distance import channel_distances, statistics
from clpips.models.metric.families import ALL_FAMILIES, Families

EMBED_GRAPH: Final = SHIPPED_BACKBONE.with_name("embed.onnx")  # written by `models/export/onnx_graphs.py`
LARGE_PIXELS: Final = 32 * 256**2  # of an image on a CPU, from which on all cores compute it, whatever else they do
CUDA_RUN: Final = 4  # images of a batch that CUDA computes at a time: their features come back to main memory

# Float32 without TF32, and cuDNN's algorithms chosen by rule: timing them anew for every size that comes would cost
# more than it gains, and may choose ones that round more.
PROVIDERS: Final = {
    "cpu": ("CPUExecutionProvider", {}),
    "cuda": ("CUDAExecutionProvider", {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}),
}


class OnnxFeatures:
    """An image's five feature maps, float32 `(c, h, w)`, in one buffer of their own, undefined until written.

    `finish` computes their statistics, float32 `(2, 1152)`, once they are.
    """

    __slots__ = ("nbytes", "statistics", "taps")

    def __init__(self, height: int, width: int) -> None:
        shapes = [(channels, *size) for channels, size in zip(CHANNELS, tap_sizes(height, width), strict=True)]
        ends = np.cumsum([np.prod(shape) for shape in shapes])  # (5,), elements
        buffer = np.empty(ends[-1], np.float32)  # (elements,)
        self.taps = [part.reshape(shape) for part, shape in zip(np.split(buffer, ends[:-1]), shapes, strict=True)]
        self.statistics: NDArray[np.float32]
        self.nbytes = buffer.nbytes + 2 * TOTAL_CHANNELS * 4

    def finish(self) -> "OnnxFeatures":
        """The same features, their maps written, with statistics."""
        self.statistics = statistics(self.taps)
        return self


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
                "this ONNX Runtime has no CUDA provider: in a fresh environment, without the extra cpu, "
                f"{install_hint('gpu')}"
            )
        self.seconds_per_image = 0.0
        self.on_memory_pressure = nothing_to_free
        self._tensors = backbone.tensors  # the sessions read them where they lie
        self.device = device
        self.fingerprint = backbone.fingerprint
        self._large_run = runtime.RunOptions()
        if device == "cpu":
            self._large_run.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
        self._session = self._open(runtime, threads or 0)  # of all cores
        self._cores = Cores(threads or core_count()) if device == "cpu" else None
        self.parallel = self._cores.count if self._cores else 1
        self.batch = 1 if self._cores else GPU_BATCH
        self._core_session = self._open(runtime, 1) if self.parallel > 1 else self._session

    def _open(self, runtime: Any, threads: int) -> Any:
        provider, settings = PROVIDERS[self.device]
        said = load_cuda_libraries(runtime) if self.device == "cuda" else ""
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
                f"the driver; the extra gpu brings them ({install_hint('gpu')}), nvidia-smi shows the driver{said}"
            )
        return session

    def prepare(self, side: int, largest: int, feature_bytes: int | None = None) -> int:
        blank = np.zeros((side, side, 3), np.uint8)
        self.embed([blank])  # on a CPU one image takes another way than several
        target, *_, candidate = self.embed([blank] * max(2, min(largest, CUDA_RUN)))
        self.compare([target], [candidate])
        started, timed = time.perf_counter(), [blank] * 2 * self.parallel
        self.embed(timed)
        self.seconds_per_image = (time.perf_counter() - started) / len(timed)
        return DEFAULT_FEATURE_BYTES if feature_bytes is None else feature_bytes

    def embed(self, images: Images, *, more: bool = False) -> list[OnnxFeatures]:
        if self._cores is None:
            return self._run_in_batches(images)
        images = list(images)
        by_one, by_all = (partial(self._run_each, session) for session in (self._core_session, self._session))
        if images and images[0].shape[0] * images[0].shape[1] >= LARGE_PIXELS:
            return by_all(images)  # one core alone would take seconds
        return self._cores.map(images, by_one, by_one if more else by_all)

    def _run_each(self, session: Any, images: Sequence[Image]) -> list[OnnxFeatures]:
        """Image by image, which on a CPU is as fast as several at once; features are computed where they stay."""
        return [_run_into_features(session, np.asarray(image), self._large_run) for image in images]

    def _run_in_batches(self, images: Images) -> list[OnnxFeatures]:
        features: list[OnnxFeatures] = []
        for start in range(0, len(images), CUDA_RUN):
            batch = np.stack([np.asarray(image) for image in images[start : start + CUDA_RUN]])  # (n, h, w, 3)
            maps = self._session.run(None, {"images": batch})  # five (n, c, h', w')
            for taps in zip(*maps, strict=True):  # of one image, (c, h', w')
                one = OnnxFeatures(*batch.shape[1:3])
                for tap, computed in zip(one.taps, taps, strict=True):
                    tap[:] = computed
                features.append(one.finish())
        return features

    def compare(
        self, targets: Sequence[OnnxFeatures], candidates: Sequence[OnnxFeatures], families: Families = ALL_FAMILIES
    ) -> NDArray[np.float32]:
        known = [[(one.taps, one.statistics) for one in side] for side in (targets, candidates)]
        return channel_distances(known[0], known[1], families)

    def close(self) -> None:
        if self._cores is not None:
            self._cores.close()
        del self._session, self._core_session


def _run_into_features(session: Any, image: NDArray[np.uint8], large_run: Any) -> OnnxFeatures:
    """The features of one image, uint8 `(h, w, 3)`, written by the session where they are kept.

    `large_run` are the options of a run for a large image: memory of its layers goes back to the system.
    """
    features = OnnxFeatures(*image.shape[:2])
    binding = session.io_binding()
    binding.bind_cpu_input("images", np.ascontiguousarray(image)[np.newaxis])  # (1, h, w, 3)
    for number, tap in enumerate(features.taps):
        binding.bind_output(f"features_{number}", "cpu", 0, np.float32, (1, *tap.shape), tap.ctypes.data)
    session.run_with_iobinding(binding, large_run if image.shape[0] * image.shape[1] >= LARGE_PIXELS else None)
    return features.finish()
