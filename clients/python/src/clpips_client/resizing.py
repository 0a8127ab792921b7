"""Resampling before sending: bicubic with antialiasing, by Pillow, to the pixels that the service would make."""

import importlib
from functools import cache
from typing import Any, Final

import numpy as np

from clpips_client.pixels import Pixels

FIRST_PILLOW: Final = 10  # since then its resampling has made the same pixels; the tests hold the one that is there


def resized(pixels: Pixels, resolution: int | None) -> Pixels:
    """`(H, W, 3)` as the square that is scored, where it is smaller and Pillow is there; else as they are.

    A 1024 × 1024 image is sixteen times as many bytes as the 256 × 256 that are scored of it.
    """
    height, width, _ = pixels.shape
    pillow = _pillow()
    if resolution is None or pillow is None or height * width <= resolution**2:
        return pixels
    image = pillow.fromarray(np.ascontiguousarray(pixels))
    return np.asarray(image.resize((resolution, resolution), pillow.Resampling.BICUBIC))


@cache
def _pillow() -> Any:
    """`PIL.Image`, where the Pillow that is installed resizes as the service's does; pillow-simd (`.postN`) may not."""
    try:
        version: str = importlib.import_module("PIL").__version__
    except ImportError:
        return None
    if int(version.partition(".")[0]) < FIRST_PILLOW or ".post" in version:
        return None
    return importlib.import_module("PIL.Image")
