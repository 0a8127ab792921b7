"""Shared memory of the service and one decoder process: a file without a name, mapped by both.

`multiprocessing.shared_memory` gives its blocks names and a process that tidies up after them; this one is gone with
its last user, however that ends.
"""

import math
import mmap
import os
import tempfile
from typing import Final

import numpy as np
from numpy.typing import NDArray

KEPT_BYTES: Final = 8 * 2**20  # that stay allocated between jobs


def anonymous_file() -> int:
    """The descriptor of a file without a name, in memory where the system has such. Raises `OSError`."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("clpips-decoder")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


class SharedMemory:
    """Bytes at the beginning of a mapping; pages that were never written take no memory."""

    def __init__(self, descriptor: int, capacity: int) -> None:
        self.descriptor = descriptor
        self._map = mmap.mmap(descriptor, capacity)

    @classmethod
    def create(cls, capacity: int) -> "SharedMemory":
        """New memory of up to `capacity` bytes. Raises `OSError`."""
        descriptor = anonymous_file()
        try:
            os.ftruncate(descriptor, capacity)
            return cls(descriptor, capacity)
        except OSError:
            os.close(descriptor)
            raise

    @property
    def capacity(self) -> int:
        return len(self._map)

    def write(self, content: bytes) -> None:
        """Raises `ValueError` where there is no room."""
        if len(content) > self.capacity:
            raise ValueError(f"{len(content):,} bytes, the shared memory has {self.capacity:,}")
        self._map[: len(content)] = content

    def read(self, nbytes: int) -> bytes:
        return self._map[:nbytes]

    def write_array(self, array: NDArray[np.uint8], behind: int = 0) -> None:
        """Write an array `behind` so many bytes. Raises `ValueError` where there is no room."""
        if behind + array.nbytes > self.capacity:
            raise ValueError(f"{behind + array.nbytes:,} bytes of pixels, the shared memory has {self.capacity:,}")
        view = np.frombuffer(self._map, np.uint8, array.nbytes, behind)
        view.reshape(array.shape)[:] = array

    def read_array(self, *shape: int, behind: int = 0) -> NDArray[np.uint8]:
        """A copy of an array of this shape, `behind` so many bytes. Raises `ValueError` where there cannot be one."""
        nbytes = math.prod(shape)
        if behind + nbytes > self.capacity:
            raise ValueError(f"an array of the shape {shape}, the shared memory has {self.capacity:,} bytes")
        return np.frombuffer(self._map, np.uint8, nbytes, behind).reshape(shape).copy()

    def release(self, used: int) -> None:
        """Give back what a job used, if it was much. Nobody may read or write meanwhile."""
        if used > KEPT_BYTES:
            os.ftruncate(self.descriptor, 0)
            os.ftruncate(self.descriptor, self.capacity)

    def close(self) -> None:
        self._map.close()
        os.close(self.descriptor)
