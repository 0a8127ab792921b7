"""The content network on PyTorch: EfficientNet-Lite0, channels last, from pixels to the statistics of its last map.

On a GPU batches run as CUDA graphs, a graph for each power of two, and scoring pixels are resized on the card.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from clpips.models.engines.pytorch.cards import is_card
from clpips.models.engines.pytorch.cuda_graphs import bucket_for, bucket_sizes, exact_convolutions
from clpips.models.metric.backbone_file import Backbone
from clpips.models.metric.content import (
    BLOCKS,
    CONTENT_SIDE,
    EPSILON,
    PIXEL_MEAN,
    PIXEL_SCALE,
    SIX,
    ContentConvolution,
    same_padding,
)
from clpips.models.metric.families import CONTENT

WARM_UP_RUNS: Final = 3  # before a capture, in which cuDNN may choose no more


class TorchContentFeatures:
    """An image's last maps `(1280, h, w)` and their statistics, float32 `(2, 1280)`, on the device.

    The maps are there for masks, which have statistics of their own.
    """

    __slots__ = ("maps", "statistics")
    network = CONTENT

    def __init__(self, maps: Tensor, statistics: Tensor) -> None:
        self.maps = maps
        self.statistics = statistics

    @property
    def nbytes(self) -> int:
        return self.maps.nbytes + self.statistics.nbytes

    @property
    def device(self) -> torch.device:
        return self.maps.device

    def to(self, device: str) -> "TorchContentFeatures":
        """The same features on this device; the copy may still be under way."""
        maps, statistics = (one.to(device, non_blocking=True) for one in (self.maps, self.statistics))
        return TorchContentFeatures(maps, statistics)


class ContentNetwork(nn.Module):
    """EfficientNet-Lite0's convolutions in one dtype: pixels → the last maps, and their statistics."""

    def __init__(self, backbone: Backbone, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.convolutions = nn.ModuleDict()
        for block in BLOCKS:
            for description in block.convolutions:
                self.convolutions[_module_name(description)] = _convolution(description, backbone, dtype)
        self.requires_grad_(requires_grad=False).eval()

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """uint8 `(n, s, s, 3)`, s = `CONTENT_SIDE` → maps `(n, 1280, h, w)`, statistics float32 `(n, 2, 1280)`."""
        x = images.permute(0, 3, 1, 2).to(self.dtype)  # (n, 3, s, s), channels last in memory
        x = x.sub_(PIXEL_MEAN).mul_(1 / PIXEL_SCALE)
        for block in BLOCKS:
            entered = x
            for description in block.convolutions:
                if description.stride > 1:  # else the two sides are padded alike, by the convolution itself
                    before, behind = same_padding(x.shape[2], description)
                    x = functional.pad(x, (before, behind, before, behind))
                x = self.convolutions[_module_name(description)](x)  # (n, c, h, w)
                if description.relu6:
                    x = x.clamp_(0, SIX)
            if block.residual:
                x = x.add_(entered)
        return x, _statistics(x)


class TorchContent:
    """Embeds batches on one device, up to `largest` images at a time."""

    def __init__(self, backbone: Backbone, dtype: torch.dtype, device: str, largest: int) -> None:
        self._network = ContentNetwork(backbone, dtype).to(device)
        self._device = device
        self.largest = largest
        self._graphs: dict[int, Callable[[], tuple[Tensor, Tensor]]] = {}
        if is_card(device):
            self._pixels = torch.zeros((largest, CONTENT_SIDE, CONTENT_SIDE, 3), dtype=torch.uint8, device=device)
            self._memory = torch.cuda.graph_pool_handle()
            # All graphs share the memory that the largest needs: each is done with it when its answer is copied.
            self._graphs = {size: self._capture(size) for size in reversed(bucket_sizes(largest))}

    def embed(self, pixels: Tensor) -> list[TorchContentFeatures]:
        """Features of n ≤ `largest` images, uint8 `(n, s, s, 3)` on the device, s = `CONTENT_SIDE`."""
        if not self._graphs:
            with exact_convolutions(self._device, search=False):
                maps, statistics = self._network(pixels)  # (n, 1280, h, w), (n, 2, 1280)
        else:
            count = len(pixels)
            self._pixels[:count].copy_(pixels)
            maps, statistics = (both[:count] for both in self._graphs[bucket_for(count, self.largest)]())
        pairs = zip(maps, statistics, strict=True)
        return [
            TorchContentFeatures(one.clone(), both.clone()) for one, both in pairs
        ]  # each may be kept without the others

    def _capture(self, size: int) -> Callable[[], tuple[Tensor, Tensor]]:
        accelerator: Any = torch.cuda
        aside = accelerator.Stream()
        aside.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(aside), exact_convolutions(self._device, search=True):
            for _ in range(WARM_UP_RUNS):
                self._network(self._pixels[:size])
        torch.cuda.current_stream().wait_stream(aside)
        graph = accelerator.CUDAGraph()
        with (
            exact_convolutions(self._device, search=True),
            torch.cuda.graph(graph, pool=self._memory, capture_error_mode="thread_local"),
        ):
            made: tuple[Tensor, Tensor] = self._network(self._pixels[:size])  # of `size` images

        def replay() -> tuple[Tensor, Tensor]:
            graph.replay()
            return made

        return replay


def compare_content(
    targets: Sequence[TorchContentFeatures], candidates: Sequence[TorchContentFeatures]
) -> NDArray[np.float32]:
    """The families `content_mean` and `content_std` of n pairs, side by side: float32 `(n, 2560)`."""
    sides = (torch.stack([one.statistics for one in side]) for side in (targets, candidates))  # (n, 2, 1280) each
    squares: NDArray[np.float32] = torch.sub(*sides).square_().flatten(1).cpu().numpy()
    return squares


def _module_name(description: ContentConvolution) -> str:
    return description.key.replace(".", "_")


def _convolution(description: ContentConvolution, backbone: Backbone, dtype: torch.dtype) -> nn.Conv2d:
    key, inputs, outputs, kernel, stride, groups, _ = description
    weight, bias = (torch.from_numpy(backbone.tensors[f"{key}.{part}"]) for part in ("weight", "bias"))
    convolution = nn.Conv2d(
        inputs, outputs, kernel, stride, padding=(kernel - 1) // 2 if stride == 1 else 0, groups=groups
    )
    convolution.load_state_dict({"weight": weight, "bias": bias})
    convolution.to(dtype).weight.data = weight.to(dtype).contiguous(memory_format=torch.channels_last)
    return convolution


def _statistics(maps: Tensor) -> Tensor:
    """`content_statistics` of n last maps `(n, 1280, h, w)`: float32 `(n, 2, 1280)`."""
    values = maps.flatten(2).float()  # (n, 1280, positions)
    means = values.mean(dim=2)  # (n, 1280)
    deviations = (values - means[..., None]).square_().mean(dim=2).sqrt_()  # (n, 1280)
    both = torch.stack([means, deviations], dim=1)  # (n, 2, 1280)
    lengths: Tensor = torch.linalg.vector_norm(both, dim=2, keepdim=True)  # (n, 2, 1)
    return both / (lengths + EPSILON)
