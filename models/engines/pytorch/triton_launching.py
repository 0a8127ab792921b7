"""Launches of Triton's kernels (`triton_kernels.py`) on one device: grids, addresses of features, and plans of maps."""

from collections.abc import Sequence
from functools import cache
from itertools import pairwise
from typing import NamedTuple

import torch
import triton
import triton.language as tl
from torch import Tensor

from clpips.models.engines.pytorch.cards import is_card
from clpips.models.engines.pytorch.layout import Layout, layout_of
from clpips.models.engines.pytorch.network import block_grid
from clpips.models.engines.pytorch.slots import TorchFeatures
from clpips.models.engines.pytorch.triton_kernels import (
    BLOCKS_CONSTANTS,
    CHANNEL_TILE,
    COMPARE_CONSTANTS,
    FINISH_MEASURE_CONSTANTS,
    NORM_TILE,
    STATISTICS_TILE,
    blocks_kernel,
    compare_kernel,
    finish_kernel,
    finish_measure_kernel,
    measure_kernel,
    statistics_kernel,
    store_constants,
    store_kernel,
)
from clpips.models.metric.backbone import CHANNELS, MIN_SIDE, TOTAL_CHANNELS, tap_sizes

POSITIONS_AN_ITEM = (
    256  # positions that one program works through: 63 × 63 are 16 items, enough for a card with few pairs
)


class _Plan(NamedTuple):
    """How the maps of one layout are cut up, to be compared or measured, on the device."""

    items: Tensor  # int32 (items, 3): first element, the tap's channels, positions
    blocks: Tensor  # int32 (18, 3): first item, items, positions of the tap


def plan_items(layout: Layout) -> tuple[list[tuple[int, int, int]], list[tuple[int, int, int]]]:
    """The rows of a plan: 64 channels and at most 256 positions an item, items of the same channels in a row."""
    items: list[tuple[int, int, int]] = []
    blocks = []
    for start, channels, positions in zip(layout.starts, CHANNELS, layout.positions, strict=True):
        pieces = -(-positions // POSITIONS_AN_ITEM)
        bounds = [positions * piece // pieces for piece in range(pieces + 1)]
        for channel in range(0, channels, CHANNEL_TILE):
            blocks.append((len(items), pieces, positions))
            items += [
                (start + lower * channels + channel, channels, upper - lower) for lower, upper in pairwise(bounds)
            ]
    return items, blocks


class TritonKernels:
    """The kernels on one device. Tried at once, so that what Triton lacks shows when the engine is opened."""

    def __init__(self, device: str, dtype: torch.dtype) -> None:
        self._device = device
        self._dtype = dtype
        self._unit = {torch.float32: tl.float32, torch.float16: tl.float16, torch.bfloat16: tl.bfloat16}[dtype]
        self._plan = cache(self._make_plan)
        self._try()

    def _try(self) -> None:
        layout = layout_of(MIN_SIDE, MIN_SIDE)
        image = TorchFeatures(layout, torch.empty(layout.elements, dtype=self._dtype, device=self._device))
        self.blocks(torch.zeros((1, MIN_SIDE, MIN_SIDE, 3), dtype=torch.uint8, device=self._device))
        shapes = zip(CHANNELS, tap_sizes(MIN_SIDE, MIN_SIDE), strict=True)
        maps = [torch.zeros((1, h, w, c), dtype=self._dtype, device=self._device) for c, (h, w) in shapes]
        self.store([x.permute(0, 3, 1, 2) for x in maps], [image])
        self.compare([image], [image])
        self.measure([image])
        self.compare_statistics([image], [image]).cpu()

    def _make_plan(self, layout: Layout) -> _Plan:
        items, blocks = plan_items(layout)
        if layout.elements >= 2**31:
            raise ValueError(f"an image of {layout.height}×{layout.width} pixels has more features than can be indexed")
        return _Plan(*(torch.tensor(rows, dtype=torch.int32).to(self._device) for rows in (items, blocks)))

    def addresses(self, features: Sequence[TorchFeatures]) -> Tensor:
        return torch.tensor([handle.buffer.data_ptr() for handle in features], dtype=torch.int64)

    def blocks(self, images: Tensor) -> Tensor:
        n, height, width, _ = images.shape
        rows, columns = block_grid(height, width)
        x = torch.empty((n, rows, columns, 48), dtype=self._dtype, device=self._device)
        blocks_kernel[rows, n](images, x, height, width, rows, columns, **BLOCKS_CONSTANTS, TILE=1024)
        return x.permute(0, 3, 1, 2)

    def store(self, maps: Sequence[Tensor], features: Sequence[TorchFeatures]) -> None:
        self.store_at(maps, features[0].layout, self._upload(self.addresses(features)))

    def store_at(self, maps: Sequence[Tensor], layout: Layout, addresses: Tensor) -> None:
        for x, start, positions, channels in zip(maps, layout.starts, layout.positions, CHANNELS, strict=True):
            if not x.is_contiguous(memory_format=torch.channels_last):
                raise ValueError("maps must lie channels last in memory")
            grid = (triton.cdiv(positions, NORM_TILE), len(x))
            store_kernel[grid](x, addresses, start, positions, **store_constants(channels))

    def compare(self, targets: Sequence[TorchFeatures], candidates: Sequence[TorchFeatures]) -> Tensor:
        plan = self._plan(targets[0].layout)
        pairs = self._upload(torch.stack([self.addresses(targets), self.addresses(candidates)], dim=1))  # (n, 2)
        partial = torch.empty((len(targets), len(plan.items), CHANNEL_TILE), device=self._device)  # (n, items, 64)
        z = torch.empty((len(targets), TOTAL_CHANNELS), device=self._device)  # (n, 1152)
        compare_kernel[len(plan.items), len(targets)](pairs, plan.items, partial, unit=self._unit, **COMPARE_CONSTANTS)
        finish_kernel[len(plan.blocks), len(targets)](
            partial, plan.blocks, z, len(plan.items), CHANNEL_TILE_=CHANNEL_TILE
        )
        return z

    def measure(self, features: Sequence[TorchFeatures]) -> None:
        plan = self._plan(features[0].layout)
        places = torch.tensor([(one.buffer.data_ptr(), one.statistics.data_ptr()) for one in features])  # int64 (n, 2)
        addresses = self._upload(places)
        partial = torch.empty((len(features), len(plan.items), 2, CHANNEL_TILE), device=self._device)
        measure_kernel[len(plan.items), len(features)](
            addresses, plan.items, partial, unit=self._unit, **COMPARE_CONSTANTS
        )
        finish_measure_kernel[len(plan.blocks), len(features)](
            partial, plan.items, plan.blocks, addresses, len(plan.items), **FINISH_MEASURE_CONSTANTS
        )

    def compare_statistics(self, targets: Sequence[TorchFeatures], candidates: Sequence[TorchFeatures]) -> Tensor:
        places = [[one.statistics.data_ptr() for one in side] for side in (targets, candidates)]
        pairs = self._upload(torch.tensor(places).T.contiguous())  # int64 (n, 2)
        z = torch.empty((len(targets), 2 * TOTAL_CHANNELS), device=self._device)  # (n, 2304)
        statistics_kernel[2 * TOTAL_CHANNELS // STATISTICS_TILE, len(targets)](pairs, z, TILE=STATISTICS_TILE)
        return z

    def _upload(self, addresses: Tensor) -> Tensor:
        if is_card(self._device):
            addresses = addresses.pin_memory()  # from ordinary memory the copy would wait for the device
        return addresses.to(self._device, non_blocking=True)
