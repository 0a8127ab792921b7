"""What people hold of a mask → the bytes that are sent: of each place of the target, how much it counts."""

import io
from typing import Any, Final

import numpy as np

from clpips_client.errors import BadImagesError, Fault
from clpips_client.pictures import NAME, UNUSABLE, Picture, is_pillow, one_picture
from clpips_client.pixels import Unit, UnusableError, images_in, is_array, is_tensor

MASK: Final = "/mask"  # its JSON pointer
GREY_MODES: Final = ("L", "1")  # of Pillow


def mask_picture(thing: Any) -> Picture:
    """A mask: a path, the bytes of a file, a grey image of Pillow's, an array or a tensor `(H, W)` or `(1, H, W)`.

    Arrays are uint8, 255 where the target counts, or booleans, or floats in [0, 1] in a `Unit`. It is sent as large as
    it is. Raises `BadImagesError` at `/mask`.
    """
    if isinstance(thing, str) and NAME.fullmatch(thing):
        raise BadImagesError("the mask cannot be used", (Fault(MASK, "masks are not kept: give the mask itself"),))
    try:
        if is_pillow(thing):
            return _mask_of_pillow(thing)
        values = thing.images if isinstance(thing, Unit) else thing
        if is_array(values) or is_tensor(values):
            return _mask_of_array(values, unit=isinstance(thing, Unit))
    except UNUSABLE as error:
        raise BadImagesError("the mask cannot be used", (Fault(MASK, str(error)),)) from error
    return one_picture(thing, MASK, None)


def _mask_of_pillow(image: Any) -> Picture:
    from PIL import ImageOps

    upright = ImageOps.exif_transpose(image)
    if upright.mode not in GREY_MODES or "transparency" in upright.info:
        raise UnusableError(f"the mode is {upright.mode!r}; a mask is grey: image.convert('L'), or getchannel('A')")
    return _sent(np.asarray(upright.convert("L")))


def _mask_of_array(values: Any, *, unit: bool) -> Picture:
    if len(values.shape) == 3 and values.shape[0] == 1:
        values = values[0]
    if len(values.shape) != 2:
        raise UnusableError(f"the shape is {tuple(values.shape)}; a mask is (H, W), for all images the same")
    if str(values.dtype) in {"bool", "torch.bool"}:
        values, unit = values * 1.0, True
    (levels,) = images_in(values, unit=unit)
    return _sent(levels[..., 0])


def _sent(levels: Any) -> Picture:
    stream = io.BytesIO()
    np.save(stream, np.ascontiguousarray(levels), allow_pickle=False)
    return Picture(stream.getvalue())
