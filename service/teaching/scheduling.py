"""CPU scheduling of the fit processes: they give way to scoring, which people wait for.

Three means, because none does alone: a low priority (niceness), long time slices, which who wakes up interrupts, and
short pauses in the computing itself, for as long as somebody waits.
"""

import ctypes
import os
import platform
import signal
import struct
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

NICENESS: Final = 19  # the lowest priority there is: scoring comes first where both want a core
SLICE_NS: Final = 10_000_000  # above Linux's usual 0.7 to 2.8 ms
COMPUTING_SECONDS: Final = 0.001  # between two pauses of a fit
PAUSE_SECONDS: Final = 0.00005
RUNNABLE: Final = "/proc/loadavg"  # 0.20 0.18 0.12 2/80 11206: two threads run or wait for a processor
SCHED_SETATTR: Final = {"x86_64": 314, "aarch64": 274}  # the system call's number, which Python has no name for


def give_way(niceness: int) -> None:
    """Put this process behind those of normal priority, for good."""
    if hasattr(os, "nice"):
        os.nice(niceness)
    _ask_for_long_slices(niceness)


@contextmanager
def pausing() -> Iterator[None]:
    """Within it the process sleeps for a moment every millisecond, so that its processor runs out of work.

    That is when Linux gives the processor to a thread that waits behind another. Beside a process that never pauses,
    however low its priority, two threads of the engine share one processor for milliseconds while it has the other.
    Where no thread waits, it does not sleep: a fit on an idle machine takes an eighth less time.
    """
    if not hasattr(signal, "setitimer"):  # on Windows
        yield
        return
    computing = True
    with waiting() as somebody_waits:

        def pause(*_: object) -> None:
            if somebody_waits():
                time.sleep(PAUSE_SECONDS)
            if computing:  # by itself the timer would ring again while a starved process sleeps, which then only slept
                signal.setitimer(signal.ITIMER_REAL, COMPUTING_SECONDS)

        signal.signal(signal.SIGALRM, pause)
        signal.setitimer(signal.ITIMER_REAL, COMPUTING_SECONDS)
        try:
            yield
        finally:
            computing = False
            signal.setitimer(signal.ITIMER_REAL, 0)


@contextmanager
def waiting(besides: int = 0) -> Iterator[Callable[[], bool]]:
    """What tells whether more threads want a processor than this process has processors; where nobody knows, they do.

    `besides` are so many more threads that would want one.

    Linux counts the threads of the whole machine, which is at least as many as want these processors.
    """
    try:
        file = os.open(RUNNABLE, os.O_RDONLY)
    except OSError:  # not Linux
        yield lambda: True
        return
    try:
        processors = len(os.sched_getaffinity(0))
        yield lambda: not 0 < _runnable(file) <= processors - besides
    finally:
        os.close(file)


def _runnable(file: int) -> int:
    """The threads that run or wait for a processor, this one among them; 0 where the file does not say."""
    try:
        return int(os.pread(file, 128, 0).split()[3].partition(b"/")[0])
    except (OSError, IndexError, ValueError):
        return 0


def _ask_for_long_slices(niceness: int) -> None:
    """On Linux (6.12 or newer) who wakes up and has shorter slices interrupts a process with longer ones.

    With slices as long as everybody's, this one would keep the processor to the end of its slice, low priority or not.
    """
    number = SCHED_SETATTR.get(platform.machine())
    if sys.platform != "linux" or number is None:
        return
    # struct sched_attr: size, policy (SCHED_OTHER), flags, nice, priority, runtime (the slice), deadline, period
    attributes = struct.pack("=IIQiIQQQ", 48, 0, 0, niceness, 0, SLICE_NS, 0, 0)
    ctypes.CDLL(None).syscall(number, 0, attributes, 0)  # where it is refused nothing is lost but milliseconds
