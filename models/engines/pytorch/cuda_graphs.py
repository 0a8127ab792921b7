"""CUDA graphs: embedding of one image size in batches of powers of two, each a graph, with uploads beside the work.

The code runs on the CPU too, where PyTorch's streams and events do nothing and a "graph" is the call itself: so what
it does with rows, slots and padding is tested without a GPU.
"""

import contextlib
import threading
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clpips.models.engines.pytorch.cards import is_card
from clpips.models.engines.pytorch.kernels import GraphKernels
from clpips.models.engines.pytorch.layout import layout_of
from clpips.models.engines.pytorch.network import AlexNetTaps
from clpips.models.engines.pytorch.slots import TorchFeatures

LANES = 2  # batches under way: one computed, one uploaded
CUDNN_FLAGS = threading.RLock()


def bucket_sizes(largest: int) -> list[int]:
    """The powers of two up to `largest`, and it itself.

    >>> bucket_sizes(12)
    [1, 2, 4, 8, 12]
    """
    return sorted({1 << power for power in range(largest.bit_length())} | {largest})


def bucket_for(count: int, largest: int) -> int:
    """The smallest bucket that holds `count` images.

    >>> bucket_for(5, largest=12)
    8
    """
    return min(1 << (count - 1).bit_length(), largest)


class _Lane:
    """Staging buffers of one batch: pinned memory that the device reads by itself, and the device's, where it lands."""

    def __init__(self, images: int, side: int, device: str) -> None:
        pinned = is_card(device)
        accelerator = torch.get_device_module(device)
        shape = (images, side, side, 3)
        self.pixels = torch.empty(shape, dtype=torch.uint8, pin_memory=pinned)
        self.addresses = torch.empty(images, dtype=torch.int64, pin_memory=pinned)
        self.landed_pixels = torch.empty(shape, dtype=torch.uint8, device=device)
        self.landed_addresses = torch.empty(images, dtype=torch.int64, device=device)
        self.rows: NDArray[np.uint8] = self.pixels.numpy()  # the same memory
        self.uploaded = accelerator.Event()
        self.read = accelerator.Event()


class GraphEmbedder:
    """Embeds batches of up to `largest` images of `side` × `side` pixels.

    A batch is padded to the next bucket. Its padding costs time on the device, no memory: padded rows are computed
    from whatever the last batch left there, and land in one scrap of memory that nobody reads.
    """

    def __init__(self, network: AlexNetTaps, kernels: GraphKernels, side: int, largest: int, device: str) -> None:
        """Allocate and capture. Raises PyTorch's own error where the device's memory does not suffice."""
        self.side = side
        self.layout = layout_of(side, side)
        self._network = network
        self._kernels = kernels
        self._device = device
        self._accelerator: Any = torch.get_device_module(device)
        self._copies = self._accelerator.Stream()
        self._scrap = torch.empty(self.layout.elements, dtype=network.dtype, device=device)
        self._pixels = torch.zeros((largest, side, side, 3), dtype=torch.uint8, device=device)  # (n, h, w, 3)
        self._addresses = torch.full((largest,), self._scrap.data_ptr(), dtype=torch.int64, device=device)
        self._lanes = cycle([_Lane(largest, side, device) for _ in range(LANES)])
        self._memory = self._accelerator.graph_pool_handle() if is_card(device) else None
        self.largest = largest
        # All graphs share the memory that the largest needs: each is done with it when its features are written.
        self._graphs = {size: self._capture(size) for size in reversed(bucket_sizes(largest))}

    def _step(self, size: int) -> None:
        maps = self._network(self._kernels.blocks(self._pixels[:size]))
        self._kernels.store_at(maps, self.layout, self._addresses[:size])

    def _capture(self, size: int) -> Callable[[], None]:
        if not is_card(self._device):
            return lambda: self._step(size)
        # cuDNN tries its algorithms and Triton compiles in the runs before; a capture may do neither.
        aside = self._accelerator.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside), exact_convolutions(self._device, search=True):
            for _ in range(3):
                self._step(size)
        torch.cuda.current_stream().wait_stream(aside)
        graph = torch.cuda.CUDAGraph()
        with (
            exact_convolutions(self._device, search=True),
            torch.cuda.graph(graph, pool=self._memory, capture_error_mode="thread_local"),
        ):
            self._step(size)
        return graph.replay

    def embed(
        self, hosted: Sequence[NDArray[np.uint8]], landed: list[Tensor], features: Sequence[TorchFeatures]
    ) -> None:
        """Compute n ≤ `largest` images, uint8 `(side, side, 3)` each, into their features, without waiting for it.

        The images in main memory come first, those that lie on the device already after them; so do the features.
        """
        upload, count = len(hosted), len(hosted) + len(landed)
        size = bucket_for(count, self.largest)
        lane = next(self._lanes)
        lane.read.synchronize()  # waits only when the device is two batches behind
        for row, image in zip(lane.rows, hosted, strict=False):
            np.copyto(row, image)
        lane.addresses[:count] = self._kernels.addresses(features)
        lane.addresses[count:size] = self._scrap.data_ptr()
        with self._accelerator.stream(self._copies):
            if hosted:
                lane.landed_pixels[:upload].copy_(lane.pixels[:upload], non_blocking=True)
            if landed:
                torch.stack(landed, out=lane.landed_pixels[upload:count])
                read_on(self._copies, landed)
            lane.landed_addresses[:size].copy_(lane.addresses[:size], non_blocking=True)
            lane.uploaded.record(self._copies)
        compute = self._accelerator.current_stream()
        compute.wait_event(lane.uploaded)
        self._pixels[:count].copy_(lane.landed_pixels[:count])
        self._addresses[:size].copy_(lane.landed_addresses[:size])
        self.replay(size)
        lane.read.record(compute)

    def replay(self, size: int) -> None:
        """Compute the last batch once more, in the bucket `size`: the device's part of the work alone."""
        self._graphs[size]()


def read_on(stream: Any, pixels: Sequence[Tensor]) -> None:
    """Keep the memory of pixels that another stream has made until `stream`, too, is done with them."""
    for one in pixels:
        if one.is_cuda:  # the CPU's streams have no order to keep
            one.record_stream(stream)


@contextlib.contextmanager
def exact_convolutions(device: str, *, search: bool) -> Iterator[None]:
    """Convolutions whose float32 is float32, not TF32; `search` lets cuDNN time its algorithms for each new shape.

    cuDNN's flags are the whole process's: of the threads of several cards one convolves at a time outside of graphs, or
    one would give the flags back while another relies on them. On a CPU, where cuDNN has no part, nothing is done.
    """
    if not is_card(device):
        yield
        return
    with (
        CUDNN_FLAGS,
        torch.backends.cudnn.flags(enabled=True, benchmark=search, deterministic=False, allow_tf32=False),
    ):
        yield
