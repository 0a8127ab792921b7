"""The engine on PyTorch: NVIDIA GPUs, and the CPU as the reference.

On the GPU, batches of the prepared size run as CUDA graphs (`cuda_graphs.py`) between Triton's kernels
(`triton_kernels.py`), features stay on the card in a pool of slots (`slots.py`), and a batch for which memory
does not suffice is halved (`memory.py`). Nothing waits for the card but `compare`, for its answer.
"""

import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clpips.models.engines.contract import (
    GPU_BATCH,
    Convolution,
    Image,
    Images,
    Precision,
    families_asked,
    nothing_to_free,
    pair_by_pair,
)
from clpips.models.engines.cores import Cores, core_count
from clpips.models.engines.pytorch.cards import current, is_card, on_its_device, require_device
from clpips.models.engines.pytorch.comparing import Comparing, hosted, located
from clpips.models.engines.pytorch.content import TorchContentFeatures, compare_content
from clpips.models.engines.pytorch.content_on_demand import ContentOnDemand
from clpips.models.engines.pytorch.cuda_graphs import GraphEmbedder, exact_convolutions
from clpips.models.engines.pytorch.kernels import GraphKernels, Kernels, kernels_for
from clpips.models.engines.pytorch.layout import Layout, layout_of, places_by_layout
from clpips.models.engines.pytorch.memory import (
    OutOfMemoryError,
    default_feature_bytes,
    in_halves,
    largest_that_fits,
    nothing_to_lower,
    release_cached_memory,
)
from clpips.models.engines.pytorch.network import AlexNetTaps, taps_of
from clpips.models.engines.pytorch.pixels import batch_on, layout_of_all
from clpips.models.engines.pytorch.precision import compute_dtype
from clpips.models.engines.pytorch.slots import SlotPool, TorchFeatures
from clpips.models.metric.backbone_file import Backbone, load_backbone
from clpips.models.metric.families import (
    ALEXNET,
    CONTENT,
    FAMILIES_OF,
    LAYOUTS,
    Families,
    Networks,
)
from clpips.models.metric.masked import masked_content_distances, masked_distances
from clpips.models.metric.masks import Region
from clpips.models.metric.spatial import within

CPU_BATCH = 4  # images a run on a core of the CPU: larger ones gain nothing
UNPREPARED_PIXELS = 64 * 256**2  # bounds a batch on the GPU of a size that no graph was prepared for
PAIRS_A_RUN = 4096  # bounds the sums that a comparison keeps beside the features: 50 MB


