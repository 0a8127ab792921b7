"""The header of a `.npy` file, read without `ast`.

numpy reads it with `ast.literal_eval`, whose recursion counter CPython 3.11 shares among all threads: two that read at
the same moment make each other fail with "AST constructor recursion depth mismatch", about sound files. Here it is a
regular expression, in any number of threads, and four times as fast. The format: numpy's NEP 1.
"""

import re
import struct
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

MAGIC: Final = b"\x93NUMPY"
LONGEST_HEADER: Final = 10_000  # bytes, as numpy has it: one of pixels is 118
_LENGTHS: Final = {b"\x01\x00": struct.Struct("<H"), b"\x02\x00": struct.Struct("<I")}  # version: of the header
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


def read_header(content: bytes) -> Header:
    """The header of the `.npy` file `content`, version 1.0 or 2.0.

    Raises `ValueError` where it is truncated, damaged, longer than `LONGEST_HEADER` or of another version.
    """
    length = _LENGTHS.get(content[6:8])
    if length is None or not content.startswith(MAGIC) or len(content) < 8 + length.size:
        raise ValueError("not a .npy file of version 1.0 or 2.0")
    start = 8 + length.size
    size = start + length.unpack_from(content, 8)[0]
    if size > min(len(content), start + LONGEST_HEADER):
        raise ValueError("the header is truncated or too long")
    values = _values(content[start:size].strip())
    dtype = _dtype(values["type"]) if "type" in values else None
    shape = tuple(int(side.strip(b" L")) for side in values["shape"].split(b",") if side.strip())
    return Header(shape, values["order"] == b"True", dtype, size)


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
