"""Comparison of AlexNet's features on one device, by its kernels: by family, by place, and on the host within masks."""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

from clpips.models.engines.cores import Cores
from clpips.models.engines.pytorch.kernels import Kernels
from clpips.models.engines.pytorch.slots import TorchFeatures
from clpips.models.metric.families import ALEXNET, Families, ZLayout


class Comparing:
    """The kernels' distances as parts of `z`; statistics are measured for who asks for them, once an image."""

    def __init__(self, kernels: Kernels, layout: ZLayout, device: str, cores: Cores | None) -> None:
        self._kernels = kernels
        self._z = layout
        self._device = device
        self._cores = cores

    def compare(
        self, pairs: Sequence[tuple[TorchFeatures, TorchFeatures]], families: Families
    ) -> list[NDArray[np.float32]]:
        """AlexNet's part of `z` of each pair, `(3456,)`; families that are not asked for are 0."""
        targets, candidates = zip(*pairs, strict=True)
        z = torch.zeros((len(pairs), self._z.network_places[ALEXNET].stop), device=self._device)  # (n, 3456)
        if "aligned" in families:
            z[:, self._z.places["aligned"]] = self._kernels.compare(targets, candidates)  # (n, 1152)
        if families & {"mean", "std"}:
            self.measure([*targets, *candidates])
            distances_of_both = self._kernels.compare_statistics(targets, candidates).chunk(2, dim=1)  # (n, 1152) each
            for name, distances in zip(("mean", "std"), distances_of_both, strict=True):
                if name in families:
                    z[:, self._z.places[name]] = distances
        return list(z.cpu().numpy())

    def measure(self, features: Sequence[TorchFeatures]) -> None:
        """Statistics of those images that have none yet: weights of `aligned` alone never pay for them."""
        missing = list({id(one): one for one in features if not one.measured}.values())
        if self._cores is not None:
            self._cores.map(missing, self._measure_all, self._measure_all)
        elif missing:
            self._measure_all(missing)

    @torch.inference_mode()
    def _measure_all(self, features: Sequence[TorchFeatures]) -> list[TorchFeatures]:
        self._kernels.measure(features)
        for one in features:
            one.measured = True
        return list(features)


def located(
    target: TorchFeatures, candidate: TorchFeatures, weights: NDArray[np.float32], device: str
) -> list[NDArray[np.float32]]:
    """What each place of each layer adds to the distance of two images of one size: `(h, w)` a layer."""
    net = target.layout.net
    by_channel = torch.from_numpy(np.asarray(weights, np.float64)).to(device)  # (1152,)
    sizes = net.tap_sizes(target.layout.height, target.layout.width)
    maps = []
    for layer, size, a, b in zip(net.layers, sizes, target.taps(), candidate.taps(), strict=True):
        squares = torch.sub(a.float(), b.float()).square_()  # (positions, c)
        maps.append((squares.double() @ by_channel[layer]).float().reshape(size).cpu().numpy())  # (h, w)
    return maps


def hosted(features: TorchFeatures) -> list[NDArray[np.float32]]:
    """An image's feature maps in main memory, float32 `(c, h, w)` each."""
    sizes = features.layout.net.tap_sizes(features.layout.height, features.layout.width)
    return [tap.float().T.reshape(-1, *size).cpu().numpy() for tap, size in zip(features.taps(), sizes, strict=True)]
