"""The worker process: fits to the rankings that it reads itself, until its input ends.

The service has no part in the reading, which would cost it more than all else about a fit. Each message on the pipes
is its length and a pickle; the first one in is the database's URL, every other a `Task`.
"""

import asyncio
import ctypes
import os
import pickle
import platform
import signal
import struct
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from clpips.models.fitting.personal import FitJob, FitResult, fit
from clpips.service.problems import VersionNotFound
from clpips.service.storage.database import Database, StorageError
from clpips.service.storage.profiles import unpack_channel_distances, unpack_weights
from clpips.service.storage.reading import ProfileReader
from clpips.service.storage.tables import Profile

NICENESS: Final = 19  # scoring comes first where both want a core
COMPUTING_SECONDS: Final = 0.001  # between two pauses of a fit
PAUSE_SECONDS: Final = 0.00005
SLICE_NS: Final = 10_000_000  # above Linux's usual 0.7 to 2.8 ms
SCHED_SETATTR: Final = {"x86_64": 314, "aarch64": 274}  # the system call's number, which Python has no name for
LENGTH_BYTES: Final = 8


@dataclass(frozen=True)
class Task:
    """Fit this profile to the rankings that counted when it was read."""

    profile: Profile
    lpips: NDArray[np.float32]  # (1152,) to compare with


@dataclass(frozen=True)
class Failure:
    """A fit raised an error."""

    traceback: str


Answer = FitResult | StorageError | Failure | None  # None: the profile has been deleted


def framed(message: object) -> bytes:
    """A message as it goes through a pipe."""
    content = pickle.dumps(message, protocol=pickle.HIGHEST_PROTOCOL)
    return len(content).to_bytes(LENGTH_BYTES, "little") + content


async def work(tasks: BinaryIO, answers: BinaryIO) -> None:
    """Answer each task, until there are no more."""
    url: str | None = _next(tasks)
    if url is None:
        return
    database = Database(url)
    while (task := _next(tasks)) is not None:
        answers.write(framed(await _answer(ProfileReader(database), task)))
        answers.flush()
    await database.close()


def _next(messages: BinaryIO) -> Any:
    """The next message, None at the end."""
    head = messages.read(LENGTH_BYTES)
    if len(head) < LENGTH_BYTES:
        return None
    return pickle.loads(messages.read(int.from_bytes(head, "little")))  # noqa: S301 - from the parent process


async def _answer(reader: ProfileReader, task: Task) -> Answer:
    try:
        job = await read(reader, task)
        with _pausing():
            return fit(job)
    except VersionNotFound:
        return None
    except StorageError as error:
        return error
    except Exception:  # noqa: BLE001 - the parent decides what it means
        return Failure(traceback.format_exc())


async def read(reader: ProfileReader, task: Task) -> FitJob:
    """What there is to fit. Raises `VersionNotFound` where the profile has been deleted, or `StorageError`."""
    rankings = [ranking async for ranking in reader.rankings(task.profile)]
    base = await reader.version(task.profile, task.profile.base_version)  # after them: it goes when they go
    return FitJob(
        channel_distances=[unpack_channel_distances(ranking.channel_distances) for ranking in rankings],
        ranks=[ranking.ranks for ranking in rankings],
        targets=[ranking.target for ranking in rankings],
        base=unpack_weights(base.weights),
        resolution=base.resolution,
        lpips=task.lpips,
    )


@contextmanager
def _pausing() -> Iterator[None]:
    """Within it the process sleeps for a moment every millisecond, so that its processor runs out of work.

    That is when Linux gives the processor to a thread that waits behind another. Beside a process that never pauses,
    however low its priority, two threads of the engine share one processor for milliseconds while it has the other.
    """
    computing = True

    def pause(*_: object) -> None:
        time.sleep(PAUSE_SECONDS)
        if computing:  # by itself the timer would ring again while a starved process sleeps, which then only slept
            signal.setitimer(signal.ITIMER_REAL, COMPUTING_SECONDS)

    if not hasattr(signal, "setitimer"):  # on Windows
        yield
        return
    signal.signal(signal.SIGALRM, pause)
    signal.setitimer(signal.ITIMER_REAL, COMPUTING_SECONDS)
    try:
        yield
    finally:
        computing = False
        signal.setitimer(signal.ITIMER_REAL, 0)


def _be_interruptible() -> None:
    """Ask Linux (6.12 or newer) for long slices of time: who wakes up and has shorter ones interrupts this process.

    With slices as long as everybody's, it would keep the processor to the end of its slice, low priority or not.
    """
    number = SCHED_SETATTR.get(platform.machine())
    if sys.platform != "linux" or number is None:
        return
    # struct sched_attr: size, policy (SCHED_OTHER), flags, nice, priority, runtime (the slice), deadline, period
    attributes = struct.pack("=IIQiIQQQ", 48, 0, 0, NICENESS, 0, SLICE_NS, 0, 0)
    ctypes.CDLL(None).syscall(number, 0, attributes, 0)  # where it is refused nothing is lost but milliseconds


def main() -> None:
    """Work on the pipes that the parent process made."""
    if hasattr(os, "nice"):
        os.nice(NICENESS)
        os.setpgid(0, 0)  # Ctrl-C in a terminal is for the service, which ends the worker when it is done with it
    _be_interruptible()
    with os.fdopen(os.dup(1), "wb") as answers:
        os.dup2(2, 1)  # whatever a library prints must not end up among the answers
        asyncio.run(work(sys.stdin.buffer, answers))
