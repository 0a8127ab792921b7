"""ComfyUI's images, float32 `(B, H, W, C)` from 0 to 1, to and from what the client has."""

import io
from collections.abc import Sequence
from typing import Any, Final

import comfy.utils
import numpy as np
import torch
from clpips_client import Unit
from PIL import Image

PREVIEW_SIDE: Final = 512  # pixels


def sent(images: torch.Tensor) -> Unit:
    """A batch for the client. What lies outside [0, 1] is clipped, as ComfyUI does when it saves."""
    return Unit(images.detach().clamp(0, 1), layout="HWC")


def one(images: torch.Tensor, what: str) -> Unit:
    """The single image of a batch. Raises `ValueError` where there are more."""
    if len(images) != 1:
        raise ValueError(f"CLPIPS: the {what} is one image, and this batch has {len(images)}")
    return sent(images)


def one_mask(mask: torch.Tensor) -> Unit:
    """A mask `(1, H, W)` or `(H, W)` for the client. Raises `ValueError` where there are more."""
    if mask.ndim == 3 and len(mask) != 1:
        raise ValueError(f"CLPIPS: the mask is one, and this batch has {len(mask)}")
    return Unit(mask.detach().clamp(0, 1))


def picked(images: torch.Tensor, places: Sequence[int]) -> torch.Tensor:
    """The images at these places, in this order, `(len(places), H, W, C)`."""
    return images[list(places)]


def opened(files: Sequence[bytes]) -> torch.Tensor:
    """PNG files of one size as a batch `(B, H, W, 3)`."""
    pictures = [np.asarray(Image.open(io.BytesIO(file)).convert("RGB"), dtype=np.float32) / 255 for file in files]
    return torch.from_numpy(np.stack(pictures))


def show_progress(value: int, most: int, image: Any = None) -> None:
    """Move the node's bar, and show an image `(H, W, C)` in it."""
    preview = None
    if image is not None:
        levels = (image.detach().clamp(0, 1) * 255).round().byte().cpu().numpy()
        preview = ("JPEG", Image.fromarray(levels[..., :3]), PREVIEW_SIDE)
    comfy.utils.ProgressBar(most).update_absolute(value, most, preview)
