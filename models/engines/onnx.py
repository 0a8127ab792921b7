"""The engine on ONNX Runtime: that of the default install, on the CPU and, with onnxruntime-gpu, on CUDA."""

import logging
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from clpips.models.engines.contract import (
    DEFAULT_FEATURE_BYTES,
    GPU_BATCH,
    Convolution,
    ConvolutionName,
    EngineError,
    Images,
    Precision,
    families_asked,
    nothing_to_free,
    pair_by_pair,
)
from clpips.models.engines.cores import Cores, core_count
from clpips.models.engines.onnx_alexnet import EMBED_GRAPHS, LARGE_PIXELS, WINOGRAD_GRAPH, AlexNet
from clpips.models.engines.onnx_content import CONTENT_GRAPH, ContentFeatures, OnnxContent
from clpips.models.engines.onnx_features import OnnxFeatures
from clpips.models.engines.onnx_runtime import (
    load_cuda_libraries,
    load_runtime,
    release_freed_memory,
    share_arena,
    shrinking_run,
)
from clpips.models.engines.winograd.choosing import measured
from clpips.models.installing import install_hint
from clpips.models.metric.backbone_file import Backbone, load_backbone, load_content
from clpips.models.metric.content import CONTENT_CHANNELS
from clpips.models.metric.distance import channel_distances, channel_distances_of_all, content_distances
from clpips.models.metric.families import ALEXNET, CONTENT, LAYOUTS, Families, Networks, ZLayout
from clpips.models.metric.masked import masked_content_distances, masked_distances
from clpips.models.metric.masks import Region
from clpips.models.metric.nets import ALEX
from clpips.models.metric.spatial import position_distances, within

WINOGRAD_BATCH: Final = 2  # images a core is given at a time: with four a core waits longer for the last than it gains
CUDA_RUN: Final = 4  # images of a batch that CUDA computes at a time: their features come back to main memory

logger = logging.getLogger(__name__)

# Float32 without TF32, and cuDNN's algorithms chosen by rule: timing them anew for every size that comes would cost
# more than it gains, and may choose ones that round more.
PROVIDERS: Final[dict[str, tuple[str, dict[str, str]]]] = {
    "cpu": ("CPUExecutionProvider", {}),
    "cuda": ("CUDAExecutionProvider", {"use_tf32": "0", "cudnn_conv_algo_search": "HEURISTIC"}),
}


