"""The `.npy` format (numpy's NEP 1): its header, parsed without `ast`, and uint8 RGB pixels behind it.

numpy reads the header with `ast.literal_eval`, whose recursion counter CPython 3.11 shares among all threads: two that
read at the same moment make each other fail with "AST constructor recursion depth mismatch", about sound files. Here
it is a regular expression, in any number of threads, and four times as fast.
"""

import math
import re
import struct
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from clpips.models.images.errors import PixelTypeError, TruncatedImageError
from clpips.models.images.formats import NPY
from clpips.models.images.pixels import Pixels

LONGEST_HEADER: Final = 10_000  # bytes, numpy's own limit; a header of pixels has 118
_LENGTHS: Final = {b"\x01\x00": struct.Struct("<H"), b"\x02\x00": struct.Struct("<I")}  # version: its length field
_ENTRY: Final = re.compile(
    rb"""[ ]*(?:
        ['"]descr['"][ ]*:[ ]*(?:['"](?P<type>[<>|=]?[A-Za-z]\d*(?:\[\w+\])?)['"]|(?P<fields>\[.*\]))
        |['"]fortran_order['"][ ]*:[ ]*(?P<order>True|False)
        |['"]shape['"][ ]*:[ ]*\((?P<shape>(?:[ ]*\d{1,18}L?[ ]*,)*(?:[ ]*\d{1,18}L?)?)[ ]*\)
    )[ ]*(?:,|(?=\}))""",
    re.VERBOSE,
)
_KEYS: Final = ({"type", "order", "shape"}, {"fields", "order", "shape"})


@dataclass(frozen=True, slots=True)
class Header:
    """What a `.npy` file says of its array."""

    shape: tuple[int, ...]
    fortran_order: bool
    dtype: "np.dtype[Any] | None"  # None: records with named fields
    size: int  # in bytes: the offset of the first element


def read_pixel_header(content: bytes) -> Header:
    """The header of a `.npy` file of pixels: uint8 `(H, W, 3)`.

    Raises `TruncatedImageError` for a damaged header and `PixelTypeError` for arrays of anything else.
    """
    try:
        header = read_header(content)
    except ValueError as error:
        raise TruncatedImageError(
            "the .npy header is truncated, damaged or of a version after 2.0; write it with numpy.save"
        ) from error
    shape, dtype = header.shape, header.dtype
    if dtype is None:
        raise PixelTypeError("the .npy array holds records with named fields; send uint8 (H, W, 3)")
    if dtype.hasobject:
        raise PixelTypeError("the .npy array holds pickled Python objects, which are never read; send uint8 (H, W, 3)")
    if dtype != np.uint8:
        raise PixelTypeError(f"the .npy array is {dtype}, expected uint8: {_type_hint(dtype)}")
    if len(shape) != 3 or shape[2] != 3:
        raise PixelTypeError(f"the .npy array has the shape {shape}, expected (H, W, 3){_shape_hint(shape)}")
    return header


def read_pixels(content: bytes, header: Header) -> Pixels:
    """The pixels behind `header` (`read_pixel_header`), `(H, W, 3)`: a view of `content`, not a copy.

    Raises `TruncatedImageError` where there are more or fewer bytes than the shape needs.
    """
    expected, came = math.prod(header.shape), len(content) - header.size
    if came != expected:
        raise TruncatedImageError(
            f"the .npy array of shape {header.shape} needs {expected:,} bytes of pixels, {came:,} came"
        )
    pixels = np.frombuffer(content, np.uint8, offset=header.size)  # (H*W*3,)
    return pixels.reshape(header.shape, order="F" if header.fortran_order else "C")


def read_header(content: bytes) -> Header:
    """The header of the `.npy` file `content`, version 1.0 or 2.0.

    Raises `ValueError` where it is truncated, damaged, longer than `LONGEST_HEADER` or of another version.

    >>> text = b"{'descr': '|u1', 'fortran_order': False, 'shape': (480, 640, 3), }"
    >>> read_header(NPY + b"\\x01\\x00" + struct.pack("<H", len(text)) + text).shape
    (480, 640, 3)
    """
    length = _LENGTHS.get(content[6:8])
    if length is None or not content.startswith(NPY) or len(content) < 8 + length.size:
        raise ValueError("not a .npy file of version 1.0 or 2.0")
    start = 8 + length.size
    size = start + length.unpack_from(content, 8)[0]
    if size > min(len(content), start + LONGEST_HEADER):
        raise ValueError("the header is truncated or too long")
    values = _values(content[start:size].strip())
    dtype = _dtype(values["type"]) if "type" in values else None
    shape = tuple(int(side.strip(b" L")) for side in values["shape"].split(b",") if side.strip())
    return Header(shape, values["order"] == b"True", dtype, size)


def _type_hint(dtype: "np.dtype[Any]") -> str:
    """What makes 8-bit levels of an array of another type."""
    if dtype == np.bool_:
        return "for black and white send x.astype('uint8') * 255"
    if dtype.kind == "f":
        return "for floats in [0, 1] send (x * 255).round().astype('uint8')"
    if dtype == np.uint16:
        return "for 16-bit levels send (x >> 8).astype('uint8'), for levels up to 255 x.astype('uint8')"
    if dtype.kind in "iu":
        return "for levels from 0 to 255 send x.astype('uint8')"
    return "send the levels from 0 to 255 as x.astype('uint8')"


def _shape_hint(shape: tuple[int, ...]) -> str:
    """What makes (H, W, 3) of a shape that is often sent in its place; empty where none is known."""
    match shape:
        case (3, _, _):
            return ": that is (3, H, W), send x.transpose(1, 2, 0)"
        case (_, _):
            return ": that is grey, send np.stack([x] * 3, axis=-1)"
        case (_, _, 1):
            return ": that is grey, send np.repeat(x, 3, axis=2)"
        case (1, _, _):
            return ": that is grey, send np.stack([x[0]] * 3, axis=-1)"
        case (_, _, 4):
            return ": that is RGBA, send it as a PNG, or x[..., :3] to leave alpha out"
        case (4, _, _):
            return ": that is (4, H, W), send it as a PNG, or x[:3].transpose(1, 2, 0) to leave alpha out"
        case (_, _, _, 3):
            return ": that is a batch (B, H, W, 3), send each image by itself, such as x[0]"
        case (_, 3, _, _):
            return ": that is a batch (B, 3, H, W), send each image by itself, such as x[0].transpose(1, 2, 0)"
        case _:
            return ""


def _values(text: bytes) -> dict[str, bytes]:
    """What stands behind the three keys, in whatever order they come."""
    values: dict[str, bytes] = {}
    place = 1
    while text[:1] == b"{" and (entry := _ENTRY.match(text, place)):
        assert entry.lastgroup is not None  # noqa: S101 - each alternative is a group
        values[entry.lastgroup] = entry[entry.lastgroup]
        place = entry.end()
    if text[place:].strip() != b"}" or values.keys() not in _KEYS:
        raise ValueError("the header is damaged")
    return values


def _dtype(name: bytes) -> "np.dtype[Any]":
    try:
        return np.dtype(name.decode("ascii"))
    except (TypeError, OverflowError) as error:
        raise ValueError(f"{name!r} is no type of numpy's") from error
