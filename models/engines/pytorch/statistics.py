"""Statistics of feature maps on the device: mean and standard deviation of each channel, once for each image."""

from collections.abc import Sequence
from typing import Final

import torch
from torch import Tensor

from clpips.models.engines.pytorch.slots import TorchFeatures

IMAGES_A_RUN: Final = 64  # bounds the copies of their maps: 80 MB in half precision at 256 × 256


def statistics(features: Sequence[TorchFeatures]) -> Tensor:
    """Mean and standard deviation over positions, float32 `(n, 2, 1152)`, of n images of one layout.

    Those of an image are computed when they are first asked for, and kept beside its maps.
    """
    missing = list({id(one): one for one in features if one.statistics is None}.values())
    for start in range(0, len(missing), IMAGES_A_RUN):
        run = missing[start : start + IMAGES_A_RUN]
        parts = []
        for maps in zip(*(one.taps() for one in run), strict=True):  # of one tap, each (positions, c)
            variance, mean = torch.var_mean(torch.stack(maps).float(), dim=1, correction=0)  # (n, c) each
            parts.append(torch.stack([mean, variance.sqrt_()], dim=1))  # (n, 2, c)
        for one, computed in zip(run, torch.cat(parts, dim=2), strict=True):
            one.statistics = computed.clone() if len(run) > 1 else computed  # (2, 1152), no view of the others'
    return torch.stack([one.statistics for one in features if one.statistics is not None])  # (n, 2, 1152)


def statistic_distances(targets: Sequence[TorchFeatures], candidates: Sequence[TorchFeatures]) -> Tensor:
    """The families `mean` and `std` of n pairs of one layout, float32 `(n, 2304)` on the device."""
    return (statistics(targets) - statistics(candidates)).square_().flatten(1)
