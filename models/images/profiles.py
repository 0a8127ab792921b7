"""Colour profiles (ICC): pixels of a profile's colours → sRGB, by LittleCMS, which comes with Pillow.

The intent is relative colorimetric with black point compensation. What a profile says is found out once: transforms are
kept, and a profile whose colours are sRGB's own within a level, whatever it is called, costs nothing but a look at its
hash. A profile that cannot be used is ignored, and a warning says so once.
"""

import hashlib
import io
import itertools
import logging
import threading
from collections import OrderedDict
from typing import Final

import numpy as np
from PIL import Image, ImageCms

MOST_TRANSFORMS: Final = 16  # that are kept, the least used leave; one of a press takes a megabyte
SAME_LEVELS: Final = 1  # the largest difference to sRGB of a profile that is taken for sRGB
_SPACES: Final = {"RGB": "RGB ", "L": "GRAY", "CMYK": "CMYK"}  # Pillow's modes: the profiles' names

log = logging.getLogger("clpips.images")


class Transforms:
    """Least-recently-used cache of transforms to sRGB, by the profile's hash and the mode of the pixels."""

    def __init__(self, most: int = MOST_TRANSFORMS) -> None:
        self._most = most
        self._held: OrderedDict[tuple[bytes, str], ImageCms.ImageCmsTransform | None] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
        """The transform of pixels of a mode (L, RGB or CMYK) to sRGB; None where they are to stay as they are."""
        key = hashlib.sha256(profile).digest(), mode
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
                return self._held[key]
        transform = _transform(profile, mode)
        with self._lock:
            self._held[key] = transform
            while len(self._held) > self._most:
                self._held.popitem(last=False)
        return transform


_transforms: Final = Transforms()


def to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """An image of mode L, RGB or CMYK in sRGB, which is of mode RGB; the image itself where nothing is to be done."""
    if profile is None or (transform := _transforms.get(profile, image.mode)) is None:
        return image
    converted = ImageCms.applyTransform(image, transform)
    assert converted is not None  # noqa: S101 - it is not done in place
    return converted


def changes(profile: bytes, mode: str) -> bool:
    """Whether pixels of a mode (L, RGB or CMYK) change on their way to sRGB: not where the profile is sRGB's own, nor
    where it is of no use for them."""
    return _transforms.get(profile, mode) is not None


def _transform(profile: bytes, mode: str) -> ImageCms.ImageCmsTransform | None:
    # LittleCMS's own shortcut for greys interpolates between a few of them, and is off by levels in the dark.
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = source.profile.xcolor_space
        if space != _SPACES[mode]:
            raise ValueError(f"it is of {space.strip() or 'no'} colours, the pixels are {mode}")  # noqa: TRY301
        transform = ImageCms.buildTransform(
            source,
            ImageCms.createProfile("sRGB"),
            mode,
            "RGB",
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION | (ImageCms.Flags.NOOPTIMIZE if mode == "L" else 0),
        )
        probe = _probe(mode)
        shown = np.asarray(ImageCms.applyTransform(probe, transform)).astype(np.int16)
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001  LittleCMS and Pillow have many for a damaged profile
        log.warning("a colour profile of %d bytes is ignored: %s", len(profile), error)
        return None
    if mode != "CMYK" and int(np.abs(shown - np.asarray(probe.convert("RGB"))).max()) <= SAME_LEVELS:
        return None
    return transform


def _probe(mode: str) -> Image.Image:
    """Pixels that tell profiles apart: all greys, and a grid of colours."""
    if mode == "L":
        return Image.fromarray(np.arange(256, dtype=np.uint8)[None])
    if mode == "CMYK":
        return Image.new("CMYK", (1, 1))
    greys = [(level,) * 3 for level in range(256)]
    grid = itertools.product(range(0, 256, 15), repeat=3)
    return Image.fromarray(np.array([[*greys, *grid]], np.uint8))