class TorchEngine:
    """`precision="exact"` is float32 without TF32; `"fast"` is half precision, see `compute_dtype`."""

    name = "torch"

    def __init__(
        self,
        device: str = "cpu",
        precision: Precision = "exact",
        backbone: Backbone | None = None,
        threads: int | None = None,
        kernels: Kernels | None = None,
    ) -> None:
        """Build the network on the device. Raises `EngineError` where PyTorch does not see it.

        On a CPU, `threads` cores (None: all) compute images side by side, one core each: PyTorch is told to use a
        single thread, in the whole process. `kernels` in place of those that suit the device.
        """
        require_device(device)
        self._cores = Cores(threads or core_count()) if device == "cpu" else None
        if self._cores is not None:
            torch.set_num_threads(1)
        backbone = backbone or load_backbone()
        self.device = device
        self.precision = precision
        self.convolution: Convolution = "direct"
        self.net = backbone.net
        self._z = LAYOUTS[self.net.name]
        self.fingerprint = backbone.fingerprint
        self.parallel = self._cores.count if self._cores else 1
        self.comparing = 1  # on the device, or by operations that take all cores
        self.batch = CPU_BATCH if self._cores else GPU_BATCH
        self.seconds_per_image = 0.0
        self.on_memory_pressure: Callable[[], None] = nothing_to_free
        self._dtype = compute_dtype(device, precision)
        self._network = taps_of(backbone, self._dtype).to(device)
        with current(device):
            self._kernels: Kernels = kernels or kernels_for(device, self._dtype, self.net)
        self._comparing = Comparing(self._kernels, self._z, device, self._cores)
        self.pool: SlotPool | None = None  # of the prepared size
        self.graphs: GraphEmbedder | None = None  # of the prepared size, on CUDA
        self._content = ContentOnDemand(device, precision, self._cores, CPU_BATCH)
        self._largest = self.batch  # images a run
        self._limits: dict[Layout, int] = {}  # most images a run, learned when memory ran out

    @property
    def loaded(self) -> Networks:
        return frozenset({ALEXNET, CONTENT} if self._content.loaded else {ALEXNET})

    @on_its_device
    @torch.inference_mode()
    def prepare(self, side: int, largest: int, feature_bytes: int | None = None) -> int:
        """As the protocol says: captures graphs on CUDA, and reserves a slot for each image that may be kept.

        The engine's own choice of `feature_bytes` is half of the card's free memory. Slots for two batches more are
        reserved, for features that are in use and kept nowhere; images beyond that, and of other sizes, get memory of
        their own.
        """
        self.pool = self.graphs = None
        self._largest = largest
        layout = layout_of(side, side, self.net)
        kernels = self._kernels
        if isinstance(kernels, GraphKernels) and isinstance(self._network, AlexNetTaps):
            network = self._network
            self.graphs = largest_that_fits(
                lambda size: GraphEmbedder(network, kernels, side, size, self.device), largest, self.device
            )
        blank = np.zeros((side, side, 3), np.uint8)
        for _ in range(2):  # the second time, nothing is paid that is paid once
            started, timed = time.perf_counter(), [blank] * min(max(largest, self.parallel), self._limit(layout))
            features = self.embed(timed)
            self.compare(features[:1], features[-1:])
            self.seconds_per_image = (time.perf_counter() - started) / len(timed)
        slot_bytes = features[0].nbytes
        del features
        if feature_bytes is None:
            feature_bytes = default_feature_bytes(self.device)
        spare = 2 * largest
        slots = feature_bytes // slot_bytes + spare
        self.pool = largest_that_fits(
            lambda slots: SlotPool(layout, slots, self._dtype, self.device), slots, self.device
        )
        reserved = self.pool.slots if self.pool is not None else 0
        return feature_bytes if reserved == slots else max(reserved - spare, 0) * slot_bytes

    @on_its_device
    def embed(
        self,
        images: Images,
        *,
        more: bool = False,  # noqa: ARG002
        network: str = ALEXNET,
    ) -> list[Any]:
        rows = list(images)
        if not rows:
            return []
        layout = layout_of_all(rows, self.net)  # each core sees a part of them alone
        if network == CONTENT:
            return list(self._content.embed(layout, rows, self._largest, self._relieve))
        return self._embed_all(rows) if self._cores is None else self._cores.map(rows, self._embed_all, self._embed_all)

    @torch.inference_mode()
    def _embed_all(self, rows: Sequence[Image]) -> list[TorchFeatures]:
        features: list[TorchFeatures] = []
        while len(features) < len(rows):
            layout = layout_of_all(rows, self.net)
            batch = rows[len(features) : len(features) + self._limit(layout)]
            features += in_halves(self._embed, batch, self._relieve, partial(self._lower_limit, layout))
        return features

    @on_its_device
    @torch.inference_mode()
    def compare(
        self,
        targets: Sequence[Any],
        candidates: Sequence[Any],
        families: Families | None = None,
    ) -> NDArray[np.float32]:
        network, families = families_asked(targets, candidates, families)
        z = np.zeros((len(targets), self._z.length), np.float32)  # (n, z)
        if network == CONTENT:
            if targets:
                z[:, self._z.network_places[CONTENT]] = compare_content(targets, candidates)
            for name in FAMILIES_OF[CONTENT] - families:
                z[:, self._z.places[name]] = 0
            return z
        for places in places_by_layout([one.layout for one in targets], [one.layout for one in candidates]):
            for start in range(0, len(places), PAIRS_A_RUN):
                run = places[start : start + PAIRS_A_RUN]
                pairs = [(targets[place], candidates[place]) for place in run]
                compare = partial(self._comparing.compare, families=families)
                z[run, self._z.network_places[ALEXNET]] = in_halves(compare, pairs, self._relieve, nothing_to_lower)
        return z

    def compare_all(
        self, targets: Sequence[Any], candidates: Sequence[Any], families: Families | None = None
    ) -> NDArray[np.float32]:
        return pair_by_pair(self.compare, targets, candidates, families)

    @on_its_device
    @torch.inference_mode()
    def adopt(self, features: Sequence[Any]) -> list[Any]:
        here = next(self._network.parameters()).device
        foreign = list({id(one): one for one in features if one.device != here}.values())
        try:
            copies = in_halves(self._copy, foreign, self._relieve, nothing_to_lower)
        except OutOfMemoryError as error:
            raise MemoryError(str(error)) from error
        copied = {id(one): copy for one, copy in zip(foreign, copies, strict=True)}
        return [copied.get(id(one), one) for one in features]

    @on_its_device
    @torch.inference_mode()
    def compare_within(
        self, target: Any, candidate: Any, mask: Region, families: Families | None = None
    ) -> NDArray[np.float32]:
        """As the protocol says, on the host: a mask comes with a few pairs, whose features are fetched."""
        network, families = families_asked([target], [candidate], families)
        if network == CONTENT:
            own, other = (one.maps.float().cpu().numpy() for one in (target, candidate))  # (1280, h, w)
            return masked_content_distances(own, other, mask, families, self._z)
        places_by_layout([target.layout], [candidate.layout])  # refuses images of different sizes
        return masked_distances(hosted(target), hosted(candidate), mask, families)

    @on_its_device
    @torch.inference_mode()
    def locate(
        self, target: Any, candidate: Any, weights: NDArray[np.float32], mask: Region | None = None
    ) -> list[NDArray[np.float32]]:
        places_by_layout([target.layout], [candidate.layout])  # refuses images of different sizes
        return within(located(target, candidate, weights, self.device), mask)

    @on_its_device
    @torch.inference_mode()
    def statistics(self, features: Sequence[Any]) -> NDArray[np.float32]:
        alexnet = [one for one in features if one.network == ALEXNET]
        if alexnet:
            self._comparing.measure(alexnet)
        found: NDArray[np.float32] = torch.stack([one.statistics for one in features]).cpu().numpy()  # (n, 2, c)
        return found

    @on_its_device
    @torch.inference_mode()
    def store(self, features: Any) -> list[NDArray[Any]]:
        if features.network == CONTENT:
            return [features.statistics.cpu().numpy()]
        self._comparing.measure([features])
        return [features.statistics.cpu().numpy(), features.buffer.view(torch.uint8).cpu().numpy()]

    @on_its_device
    @torch.inference_mode()
    def restore(
        self, arrays: Sequence[NDArray[Any]], network: str, size: tuple[int, int]
    ) -> TorchFeatures | TorchContentFeatures:
        statistics, *maps = (torch.from_numpy(array) for array in arrays)
        if network == CONTENT:
            nothing = torch.empty(0, device=self.device)  # the maps are for masks
            return TorchContentFeatures(nothing, statistics.to(self.device))
        features = self._place(layout_of(*size, self.net))
        (buffer,) = maps
        if buffer.numel() != features.buffer.nbytes:
            raise ValueError(
                f"features of {size[0]}×{size[1]} pixels are {features.buffer.nbytes} bytes, not {buffer.numel()}"
            )
        features.buffer.copy_(buffer.view(self._dtype))
        features.statistics.copy_(statistics)
        features.measured = True
        return features

    @on_its_device
    def close(self) -> None:
        """Give the device's memory back; that of features which somebody still holds goes with them."""
        self.pool = self.graphs = None
        self._content.close()
        if self._cores is not None:
            self._cores.close()
        del self._network, self._kernels, self._comparing
        release_cached_memory(self.device)

    def _embed(self, images: Sequence[Image]) -> list[TorchFeatures]:
        layout = layout_of_all(images, self.net)
        features = [self._place(layout) for _ in images]
        # Those from main memory first: each kind lies together in the batch, and moves in one go.
        places = sorted(range(len(images)), key=lambda place: isinstance(images[place], Tensor))
        from_host = [image for image in images if isinstance(image, np.ndarray)]
        landed = [image for image in images if isinstance(image, Tensor)]
        destinations = [features[place] for place in places]
        if self.graphs is not None and self.graphs.layout == layout:
            self.graphs.embed(from_host, landed, destinations)
            return features
        with exact_convolutions(self.device, search=False):
            pixels = batch_on(self.device, layout, from_host, landed)  # (n, h, w, 3)
            maps = self._network(self._kernels.blocks(pixels))  # (n, c, h', w')
        self._kernels.store(maps, destinations)
        return features

    def _place(self, layout: Layout) -> TorchFeatures:
        """Room for an image's features: a slot of the pool, or memory of their own where it is full or does not fit."""
        features = self.pool.take() if self.pool is not None and self.pool.layout == layout else None
        if features is None:
            features = TorchFeatures(layout, torch.empty(layout.elements, dtype=self._dtype, device=self.device))
        return features

    def _copy(self, foreign: Sequence[Any]) -> list[Any]:
        """The same features on this device. Nothing waits: both cards' streams keep the order of work and copy."""
        return [
            one.to(self.device) if isinstance(one, TorchContentFeatures) else one.copy_to(self._place(one.layout))
            for one in foreign
        ]

    def _limit(self, layout: Layout) -> int:
        """Most images of one size in a run."""
        if self.graphs is not None and self.graphs.layout == layout:
            most = self.graphs.largest
        elif is_card(self.device):
            most = max(1, UNPREPARED_PIXELS // (layout.height * layout.width))
        else:
            most = CPU_BATCH
        return min(most, self._limits.get(layout, most))

    def _lower_limit(self, layout: Layout, failed: int) -> None:
        if self.graphs is None or self.graphs.layout != layout:  # a graph's own memory is there already
            self._limits[layout] = failed // 2

    def _relieve(self) -> None:
        self.on_memory_pressure()
        release_cached_memory(self.device)
