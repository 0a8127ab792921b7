"""Second process of a fit worker: does a part of its fits where a processor is there that nobody else wants.

A thread would not do: NumPy's operations on 6016 numbers take microseconds, and at each of them two threads would hand
the interpreter over, so fits took longer by two than by one. A fork for each fit would not do either: what the two
processes write is then copied page by page, some 10 ms of either. This one is forked when the worker begins, and waits
on a pipe. A minute after a fit it gives its memory back. It ends when the worker does, by whatever hand.
"""

import ctypes
import mmap
import os
import pickle
import select
import signal
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from io import FileIO
from typing import BinaryIO, Final, Never, Self

from clpips.models.fitting.job import FitJob
from clpips.models.fitting.personal import Begun, Part, part
from clpips.service.teaching.fit_messages import LENGTH_BYTES, framed, next_message
from clpips.service.teaching.scheduling import pausing, waiting

PIPE_BYTES: Final = 2**20  # what is found of twenty rankings is 0.6 MB
MOST_SHARED: Final = 8 * 2**20  # of a job's arrays: 2.4 MB where there are twenty rankings of ten
ALIGNED: Final = 64  # bytes
KEPT_SECONDS: Final = 60.0  # that memory is kept for the next fit: pages that were given back cost 5 ms of one
MOST_SECONDS: Final = 5.0  # that is waited for a part when all else is done: the worker does it in a quarter of that
LOOKS: Final = 5  # for a processor, before a fit is done by one process
LOOK_AGAIN_SECONDS: Final = 0.0002


class SecondProcess:
    """The process, as its worker sees it. One fit at a time may use it."""

    def __init__(self, pid: int, jobs: BinaryIO, parts: FileIO, shared: mmap.mmap) -> None:
        self.pid = pid
        self._jobs = jobs
        self._parts = parts
        self._shared = shared  # a job's arrays: a pipe would take milliseconds for them
        self._due = False  # whether it was asked for a part that has not come
        self.lost = False  # it has died, or does not answer: it is not asked again

    @classmethod
    def start(cls) -> Self | None:
        """Fork it; None where the system is another than Linux, or has no process left.

        The calling process must have no threads of its own yet, and little in its memory.
        """
        if sys.platform != "linux":
            return None
        ends: list[int] = []
        try:
            shared = mmap.mmap(-1, MOST_SHARED)
            ends += (jobs := _pipe())  # the end to read from, and the one to write to
            ends += (parts := _pipe())
            pid = os.fork()
        except OSError:
            for end in ends:
                os.close(end)
            return None
        if pid == 0:
            os.close(jobs[1])
            os.close(parts[0])
            _serve(os.fdopen(jobs[0], "rb"), os.fdopen(parts[1], "wb"), shared)
        os.close(jobs[0])
        os.close(parts[1])
        return cls(pid, os.fdopen(jobs[1], "wb"), os.fdopen(parts[0], "rb", buffering=0), shared)

    def close(self) -> None:
        """End it, whatever it does."""
        self._lose()
        with suppress(OSError):
            self._jobs.close()
        self._parts.close()

    def _lose(self) -> None:
        if not self.lost:
            self.lost = True
            with suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            with suppress(ChildProcessError):
                os.waitpid(self.pid, 0)

    @contextmanager
    def beside(self, job: FitJob) -> Iterator[Begun]:
        """Begin `part` of a job, as `fit` has it; where no processor is to spare now, there will be none."""
        if not self.lost and _is_one_to_spare():
            self._ask(job)
        try:
            yield self._answer
        finally:
            self._answer()  # the next fit must not get what was not asked for in this one

    def _ask(self, job: FitJob) -> None:
        arrays: list[pickle.PickleBuffer] = []
        content = pickle.dumps(job, protocol=5, buffer_callback=arrays.append)
        end, places = 0, []
        for array in arrays:
            raw = array.raw()
            if end + raw.nbytes > MOST_SHARED:
                return
            self._shared[end : end + raw.nbytes] = raw
            places.append(slice(end, end + raw.nbytes))
            end += -(-raw.nbytes // ALIGNED) * ALIGNED
        try:
            self._jobs.write(framed((content, places)))
            self._jobs.flush()
            self._due = True
        except OSError:  # it has ended
            self._lose()

    def _answer(self) -> Part | None:
        if not self._due:
            return None
        self._due = False
        try:
            until = time.monotonic() + MOST_SECONDS
            length = int.from_bytes(self._read(LENGTH_BYTES, until), "little")
            found: Part | None = pickle.loads(self._read(length, until))  # noqa: S301 - from our own child
        except Exception:  # noqa: BLE001 - it has died or hangs, or there is no memory: what else it says is of no use
            self._lose()
            return None
        return found

    def _read(self, nbytes: int, until: float) -> bytes:
        """So many bytes of its answer. Raises `EOFError` where there are no more, and `TimeoutError`."""
        content = bytearray()
        while len(content) < nbytes:
            ready, _, _ = select.select([self._parts], [], [], max(0.0, until - time.monotonic()))
            if not ready:
                raise TimeoutError
            if not (more := os.read(self._parts.fileno(), nbytes - len(content))):
                raise EOFError
            content += more
        return bytes(content)


def _is_one_to_spare() -> bool:
    """Whether there is a processor that nobody wants: who wants it for a moment only is waited for."""
    with waiting(besides=1) as somebody_waits:
        for _ in range(LOOKS):
            if not somebody_waits():
                return True
            time.sleep(LOOK_AGAIN_SECONDS)
    return False


def _pipe() -> tuple[int, int]:
    """Both ends of a pipe, with room for much, if the system allows it."""
    import fcntl

    reading, writing = os.pipe()
    with suppress(OSError):
        fcntl.fcntl(writing, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return reading, writing


def _serve(jobs: BinaryIO, parts: BinaryIO, shared: mmap.mmap) -> Never:
    """In the new process: answer each job until there are no more. Nothing of the old one's is cleaned up here."""
    try:
        nothing = os.open(os.devnull, os.O_RDWR)
        os.dup2(nothing, 0)  # the service must see that the worker has ended when it has
        os.dup2(nothing, 1)
        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
        while True:
            waited, _, _ = select.select([jobs], [], [], KEPT_SECONDS)
            if not waited and trim is not None:
                trim(0)
            message = next_message(jobs)
            if message is None:
                os._exit(0)
            content, places = message
            parts.write(framed(_part(content, [memoryview(shared)[place] for place in places])))
            parts.flush()
    except BaseException:  # noqa: BLE001 - the worker is gone, or sees that this process is
        os._exit(1)


def _part(content: bytes, arrays: Sequence[memoryview]) -> Part | None:
    """The part of a fit; None where it fails, which the worker then does itself, and meets the error."""
    try:
        with pausing():
            return part(pickle.loads(content, buffers=arrays))  # noqa: S301 - from our own parent
    except Exception:  # noqa: BLE001
        return None
