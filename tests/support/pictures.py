"""Images that the tests make themselves: pixels, and the files that hold them."""

import io
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8]


def picture(seed: int, height: int = 64, width: int | None = None) -> Pixels:
    """Something like a photograph, uint8 RGB `(height, width, 3)`: a few soft-edged discs on a gradient, with grain."""
    width = width or height
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:height, 0:width] / max(height, width)
    canvas = rng.uniform(0, 255, 3) * (1 - y[..., None]) + rng.uniform(0, 255, 3) * y[..., None]
    for _ in range(12):
        centre_y, centre_x, radius = rng.uniform(0, 1), rng.uniform(0, 1), rng.uniform(0.05, 0.3)
        edge = 1 / (1 + np.exp((np.hypot(y - centre_y, x - centre_x) - radius) * rng.uniform(20, 200)))
        canvas += edge[..., None] * (rng.uniform(0, 255, 3) - canvas)
    grain = rng.normal(0, rng.uniform(0, 12), canvas.shape)
    pixels: Pixels = np.clip(canvas + grain, 0, 255).astype(np.uint8)
    return pixels


def pictures(count: int, side: int = 64) -> Pixels:
    """Pictures of one size, uint8 RGB `(count, side, side, 3)`."""
    return np.stack([picture(seed, side) for seed in range(count)])


def variation(pixels: Pixels, seed: int, strength: float) -> Pixels:
    """A candidate for the target `pixels`: blended with another picture, from 0 (the same) to 1 (the other)."""
    other = picture(seed + 100_000, *pixels.shape[:2])
    return (pixels * (1 - strength) + other * strength).round().astype(np.uint8)


def encode(pixels: Pixels | Image.Image, format: str = "PNG", **options: Any) -> bytes:  # noqa: A002  Pillow's word
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def npy(array: NDArray[Any]) -> bytes:
    stream = io.BytesIO()
    np.save(stream, array, allow_pickle=True)
    return stream.getvalue()
