"""Arrays and tensors that people hold → uint8 RGB pixels. What could be taken in two ways is refused, not guessed."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

Pixels: TypeAlias = NDArray[np.uint8]  # (H, W, 3), or (H, W, 4) with alpha
Layout = Literal["HWC", "CHW"]

CHANNELS: Final = (1, 3, 4)
LEVEL_TOLERANCE: Final = 0.1  # of a level; float16 is off by 0.07 at most


class UnusableError(ValueError):
    """An image that cannot be sent as it is; the message says what makes it one that can."""


@dataclass(frozen=True)
class Unit:
    """States that floats are in [0, 1], 0 for black and 1 for white, which their values alone cannot prove.

    It stands wherever an image or a batch may stand. `layout` says where the channels are, where that could be
    mistaken: `HWC` for `(H, W, C)` and `(B, H, W, C)`, `CHW` for `(C, H, W)` and `(B, C, H, W)`.
    """

    images: Any  # an array or a tensor, or a list of them
    layout: Layout | None = None


def is_tensor(thing: object) -> bool:
    """Whether it is a tensor of PyTorch's. PyTorch is not imported for this: who holds a tensor has done so."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(thing, torch.Tensor)


def is_array(thing: object) -> bool:
    """Whether it is an array: numpy's, or another library's that numpy can take (`__array__`), such as JAX's."""
    if isinstance(thing, np.ndarray):
        return True
    return hasattr(thing, "__array__") and not is_tensor(thing) and getattr(thing, "ndim", 0) >= 2


def images_in(array: Any, *, unit: bool = False, layout: Layout | None = None) -> Iterator[Pixels]:
    """The images of an array or a tensor, one or a batch. Raises `UnusableError`.

    Arrays are `(H, W)`, `(H, W, C)` or `(B, H, W, C)`. Tensors may have their channels first or last, in whichever
    place 1, 3 or 4 stands. `unit` says that floats are in [0, 1].
    """
    tensor = is_tensor(array)
    try:
        values = _array_of(array) if tensor else np.asarray(array)
    except TypeError as error:  # such as of an array on a GPU
        raise UnusableError(f"this {type(array).__name__} cannot be taken as an array of numpy's ({error})") from error
    if values.ndim not in (2, 3, 4):
        raise UnusableError(f"the shape is {values.shape}; an image is (H, W, 3), a batch (B, H, W, 3)")
    if values.size == 0:
        raise UnusableError(f"the shape is {values.shape}: there are no pixels")
    last = _channels_last(values, tensor=tensor, layout=layout)
    for image in last if last.ndim == 4 else [last]:
        levels = image if image.dtype == np.uint8 else _levels(image, unit=unit)
        yield _coloured(levels)


def _array_of(tensor: Any) -> NDArray[Any]:
    tensor = tensor.detach().cpu()
    if str(tensor.dtype) == "torch.bfloat16":  # numpy has none
        tensor = tensor.float()
    array: NDArray[Any] = tensor.numpy()
    return array


def _channels_last(values: NDArray[Any], *, tensor: bool, layout: Layout | None) -> NDArray[Any]:
    """The values as `(H, W)`, `(H, W, C)` or `(B, H, W, C)`."""
    shape = values.shape
    if values.ndim == 2:
        return values
    first, last = shape[-3] in CHANNELS, shape[-1] in CHANNELS
    if layout is None and tensor and first and last:
        raise UnusableError(
            f"the shape {shape} can be channels first or channels last; say which: Unit(x, layout='CHW') for floats, "
            "x.permute(1, 2, 0).numpy() for uint8"
        )
    if layout is None:
        layout = "CHW" if tensor and first else "HWC"
    if not (last if layout == "HWC" else first):
        hint = "send x.transpose(1, 2, 0)" if values.ndim == 3 else "send x.transpose(0, 2, 3, 1)"
        where = hint if first and not tensor else "1, 3 or 4 channels are expected"
        raise UnusableError(f"the shape {shape} has no channels where {layout} has them: {where}")
    return np.moveaxis(values, -3, -1) if layout == "CHW" else values


def _levels(image: NDArray[Any], *, unit: bool) -> Pixels:
    """An image of floats in [0, 1] as levels, rounded to the nearest."""
    if image.dtype == np.bool_:
        raise UnusableError("the values are booleans; for black and white send x.astype('uint8') * 255")
    if image.dtype.kind != "f":
        raise UnusableError(f"the values are {image.dtype}; for levels from 0 to 255 send x.astype('uint8')")
    values = image.astype(np.float32)
    low, high = float(values.min()), float(values.max())
    if not (np.isfinite(low) and np.isfinite(high)):
        raise UnusableError("some values are not finite (NaN or infinite)")
    if low < 0 or high > 1:
        raise UnusableError(f"the floats reach from {low:.4g} to {high:.4g}, and not from 0 to 1: {_hint(low, high)}")
    scaled = values * 255
    levels = np.rint(scaled)
    if not unit and not _is_proven(scaled, levels):
        raise UnusableError(
            "these floats may be in [0, 1], and as well a part of another range: say so with clpips_client.Unit(x), "
            "or send (x * 255).round() as uint8"
        )
    return levels.astype(np.uint8)


def _is_proven(scaled: NDArray[np.float32], levels: NDArray[np.float32]) -> bool:
    """Whether values in [0, 1], times 255, can be nothing but 8-bit levels divided by 255.

    All are whole, so they came from levels; levels in [-1, 1] are odd whole numbers here, and levels in [0, 255] would
    be 0 and 1, which are 0 and 255 here: a whole even number between these is neither.
    """
    if np.abs(scaled - levels).max() > LEVEL_TOLERANCE:
        return False
    return bool(((levels % 2 == 0) & (levels > 0) & (levels < 255)).any())


def _hint(low: float, high: float) -> str:
    if low >= 0 and high <= 255:
        return "for levels from 0 to 255 send x.round().astype('uint8')"
    if low >= -1 and high <= 1:
        return "for values in [-1, 1] send Unit((x + 1) / 2)"
    return "scale them, or clip what lies outside by intent, and send Unit(x)"


def _coloured(levels: Pixels) -> Pixels:
    """Grey as three equal channels; three and four stay as they are."""
    if levels.ndim == 2:
        levels = levels[..., None]
    if levels.shape[-1] not in CHANNELS:
        raise UnusableError(f"the shape is {levels.shape}; an image has 1, 3 or 4 channels, in the last place")
    return np.repeat(levels, 3, axis=2) if levels.shape[-1] == 1 else levels
