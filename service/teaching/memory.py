"""Memory of a fit process: what a fit has freed is kept for the next one, because the kernel's new pages cost time.

A fit of twenty rankings frees and asks for arrays of some megabytes a hundred times. The C library would give each back
to the kernel, and have every page of the next cleared and mapped again: a fifteenth of a fit's processor time.
"""

import ctypes
import sys
from typing import Final

M_TRIM_THRESHOLD: Final = -1  # the names are glibc's, which knows them by these numbers
M_MMAP_THRESHOLD: Final = -3
LARGEST: Final = 32 * 2**20  # bytes of an array that is kept; glibc takes no larger threshold
MOST_KEPT: Final = 64 * 2**20  # bytes that are kept when nothing uses them


def keep_freed() -> None:
    """Have this process keep some of the memory that it frees, for good; where the C library is another, nothing."""
    if sys.platform != "linux":
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(M_MMAP_THRESHOLD, LARGEST)
        mallopt(M_TRIM_THRESHOLD, MOST_KEPT)
