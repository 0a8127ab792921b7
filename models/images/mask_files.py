"""Masks from files, for callers that have the target at hand."""

from clpips.models.images.decoding import decode_mask
from clpips.models.images.masks import require_mask_size
from clpips.models.images.pixels import MAX_PIXELS
from clpips.models.metric.masks import Mask, region


def load_mask(content: bytes, size: tuple[int, int] | None = None, max_pixels: int = MAX_PIXELS) -> Mask | None:
    """The mask in a file, None where all of it is 255. `size` is the target's, height and width, where it is known.

    Raises a subclass of `ImageError` for a file that holds none, `MaskError` for one of another size or of 0 alone.
    """
    values = decode_mask(content, max_pixels)
    if size is not None:
        require_mask_size(values.shape, size)
    return region(values)
