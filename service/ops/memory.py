"""Memory accounting: what this process uses of the limit at which the kernel kills it; and malloc arenas."""

import contextlib
import ctypes
import mmap
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from prometheus_client.metrics_core import GaugeMetricFamily
from prometheus_client.registry import Collector

CGROUP: Final = Path("/sys/fs/cgroup")  # version 2; a container sees its own at the root
PROC: Final = Path("/proc")
M_ARENA_MAX: Final = -8  # the parameter's number in glibc's mallopt
ARENAS: Final = 2
PAGE_BYTES: Final = mmap.PAGESIZE


class Memory(NamedTuple):
    """Bytes in use, by this process and those that share its limit, and the limit."""

    used: int
    limit: int


class Held(NamedTuple):
    """Bytes that this process holds, and those that others hold beside it, which share its limit."""

    own: int
    apart: int


def share_arenas() -> None:
    """Let all threads that start from now on allocate from two of glibc's arenas, unless `MALLOC_ARENA_MAX` is set.

    By itself glibc gives each thread one, and what a thread has freed serves no other: under load that kept some 45 MB
    which grew and shrank. Where the C library is another, nothing happens.
    """
    if sys.platform == "linux" and "MALLOC_ARENA_MAX" not in os.environ:
        with contextlib.suppress(AttributeError, OSError):
            ctypes.CDLL(None).mallopt(M_ARENA_MAX, ARENAS)


def release_freed() -> None:
    """Give freed memory back to the system, which glibc by itself keeps for allocations of the same size.

    Features of many small images leave holes into which those of a large one do not fit. It takes some milliseconds,
    without the interpreter's lock.
    """
    if sys.platform == "linux":
        with contextlib.suppress(AttributeError, OSError):
            ctypes.CDLL(None).malloc_trim(0)


def container_memory(cgroup: Path = CGROUP) -> Memory | None:
    """The memory of this container; None where it has no limit, or the system does not tell.

    What the kernel can drop at will (files that were read once) does not count, as it does not for Kubernetes either.
    """
    try:
        limit = (cgroup / "memory.max").read_text().strip()
        if limit == "max":
            return None
        used = int((cgroup / "memory.current").read_text())
        return Memory(max(used - _field(cgroup / "memory.stat", "inactive_file"), 0), int(limit))
    except (OSError, LookupError, ValueError):
        return None


def held_by_container(cgroup: Path = CGROUP, proc: Path = PROC) -> Held:
    """What this process holds, and all else in its container; nothing where the system does not tell."""
    memory, own = container_memory(cgroup), _pages(proc / "self")[0]
    return Held(own, 0 if memory is None else max(memory.used - own, 0))


def held_by_processes(proc: Path = PROC) -> Held:
    """What this process holds, and what its children and theirs hold alone; nothing where the system does not tell."""
    apart, found = 0, _children(proc / "self")
    while found:
        process = proc / found.pop()
        resident, shared = _pages(process)
        apart += resident - shared
        found += _children(process)
    return Held(_pages(proc / "self")[0], apart)


def _pages(process: Path) -> tuple[int, int]:
    """Bytes that are resident of a process, and those of them that are files' or shared; 0 where it has ended."""
    try:
        _, resident, shared, *_ = map(int, (process / "statm").read_text().split())
    except (OSError, ValueError):
        return 0, 0
    return resident * PAGE_BYTES, shared * PAGE_BYTES


def _children(process: Path) -> list[str]:
    found: list[str] = []
    with contextlib.suppress(OSError):  # it has ended
        for task in (process / "task").iterdir():
            with contextlib.suppress(OSError):
                found += (task / "children").read_text().split()
    return found


def read_memory(cgroup: Path = CGROUP, proc: Path = PROC) -> Memory | None:
    """The memory of this container; outside of one that is limited, this process's share of the machine's.

    None where the system does not tell.
    """
    if (container := container_memory(cgroup)) is not None:
        return container
    try:
        resident = _field(proc / "self" / "status", "VmRSS:")
        return Memory(resident * 1024, _field(proc / "meminfo", "MemTotal:") * 1024)
    except (OSError, LookupError, ValueError):
        return None


class MemoryCollector(Collector):
    """`clpips_memory_used_bytes` and `clpips_memory_limit_bytes`, read at each scrape."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        memory = read_memory()
        if memory is not None:
            used, limit = memory
            yield GaugeMetricFamily("clpips_memory_used_bytes", "Memory that counts against the limit", value=used)
            yield GaugeMetricFamily("clpips_memory_limit_bytes", "Memory at which the kernel kills", value=limit)


def _field(path: Path, name: str) -> int:
    for line in path.read_text().splitlines():
        fields = line.split()
        if fields[:1] == [name]:
            return int(fields[1])
    raise LookupError(f"{path} has no {name}")
