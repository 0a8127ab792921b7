"""A growing buffer (anonymous mapped memory): the bytes of a body as they come, which go back to the system with it."""

import mmap
import sys
from typing import Final

Body = bytes | bytearray | mmap.mmap  # the bytes of a body, however they are held

MAPPED_BYTES: Final = 2**18  # from which on a body has pages of its own
MAPS: Final = sys.platform == "linux"  # elsewhere mapped memory cannot grow


class BodyMemory:
    """Holds the parts of a body one behind the other.

    A `bytearray` that grows among others moves, and leaves holes in the heap that no other body fits: eight bodies of
    24 MB together took 250 MB. Pages cost memory only once they are written to, so that those of a body that does not
    come cost nothing.
    """

    def __init__(self, announced: int) -> None:
        """`announced` is the length of the whole body, 0 where it is not known."""
        self._announced = announced
        self._held: bytearray | mmap.mmap = bytearray()
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def append(self, part: bytes) -> None:
        """Hold the part that comes next."""
        length = self._length + len(part)
        if isinstance(self._held, bytearray) and (length <= MAPPED_BYTES or not MAPS):
            self._held += part
        else:
            pages = self._pages(length)
            pages[self._length : length] = part
        self._length = length

    def whole(self) -> Body:
        """The body; nothing can be appended to it any more."""
        if isinstance(self._held, mmap.mmap) and len(self._held) != self._length:
            self._held.resize(self._length)
        return self._held

    def release(self) -> None:
        """Give the memory back now, whoever still refers to this object; the body is empty after it."""
        if isinstance(self._held, mmap.mmap):
            self._held.close()
        self._held, self._length = bytearray(), 0

    def _pages(self, length: int) -> mmap.mmap:
        """The pages, with room for so many bytes."""
        if isinstance(self._held, bytearray):
            pages = mmap.mmap(-1, max(self._announced, 2 * length), flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS)
            pages[: self._length] = bytes(self._held)
            self._held = pages
        elif len(self._held) < length:
            self._held.resize(2 * length)
        return self._held
