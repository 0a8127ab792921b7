"""Resampling on the device, to the bits of Pillow's bicubic filter with antialiasing, for square images.

Pillow computes in integers: coefficients of 22 bits, rows first, rounded to 8 bits, then columns. Here each pass is two
matrix products in float32, of the coefficients' upper and lower halves: every sum is a whole number below 2²⁴, and so
is exact. Source: `libImaging/Resample.c` of Pillow.
"""

from functools import cache
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

PRECISION_BITS: Final = 22
HALF_BITS: Final = 11
SUPPORT: Final = 2.0  # of the bicubic filter, in pixels of the smaller image
SHARPNESS: Final = -0.5  # a of the bicubic filter


def resize_to_square(images: Tensor, side: int) -> Tensor:
    """uint8 `(n, s, s, 3)` → uint8 `(n, side, side, 3)`, the pixels that `images/resize.py` gives on the host."""
    if images.shape[1] == side:
        return images
    halves = _coefficients(images.shape[1], side, str(images.device))
    x = _pass(images, halves)  # (n, s, side, 3)
    return _pass(x.transpose(1, 2), halves).transpose(1, 2)


@cache
def _coefficients(inputs: int, outputs: int, device: str) -> tuple[Tensor, Tensor]:
    """The upper and the lower half of each coefficient, float32 `(outputs, inputs)` each, on the device."""
    whole = filter_coefficients(inputs, outputs)
    upper = whole >> HALF_BITS
    return tuple(torch.from_numpy(half.astype(np.float32)).to(device) for half in (upper, whole - (upper << HALF_BITS)))  # type: ignore[return-value]


def filter_coefficients(inputs: int, outputs: int) -> NDArray[np.int64]:
    """Pillow's coefficients, `(outputs, inputs)`, in units of 2⁻²²: what each input counts for each output."""
    scale = inputs / outputs
    stretch = max(scale, 1.0)
    rows = np.zeros((outputs, inputs), np.int64)
    for place in range(outputs):
        centre = (place + 0.5) * scale
        first = max(int(centre - SUPPORT * stretch + 0.5), 0)
        end = min(int(centre + SUPPORT * stretch + 0.5), inputs)
        weights = _bicubic((np.arange(first, end, dtype=np.float64) - centre + 0.5) / stretch)
        weights /= weights.sum()
        rows[place, first:end] = np.trunc(weights * (1 << PRECISION_BITS) + np.copysign(0.5, weights))
    return rows


def _bicubic(x: NDArray[np.float64]) -> NDArray[np.float64]:
    x, a = np.abs(x), SHARPNESS
    near = ((a + 2) * x - (a + 3)) * x * x + 1
    far = (((x - 5) * x + 8) * x - 4) * a
    return np.where(x < 1, near, np.where(x < SUPPORT, far, 0.0))


def _pass(images: Tensor, halves: tuple[Tensor, Tensor]) -> Tensor:
    """One direction: uint8 `(n, h, w, 3)` → `(n, h, outputs, 3)`."""
    x = images.to(torch.float32)
    upper, lower = (torch.matmul(half, x).to(torch.int32) for half in halves)  # (n, h, outputs, 3) each
    sums = (upper << HALF_BITS) + lower + (1 << (PRECISION_BITS - 1))
    return (sums >> PRECISION_BITS).clamp_(0, 255).to(torch.uint8)