class OnnxEngine:
    """Float32 throughout (`precision="exact"`); `threads` is the number of cores a run may use (None: all)."""

    name = "onnx"
    precision: Precision = "exact"

    def __init__(
        self,
        device: str = "cpu",
        backbone: Backbone | None = None,
        threads: int | None = None,
        convolution: ConvolutionName = "direct",
    ) -> None:
        """Open the sessions; on a CPU, `convolution="auto"` measures which one is faster there.

        Raises `EngineError` where ONNX Runtime or the device's provider is missing.
        """
        runtime = load_runtime()
        backbone = backbone or load_backbone()
        if PROVIDERS[device.partition(":")[0]][0] not in runtime.get_available_providers():
            raise EngineError(
                "this ONNX Runtime has no CUDA provider: in a fresh environment, without the extra cpu, "
                f"{install_hint('gpu')}"
            )
        self.seconds_per_image = 0.0
        self.on_memory_pressure = nothing_to_free
        self._tensors = [backbone.tensors]  # of each network: the sessions read them where they lie
        self._backbone = backbone
        self._threads = threads or 0
        self._content: OnnxContent | None = None  # until it is asked for
        self._loading = threading.Lock()
        self.device = device
        self.net = backbone.net
        self.fingerprint = backbone.fingerprint
        self.convolution: Convolution = "direct"
        graph = EMBED_GRAPHS[self.net.name]
        self._session = self._open(graph, backbone, threads or 0)  # of all cores
        self._cores = Cores(threads or core_count(), pinned=threads is None) if device == "cpu" else None
        self.parallel = self._cores.count if self._cores else 1
        self.comparing = self.parallel  # in numpy, on the host
        self.batch = 1 if self._cores else GPU_BATCH
        self._alexnet = AlexNet(self._session, shrinking_run(runtime), net=self.net)  # of all cores
        self._core_alexnet = self._alexnet
        self._large_alexnet: AlexNet | None = None  # of all cores, for large images, until one comes
        if self.parallel > 1:
            self._core_alexnet = AlexNet(self._open(graph, backbone, 1), shrinking_run(runtime), net=self.net)
        if convolution == "winograd" and self.net != ALEX:
            raise EngineError(f"Winograd's convolutions are for AlexNet, and this is {self.net.title}: choose direct")
        if self._cores is not None and convolution != "direct" and self.net == ALEX:
            self._take_winograd(backbone, threads or 0, measure=convolution == "auto")

    def _take_winograd(self, backbone: Backbone, threads: int, *, measure: bool) -> None:
        """Convolve by Winograd's algorithm from now on; with `measure`, only where that is faster."""
        core_alexnet = self._core_alexnet.with_winograd(self._open(WINOGRAD_GRAPH, backbone, 1))
        if not measure or self._is_faster(core_alexnet):
            alexnet = core_alexnet
            if self.parallel > 1:
                alexnet = self._alexnet.with_winograd(self._open(WINOGRAD_GRAPH, backbone, threads))
            self._alexnet, self._core_alexnet = alexnet, core_alexnet
            self.convolution, self.batch = "winograd", WINOGRAD_BATCH
        release_freed_memory()

    def _is_faster(self, winograd: AlexNet) -> bool:
        choice = measured(self._core_alexnet.embed, winograd.embed)
        logger.info(
            "%s convolutions: an image takes a core %.1f ms directly, %.1f ms by Winograd's algorithm",
            "Winograd's" if choice.winograd else "direct",
            choice.direct_ms,
            choice.winograd_ms,
        )
        return choice.winograd

    def _open(self, graph: Path, backbone: Backbone, threads: int, *, arena: bool = True) -> Any:
        """A session that runs a graph on the tensors of its network's file. Raises `EngineError`.

        Without the arena each map of a run goes back to the system as soon as no node needs it any more.
        """
        runtime = load_runtime()
        kind, _, number = self.device.partition(":")
        provider, settings = PROVIDERS[kind]
        if number:
            settings = settings | {"device_id": number}
        said = load_cuda_libraries(runtime) if kind == "cuda" else ""
        share_arena()
        options = runtime.SessionOptions()
        options.log_severity_level = 3  # errors; what it warns of is said by the check of the providers below
        options.intra_op_num_threads = threads
        if arena:
            options.add_session_config_entry("session.use_env_allocators", "1")
        else:
            options.enable_cpu_mem_arena = options.enable_mem_pattern = False
        options.add_session_config_entry("session.force_spinning_stop", "1")  # between runs the cores are for decoding
        options.add_external_initializers(
            list(backbone.tensors), [runtime.OrtValue.ortvalue_from_numpy(t) for t in backbone.tensors.values()]
        )
        try:
            session = runtime.InferenceSession(
                graph.read_bytes(),
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

    @property
    def _layout(self) -> ZLayout:
        return LAYOUTS[self.net.name]

    @property
    def loaded(self) -> Networks:
        return frozenset({ALEXNET} if self._content is None else {ALEXNET, CONTENT})

    def prepare(self, side: int, largest: int, feature_bytes: int | None = None) -> int:
        blank = np.zeros((side, side, 3), np.uint8)
        self.embed([blank])  # on a CPU one image takes another way than several
        target, *_, candidate = self.embed([blank] * max(2, min(largest, CUDA_RUN)))
        self.compare([target], [candidate])
        started, timed = time.perf_counter(), [blank] * 2 * self.parallel
        self.embed(timed)
        self.seconds_per_image = (time.perf_counter() - started) / len(timed)
        return DEFAULT_FEATURE_BYTES if feature_bytes is None else feature_bytes

    def embed(self, images: Images, *, more: bool = False, network: str = ALEXNET) -> list[Any]:
        if network == CONTENT:
            return self._content_network().embed(images, more=more)
        if self._cores is None:
            return self._run_in_batches(images)
        images = list(images)
        by_one, by_all = self._core_alexnet.embed, self._alexnet.embed
        if images and images[0].shape[0] * images[0].shape[1] >= LARGE_PIXELS:
            return self._large_network().embed(images)  # one core alone would take seconds
        return self._cores.map(images, by_one, by_one if more else by_all)

    def _run_in_batches(self, images: Images) -> list[OnnxFeatures]:
        features: list[OnnxFeatures] = []
        for start in range(0, len(images), CUDA_RUN):
            batch = np.stack([np.asarray(image) for image in images[start : start + CUDA_RUN]])  # (n, h, w, 3)
            maps = self._session.run(None, {"images": batch})  # five (n, c, h', w')
            for taps in zip(*maps, strict=True):  # of one image, (c, h', w')
                one = OnnxFeatures(batch.shape[1], batch.shape[2], net=self.net)
                for tap, computed in zip(one.taps, taps, strict=True):
                    tap[:] = computed
                features.append(one.finish())
        return features

    def compare(
        self, targets: Sequence[Any], candidates: Sequence[Any], families: Families | None = None
    ) -> NDArray[np.float32]:
        network, families = families_asked(targets, candidates, families)
        if network == CONTENT:
            return content_distances(
                [one.statistics for one in targets], [one.statistics for one in candidates], families, self._layout
            )
        if not targets:
            return np.zeros((0, self._layout.length), np.float32)
        known = [[(one.taps, one.statistics) for one in side] for side in (targets, candidates)]
        return channel_distances(known[0], known[1], families)

    def compare_all(
        self, targets: Sequence[Any], candidates: Sequence[Any], families: Families | None = None
    ) -> NDArray[np.float32]:
        network, families = families_asked(targets, candidates, families)
        if network == CONTENT:
            return pair_by_pair(self.compare, targets, candidates, families)
        known = [[(one.taps, one.statistics) for one in side] for side in (targets, candidates)]
        return channel_distances_of_all(known[0], known[1], families)

    def adopt(self, features: Sequence[Any]) -> Sequence[Any]:
        return features  # they lie in main memory, on CUDA too

    def compare_within(
        self, target: Any, candidate: Any, mask: Region, families: Families | None = None
    ) -> NDArray[np.float32]:
        network, families = families_asked([target], [candidate], families)
        if network == CONTENT:
            return masked_content_distances(target.maps, candidate.maps, mask, families, self._layout)
        return masked_distances(target.taps, candidate.taps, mask, families)

    def locate(
        self, target: Any, candidate: Any, weights: NDArray[np.float32], mask: Region | None = None
    ) -> list[NDArray[np.float32]]:
        return within(position_distances(target.taps, candidate.taps, weights), mask)

    def statistics(self, features: Sequence[Any]) -> NDArray[np.float32]:
        return np.stack([one.statistics for one in features])  # (n, 2, c)

    def store(self, features: Any) -> list[NDArray[Any]]:
        return [features.statistics] if features.network == CONTENT else [features.statistics, features.buffer]

    def restore(
        self, arrays: Sequence[NDArray[Any]], network: str, size: tuple[int, int]
    ) -> OnnxFeatures | ContentFeatures:
        if network == CONTENT:
            (statistics,) = arrays  # the maps are for masks
            return ContentFeatures(np.zeros((CONTENT_CHANNELS, 0, 0), np.float32), statistics)
        statistics, buffer = arrays
        features = OnnxFeatures(*size, buffer, self.net)
        features.statistics = statistics
        return features

    def close(self) -> None:
        if self._cores is not None:
            self._cores.close()
        del self._session, self._alexnet, self._core_alexnet
        self._content = self._large_alexnet = None

    def _large_network(self) -> AlexNet:
        """The backbone without the arena, opened by the first large image.

        The arena holds the maps of a run until its end, and those of 4096² pixels take 1.5 GB beside the features'
        buffer or in it; without it they take 0.9, in the same time. Smaller images would pay for fresh pages.
        """
        with self._loading:
            if self._large_alexnet is None:
                session = self._open(EMBED_GRAPHS[self.net.name], self._backbone, self._threads, arena=False)
                self._large_alexnet = AlexNet(session, None, net=self.net)
            return self._large_alexnet

    def _content_network(self) -> OnnxContent:
        """The content network, loaded by whoever asks first."""
        with self._loading:
            if self._content is None:
                backbone = load_content()
                self._tensors.append(backbone.tensors)
                session = self._open(CONTENT_GRAPH, backbone, self._threads)
                core_session = self._open(CONTENT_GRAPH, backbone, 1) if self.parallel > 1 else session
                self._content = OnnxContent(session, core_session, self._cores)
            return self._content
