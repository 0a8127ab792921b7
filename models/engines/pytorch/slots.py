"""Slab allocation: features as handles on memory of the device, from a pool of equal slots or beside it."""

from collections import deque

import torch
from torch import Tensor

from clpips.models.engines.pytorch.layout import Layout
from clpips.models.metric.families import ALEXNET


class TorchFeatures:
    """A handle on one image's features: its maps, and their statistics once somebody has asked for them.

    Its slot is free again when the last reference goes.
    Work that was given to the device before that still reads the slot safely: whatever is written to it later is
    ordered behind on the same stream.
    """

    __slots__ = ("_free", "_slot", "buffer", "layout", "measured", "statistics")
    network = ALEXNET

    def __init__(
        self,
        layout: Layout,
        buffer: Tensor,
        statistics: Tensor | None = None,
        free: "deque[int] | None" = None,
        slot: int = -1,
    ) -> None:
        self.layout = layout
        self.buffer = buffer  # (layout.elements,)
        if statistics is None:
            statistics = torch.empty((2, layout.net.total_channels), device=buffer.device)
        self.statistics = statistics  # (2, c)
        self.measured = False  # whether the statistics are there
        self._free = free
        self._slot = slot

    @property
    def nbytes(self) -> int:
        return self.buffer.nbytes + self.statistics.nbytes

    @property
    def pooled(self) -> bool:
        """Whether a slot of the pool holds them, and not memory of their own."""
        return self._free is not None

    @property
    def device(self) -> torch.device:
        return self.buffer.device

    def copy_to(self, place: "TorchFeatures") -> "TorchFeatures":
        """The features in another place of the same layout, maybe on another card; the copy may still be under way."""
        place.buffer.copy_(self.buffer, non_blocking=True)
        if self.measured:
            place.statistics.copy_(self.statistics, non_blocking=True)
            place.measured = True
        return place

    def taps(self) -> list[Tensor]:
        """The maps of unit length along channels, each `(positions, channels)`."""
        return self.layout.split(self.buffer)

    def __del__(self) -> None:
        # Any thread may drop the last reference, even inside `take`: append and pop of a deque need no lock.
        if self._free is not None:
            self._free.append(self._slot)


class SlotPool:
    """`slots` equal places for features of one layout, in allocations that are never given back in parts.

    A general allocator splits and fragments under a cache's turnover; here a freed slot fits the next image exactly.
    The last slot freed is the next one taken, so that a lightly used pool touches little memory.
    """

    def __init__(self, layout: Layout, slots: int, dtype: torch.dtype, device: str) -> None:
        self.layout = layout
        self.slots = slots
        self._slab = torch.empty((slots, layout.elements), dtype=dtype, device=device)  # (slots, elements)
        self._statistics = torch.empty((slots, 2, layout.net.total_channels), device=device)  # (slots, 2, c)
        self._free = deque(reversed(range(slots)))

    @property
    def free(self) -> int:
        return len(self._free)

    @property
    def nbytes(self) -> int:
        return self._slab.nbytes + self._statistics.nbytes

    def take(self) -> TorchFeatures | None:
        """A handle on a free slot, its content undefined; None where every slot is taken."""
        try:
            slot = self._free.pop()
        except IndexError:
            return None
        return TorchFeatures(self.layout, self._slab[slot], self._statistics[slot], self._free, slot)
