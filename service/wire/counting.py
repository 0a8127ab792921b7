"""How much a body of JSON or MessagePack holds, told without decoding it.

A decoder keeps the interpreter to itself until it is through: over millions of numbers it would hold up everybody. What
is counted here lets them in between, or ends early.
"""

from typing import Final

from msgspec import Raw

from clpips.service.wire.body_memory import Body

Content = Body | Raw

PART_BYTES: Final = 2**20  # that are looked at without letting others in

# MessagePack by its first byte: bytes of the length that follows it, and bytes of the value where it has none.
_LENGTHS: Final = {0xC4: 1, 0xC5: 2, 0xC6: 4, 0xC7: 1, 0xC8: 2, 0xC9: 4, 0xD9: 1, 0xDA: 2, 0xDB: 4}
_EXTENSIONS: Final = frozenset({0xC7, 0xC8, 0xC9})  # which have a byte for their type besides
_ARRAYS: Final = {0xDC: 2, 0xDD: 4}
_MAPS: Final = {0xDE: 2, 0xDF: 4}
_SIZES: Final = {
    **dict.fromkeys((0xC0, 0xC2, 0xC3), 0),
    0xCA: 4,
    0xCB: 8,
    0xCC: 1,
    0xCD: 2,
    0xCE: 4,
    0xCF: 8,
    0xD0: 1,
    0xD1: 2,
    0xD2: 4,
    0xD3: 8,
    0xD4: 2,
    0xD5: 3,
    0xD6: 5,
    0xD7: 9,
    0xD8: 17,
}


def has_more_commas(content: Content, most: int) -> bool:
    """Whether a text has more than so many commas: JSON has one for each item of a list or an object but the first."""
    view = memoryview(content)
    commas = 0
    for start in range(0, len(view), PART_BYTES):
        commas += bytes(view[start : start + PART_BYTES]).count(b",")
        if commas > most:
            return True
    return False


def has_more_values(content: Content, most: int) -> bool:
    """Whether MessagePack has more than so many values, however they are nested. What is damaged has not.

    >>> has_more_values(bytes([0x93, 1, 2, 3]), 4), has_more_values(bytes([0x93, 1, 2, 3]), 3)
    (False, True)
    """
    view = memoryview(content)
    place, left, seen = 0, 1, 0
    while left and place < len(view):
        seen += 1
        left -= 1
        children, size = _value(view, place)
        if children is None:
            return False
        left += children
        if seen + left > most:
            return True
        place += size
    return False


def _value(view: memoryview, place: int) -> tuple[int | None, int]:
    """How many values the one at this place holds (None: it is none), and how many bytes it has without them."""
    kind = view[place]
    if kind < 0x80 or kind >= 0xE0:  # a small number
        return 0, 1
    if kind < 0x90:
        return 2 * (kind & 0x0F), 1
    if kind < 0xA0:
        return kind & 0x0F, 1
    if kind < 0xC0:
        return 0, 1 + (kind & 0x1F)
    if kind in _SIZES:
        return 0, 1 + _SIZES[kind]
    width = _LENGTHS.get(kind) or _ARRAYS.get(kind) or _MAPS.get(kind)
    if width is None or place + 1 + width > len(view):
        return None, 0
    length = int.from_bytes(view[place + 1 : place + 1 + width], "big")
    if kind in _LENGTHS:
        return 0, 1 + width + length + (kind in _EXTENSIONS)
    return (length if kind in _ARRAYS else 2 * length), 1 + width
