"""Pixels of a batch on the device, uint8 `(n, h, w, 3)`: of images from main memory, and of those that lie there."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from clpips.models.engines.contract import Image
from clpips.models.engines.pytorch.cards import is_card
from clpips.models.engines.pytorch.cuda_graphs import read_on
from clpips.models.engines.pytorch.layout import Layout, layout_of
from clpips.models.engines.pytorch.resizing import resize_to_square
from clpips.models.images.resize import resize
from clpips.models.metric.backbone import MIN_SIDE
from clpips.models.metric.content import CONTENT_SIDE
from clpips.models.metric.nets import Net

UINT8: Final = {np.dtype(np.uint8), torch.uint8}


def layout_of_all(images: Sequence[Image], net: Net) -> Layout:
    """The layout of the features of images of one size. Raises `ValueError` for images that are not alike."""
    shapes = {tuple(image.shape) for image in images}
    kinds = {image.dtype for image in images if isinstance(image, np.ndarray | Tensor)}
    if len(shapes) != 1 or len(shape := shapes.pop()) != 3 or shape[2] != 3 or not kinds <= UINT8:
        found = ", ".join(sorted({f"{getattr(image, 'dtype', '')}{tuple(image.shape)}" for image in images}))
        raise ValueError(f"expected images uint8 (h, w, 3) of one size, got {found}")
    if min(shape[:2]) < MIN_SIDE:
        raise ValueError(f"images must be at least {MIN_SIDE} pixels a side, got {shape[0]}×{shape[1]}")
    return layout_of(shape[0], shape[1], net)


def batch_on(device: str, layout: Layout, hosted: Sequence[NDArray[np.uint8]], landed: list[Tensor]) -> Tensor:
    """All pixels on the device, `(n, h, w, 3)`: those from main memory in one copy each, to pinned memory."""
    parts = []
    if hosted:
        shape = (len(hosted), layout.height, layout.width, 3)
        pixels = torch.empty(shape, dtype=torch.uint8, pin_memory=is_card(device))
        np.stack(hosted, out=pixels.numpy())
        parts.append(pixels.to(device, non_blocking=True))
    if landed:
        read_on(torch.get_device_module(device).current_stream(), landed)
        parts.append(torch.stack(landed))  # (n, h, w, 3)
    return parts[0] if len(parts) == 1 else torch.cat(parts)


def content_pixels(device: str, layout: Layout, images: Sequence[Image]) -> Tensor:
    """Scoring pixels at the content network's side, `(n, s, s, 3)` on the device: those of `images/resize.py`."""
    if is_card(device) and layout.height == layout.width:
        hosted = [image for image in images if isinstance(image, np.ndarray)]
        landed = [image for image in images if isinstance(image, Tensor)]
        order = sorted(range(len(images)), key=lambda place: isinstance(images[place], Tensor))
        pixels = resize_to_square(batch_on(device, layout, hosted, landed), CONTENT_SIDE)
        return pixels if order == list(range(len(order))) else pixels[np.argsort(order)]
    hosts = [image.cpu().numpy() if isinstance(image, Tensor) else np.asarray(image) for image in images]
    return torch.from_numpy(np.stack([resize(image, CONTENT_SIDE) for image in hosts])).to(device)
