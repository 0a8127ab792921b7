"""Resampling: bicubic with antialiasing, as Pillow does it, to the square that the metric scores."""

import numpy as np
from PIL import Image

from clpips.models.images.errors import TooManyPixelsError, TooSmallError
from clpips.models.images.pixels import MAX_RESOLUTION, Pixels
from clpips.models.metric.backbone import MIN_SIDE


def resize(image: Image.Image | Pixels, resolution: int) -> Pixels:
    """Resize RGB, `(h, w, 3)` or an image, to `(resolution, resolution, 3)`; pixels of that size stay as they are.

    Raises what `require_resolution` raises.

    >>> resize(np.zeros((40, 50, 3), np.uint8), 64).shape
    (64, 64, 3)
    """
    require_resolution(resolution)
    if not isinstance(image, Image.Image):
        if image.shape[:2] == (resolution, resolution):
            return image
        image = Image.fromarray(image)
    if image.size != (resolution, resolution):
        image = image.resize((resolution, resolution), Image.Resampling.BICUBIC)
    return np.asarray(image)


def shrink(image: Image.Image | Pixels, longest: int) -> Pixels:
    """RGB, `(h, w, 3)` or an image, in its own proportions with no side longer than `longest` pixels: never enlarged.

    >>> shrink(np.zeros((40, 100, 3), np.uint8), 50).shape, shrink(np.zeros((4, 8, 3), np.uint8), 50).shape
    ((20, 50, 3), (4, 8, 3))
    """
    if not isinstance(image, Image.Image):
        image = Image.fromarray(image)
    scale = longest / max(image.size)
    if scale < 1:
        width, height = (max(round(side * scale), 1) for side in image.size)
        image = image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=3.0)
    return np.asarray(image)


def require_resolution(resolution: int) -> None:
    """Raise `TooSmallError` for a resolution below `MIN_SIDE`, `TooManyPixelsError` above `MAX_RESOLUTION`."""
    if resolution > MAX_RESOLUTION:
        raise TooManyPixelsError(f"a resolution of {resolution} is too large: {MAX_RESOLUTION} or less")
    if resolution < MIN_SIDE:
        raise TooSmallError(f"a resolution of {resolution} is too small for the backbone's stages: {MIN_SIDE} or more")


def require_native_size(pixels: Pixels) -> None:
    """Raise `TooSmallError` where a side of `pixels`, `(h, w, 3)`, is too short to be scored at native size."""
    height, width, _ = pixels.shape
    if min(height, width) < MIN_SIDE:
        raise TooSmallError(
            f"the image is {width}×{height} pixels; at native size both sides need {MIN_SIDE} or more for the "
            "backbone's stages: send a larger image, or name a resolution"
        )
