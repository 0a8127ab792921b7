"""Limits of a decoder process: memory, and processor time for each job. The kernel ends what goes beyond them."""

import contextlib
import ctypes
import os
import resource
import signal
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

SHARED_BYTES: Final = 80 * 2**20  # an image of 4 megapixels takes less in every format
PIXEL_BYTES: Final = 18  # that decoding takes for each pixel, at most: WebP and progressive CMYK take 17
FURTHER_BYTES: Final = 16 * 2**20
_PR_SET_PDEATHSIG: Final = 1  # the number of prctl's option


@dataclass(frozen=True, slots=True)
class DecoderLimits:
    """What one image may take of a decoder process."""

    nbytes: int  # of memory, beyond what the process has when it starts
    seconds: float  # of processor time

    @property
    def shared_nbytes(self) -> int:
        """Bytes of memory for an image that is not decoded alone: several of them may take so much at a time."""
        return min(self.nbytes, SHARED_BYTES)

    def needs(self, pixels: int, file_nbytes: int) -> int:
        """Bytes of memory that a sound file of so many pixels and bytes takes at most, and no more than it may have."""
        return min(self.nbytes, PIXEL_BYTES * pixels + file_nbytes + FURTHER_BYTES)


class MemoryLimit:
    """What this process may have beyond what it has when this is made."""

    def __init__(self) -> None:
        _set(resource.RLIMIT_CORE, 0)
        self._size = _address_space()

    def allow(self, nbytes: int) -> None:
        """Let the process have so many bytes more than at first, from now on."""
        if self._size is not None:
            _set(resource.RLIMIT_AS, self._size + nbytes)


def memory_was_short(allowed: int) -> bool:
    """Whether this process has had more than half of what it is allowed: what fails then may have wanted the rest."""
    try:
        fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines() if ":" in line)
        peak, _ = resource.getrlimit(resource.RLIMIT_AS)
        return peak - int(fields["VmPeak"].split()[0]) * 1024 < allowed // 2
    except (OSError, ValueError, KeyError):
        return False


def allow_seconds(seconds: float) -> None:
    """Let this process compute for so many seconds from now on: then a signal ends it that nobody handles."""
    signal.setitimer(signal.ITIMER_PROF, seconds)


def die_with_parent() -> None:
    """End this process when its parent ends, where the system can do that."""
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError, OSError):
            ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def why_it_ended(status: int, limits: DecoderLimits) -> str:
    """What an image did to the process that decoded it, by its wait status."""
    ended_by = os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0
    if ended_by == signal.SIGPROF:
        return (
            f"the image takes more than {limits.seconds:g} s of processor time to decode; send a smaller one, or save "
            "it anew as PNG or JPEG"
        )
    if ended_by == signal.SIGKILL:
        return "the decoder was ended in the middle of the image, likely for want of memory; send a smaller one"
    return "the decoder crashed on the image: the file is damaged in a way that it does not survive; save it anew"


def needs_too_much_memory(limits: DecoderLimits) -> str:
    return (
        f"the image takes more than {limits.nbytes / 2**20:.0f} MiB of memory to decode; send a smaller one, or save "
        "it anew as PNG or JPEG"
    )


def _set(what: int, limit: int) -> None:
    _, hard = resource.getrlimit(what)
    with contextlib.suppress(OSError, ValueError):  # a limit that is lower already
        resource.setrlimit(what, (limit if hard == resource.RLIM_INFINITY else min(limit, hard), hard))


def _address_space() -> int | None:
    """Bytes of this process's address space; None where the system does not tell."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except (OSError, ValueError, IndexError):
        return None
