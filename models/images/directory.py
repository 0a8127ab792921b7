"""TIFF directories (IFDs): numbered tags with values of a type and a count, as TIFF files and EXIF blocks have them.

Only what is asked for is unpacked, so that damage to one tag costs no other, and nothing is read that the file does not
hold.
"""

import struct
from dataclasses import dataclass
from typing import Final

from clpips.models.images.bounds import MAX_TAGS, MAX_VALUES
from clpips.models.images.errors import require_at_most

_SIZES: Final = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8, 17: 8, 18: 8}
_INTEGERS: Final = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i", 13: "I", 16: "Q", 17: "q", 18: "Q"}
CLASSIC: Final = 42  # the version in a TIFF's head
BIG: Final = 43


@dataclass(frozen=True, slots=True)
class Entry:
    """One tag: the type and number of its values, and where in the file they stand."""

    kind: int
    count: int
    offset: int

    @property
    def nbytes(self) -> int:
        """Bytes of the values; 0 where the type is not known."""
        return _SIZES.get(self.kind, 0) * self.count


@dataclass(frozen=True, slots=True)
class Directory:
    """The first directory of a TIFF: its tags by their numbers, and how to unpack them."""

    content: bytes
    order: str  # "<" or ">", as `struct` has it
    entries: dict[int, Entry]

    def integers(self, tag: int) -> tuple[int, ...] | None:
        """All values of a tag of integers; None where it is absent, of another type, or outside of the file.

        Raises `TooCostlyError` for more than `MAX_VALUES`, which take forty times their bytes as Python's integers.
        """
        entry = self.entries.get(tag)
        if entry is None or entry.kind not in _INTEGERS or entry.offset + entry.nbytes > len(self.content):
            return None
        require_at_most(MAX_VALUES, entry.count, f"values of its tag {tag}")
        return struct.unpack_from(f"{self.order}{entry.count}{_INTEGERS[entry.kind]}", self.content, entry.offset)

    def integer(self, tag: int) -> int | None:
        """The value of a tag that has exactly one integer, else None."""
        entry = self.entries.get(tag)
        if entry is None or entry.count != 1:
            return None
        values = self.integers(tag)
        return values[0] if values else None

    def first(self, tag: int) -> int | None:
        """The first value of a tag of integers, of which some writers have several where one is meant, else None."""
        entry = self.entries.get(tag)
        if entry is None or entry.kind not in _INTEGERS or not entry.count:
            return None
        if entry.offset + entry.nbytes > len(self.content):
            return None
        value: int = struct.unpack_from(self.order + _INTEGERS[entry.kind], self.content, entry.offset)[0]
        return value

    def raw(self, tag: int) -> bytes | None:
        """The bytes of a tag's values; None where it is absent, of an unknown type, or outside of the file."""
        entry = self.entries.get(tag)
        if entry is None or not entry.nbytes or entry.offset + entry.nbytes > len(self.content):
            return None
        return self.content[entry.offset : entry.offset + entry.nbytes]


def read_directory(content: bytes) -> Directory:
    """The first directory of a TIFF, or of the TIFF that an EXIF block is; BigTIFF too.

    Raises `ValueError` where there is none, and `TooCostlyError` where it has more than `MAX_TAGS` tags. A directory
    that ends early has the tags that are there.
    """
    order = {b"II": "<", b"MM": ">"}.get(content[:2])
    if order is None or len(content) < 8:
        raise ValueError("not a TIFF")
    (version,) = struct.unpack_from(order + "H", content, 2)
    if version == CLASSIC:
        count_form, entry_form, inline = order + "H", order + "HHI", 4
        (start,) = struct.unpack_from(order + "I", content, 4)
    elif version == BIG and len(content) >= 16:
        count_form, entry_form, inline = order + "Q", order + "HHQ", 8
        (start,) = struct.unpack_from(order + "Q", content, 8)
    else:
        raise ValueError("neither a TIFF nor a BigTIFF")
    place = start + struct.calcsize(count_form)
    if start < 8 or place > len(content):
        raise ValueError("the directory is outside of the file")
    (count,) = struct.unpack_from(count_form, content, start)
    require_at_most(MAX_TAGS, count, "tags in its directory")
    entries: dict[int, Entry] = {}
    head = struct.calcsize(entry_form)
    for _ in range(count):
        if place + head + inline > len(content):
            break
        tag, kind, values = struct.unpack_from(entry_form, content, place)
        offset = place + head
        if _SIZES.get(kind, 0) * values > inline:
            (offset,) = struct.unpack_from(order + ("I" if inline == 4 else "Q"), content, offset)
        entries[tag] = Entry(kind, values, offset)
        place += head + inline
    return Directory(content, order, entries)
