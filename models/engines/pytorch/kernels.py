"""Kernels, the steps around the convolutions: pixels → blocks, maps → unit-length features → statistics, pairs
of features → z.

`PlainKernels` are ordinary PyTorch operations and run anywhere. `triton_kernels.py` computes the same in one pass over
memory each, for NVIDIA GPUs.
"""

import logging
from collections.abc import Sequence
from typing import Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional

from clpips.models.engines.pytorch.cards import is_card
from clpips.models.engines.pytorch.layout import Layout
from clpips.models.engines.pytorch.messages import first_line
from clpips.models.engines.pytorch.network import BLOCK, block_grid
from clpips.models.engines.pytorch.slots import TorchFeatures
from clpips.models.metric.backbone import EPSILON, GAIN, OFFSET
from clpips.models.metric.nets import ALEX, Net

logger = logging.getLogger(__name__)


class Kernels(Protocol):
    """What an engine needs beside the convolutions."""

    def blocks(self, images: Tensor) -> Tensor:
        """uint8 RGB `(n, h, w, 3)` on the device → the network's input `(n, 48, rows, columns)`, normalised.

        The 48 numbers are 4 × 4 pixels, row by row; two pixels of zeros stand before the image, and behind it as many
        as the last kernel reaches. For another backbone than AlexNet: normalised planes `(n, 3, h, w)`.
        """
        ...

    def store(self, maps: Sequence[Tensor], features: Sequence[TorchFeatures]) -> None:
        """Bring n images' maps `(n, c, h', w')` to unit length along c and write them to their features."""
        ...

    def compare(self, targets: Sequence[TorchFeatures], candidates: Sequence[TorchFeatures]) -> Tensor:
        """The family `aligned` of n pairs of one layout: float32 `(n, c)` on the device."""
        ...

    def measure(self, features: Sequence[TorchFeatures]) -> None:
        """Compute the statistics of n images of one layout from their stored maps, and write them to the features."""
        ...

    def compare_statistics(self, targets: Sequence[TorchFeatures], candidates: Sequence[TorchFeatures]) -> Tensor:
        """The families `mean` and `std` of n pairs that have been measured: float32 `(n, 2c)` on the device."""
        ...


@runtime_checkable
class GraphKernels(Kernels, Protocol):
    """Kernels that find features by address, so that a captured graph can write to other ones each time."""

    def addresses(self, features: Sequence[TorchFeatures]) -> Tensor:
        """Where the features lie: int64 `(n,)`, in host memory."""
        ...

    def store_at(self, maps: Sequence[Tensor], layout: Layout, addresses: Tensor) -> None:
        """As `store`, to features that lie at `addresses`, int64 `(n,)` on the device."""
        ...


class PlainKernels:
    """In PyTorch's own operations, image by image and pair by pair."""

    def __init__(self, device: str, dtype: torch.dtype, net: Net = ALEX) -> None:
        self._dtype = dtype
        self._net = net
        self._gain = torch.tensor(GAIN, device=device)  # (3,)
        self._offset = torch.tensor(OFFSET, device=device)  # (3,)

    def blocks(self, images: Tensor) -> Tensor:
        n, height, width, _ = images.shape
        if self._net != ALEX:
            planes = torch.addcmul(self._offset, images.to(torch.float32), self._gain).to(self._dtype)  # (n, h, w, 3)
            return planes.permute(0, 3, 1, 2)  # (n, 3, h, w), channels last in memory
        rows, columns = block_grid(height, width)
        x = torch.addcmul(self._offset, images.to(torch.float32), self._gain).to(self._dtype)  # (n, h, w, 3)
        # A negative width cuts off what no kernel reaches.
        x = functional.pad(x, (0, 0, 2, columns * BLOCK - width - 2, 2, rows * BLOCK - height - 2))
        x = x.reshape(n, rows, BLOCK, columns, BLOCK, 3).permute(0, 1, 3, 2, 4, 5)  # (n, rows, columns, 4, 4, 3)
        return x.reshape(n, rows, columns, BLOCK * BLOCK * 3).permute(0, 3, 1, 2)  # (n, 48, rows, columns)

    def store(self, maps: Sequence[Tensor], features: Sequence[TorchFeatures]) -> None:
        taps = [handle.taps() for handle in features]
        for tap, x in enumerate(maps):  # x: (n, c, h', w')
            rows = x.permute(0, 2, 3, 1).flatten(1, 2)  # (n, positions, c), a view
            norms = (
                torch.linalg.vector_norm(rows, dim=2, keepdim=True, dtype=torch.float32) + EPSILON
            )  # (n, positions, 1)
            for row, norm, destination in zip(rows, norms, taps, strict=False):
                destination[tap].copy_(row / norm)

    def compare(self, targets: Sequence[TorchFeatures], candidates: Sequence[TorchFeatures]) -> Tensor:
        net = targets[0].layout.net
        z = torch.empty((len(targets), net.total_channels), device=targets[0].buffer.device)  # (n, c)
        for row, target, candidate in zip(z, targets, candidates, strict=True):
            for layer, a, b in zip(net.layers, target.taps(), candidate.taps(), strict=True):
                difference = torch.sub(a.float(), b.float())  # (positions, c)
                torch.mean(difference.square_(), dim=0, out=row[layer])  # (c,)
        return z

    def measure(self, features: Sequence[TorchFeatures]) -> None:
        for one in features:  # each alone: the same bits in any batch
            means, deviations = [], []
            for tap in one.taps():
                values = tap.float()  # (positions, c)
                mean = values.mean(dim=0)  # (c,)
                means.append(mean)
                deviations.append((values - mean).square_().mean(dim=0).sqrt_())  # (c,)
            one.statistics.copy_(torch.stack([torch.cat(means), torch.cat(deviations)]))  # (2, c)

    def compare_statistics(self, targets: Sequence[TorchFeatures], candidates: Sequence[TorchFeatures]) -> Tensor:
        sides = (torch.stack([one.statistics for one in side]) for side in (targets, candidates))  # (n, 2, c) each
        return torch.sub(*sides).square_().flatten(1)


def kernels_for(device: str, dtype: torch.dtype, net: Net = ALEX) -> Kernels:
    """Triton's kernels on CUDA, tried once; plain ones on the CPU, and where Triton cannot work, with a warning.

    Triton's are AlexNet's: their tiles divide its channels. Other backbones have the plain ones on CUDA, too.
    """
    if not is_card(device) or net != ALEX:
        return PlainKernels(device, dtype, net)
    try:
        from clpips.models.engines.pytorch.triton_launching import TritonKernels

        return TritonKernels(device, dtype)
    except Exception as error:  # noqa: BLE001 - without a compiler or a driver it fails in many ways
        logger.warning(
            "Triton cannot build its kernels (%s): features are stored and compared by slower PyTorch operations, "
            "without CUDA graphs; Triton comes with PyTorch for CUDA and needs a C compiler (gcc) at run time",
            first_line(error),
        )
        return PlainKernels(device, dtype)
