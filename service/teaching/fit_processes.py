"""Process pool in which weights are fitted: its processes share no lock with the event loop and the engine.

A thread would: the solver holds the interpreter's lock in bursts of milliseconds, and every decode and every reply
would wait for them. The processes are plain children on two pipes, not `multiprocessing`'s: those import the main
module once more, and outlive a parent that is killed. These end when their input does.
"""

import asyncio
import mmap
import os
import pickle
import signal
import sys
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Final

import structlog

from clpips.models.fitting.job import FitResult
from clpips.service.admission.headroom import Headroom
from clpips.service.storage.errors import StorageError
from clpips.service.teaching.fit_messages import LENGTH_BYTES, MOST_BYTES, Answer, Failure, Reply, Task, framed
from clpips.service.teaching.scheduling import NICENESS

# With -m its classes would be those of `__main__`, not ours. Run with -P, so that nothing is imported from the folder
# that the service was started in.
START: Final = "from clpips.service.teaching.fit_worker import main; main({niceness})"
ENVIRONMENT: Final = {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}  # a process with one thread can be forked

PAGE_BYTES: Final = mmap.PAGESIZE
USUAL_BYTES: Final = 320 * 2**20  # of data, that most fits do with
RECYCLE_BYTES: Final = 256 * 2**20  # a worker that has fitted small profiles alone holds some 150 MiB
INHERITED_LOOKS: Final = 100  # for a second process that has been killed, and has not ended yet
INHERITED_SECONDS: Final = 0.01
PIPES_SECONDS: Final = 5.0  # until the pipes of ended processes are closed: milliseconds
MAX_SECONDS: Final = 300  # of one fit: some ten times what 20,000 pairs take

log = structlog.get_logger()


class FitWorkerError(Exception):
    """A worker failed on a fit, ended in the middle of it, or took too long."""


class FitPostponedError(Exception):
    """No process can be started for a fit at this moment: the system has no descriptor, process or memory left."""


Spawn = Callable[..., Awaitable[asyncio.subprocess.Process]]


class FitWorkers:
    """Up to `count` processes, one fit at a time in each; further fits wait. They start when they are needed.

    What a large fit leaves behind in a process's memory goes with the process: one that holds more than
    `RECYCLE_BYTES` after a fit is ended, and the next fit has another.
    """

    def __init__(
        self,
        count: int,
        database_url: str,
        niceness: int = NICENESS,
        spawn: Spawn = asyncio.create_subprocess_exec,
        recycle_bytes: int = RECYCLE_BYTES,
        headroom: Headroom | None = None,
    ) -> None:
        self._spawn = spawn
        self._headroom = headroom or Headroom()
        self._recycle_bytes = recycle_bytes
        self._database_url = database_url
        self._start_code = START.format(niceness=niceness)
        self._free = asyncio.Semaphore(count)
        self._idle: list[asyncio.subprocess.Process] = []
        self._warming: asyncio.Task[None] | None = None

    @property
    def idle(self) -> list[int]:
        """The ids of the processes that wait for a task."""
        return [process.pid for process in self._idle if process.returncode is None]

    async def fit(self, task: Task) -> FitResult | None:
        """What came of a task; None where its profile has been deleted.

        Raises `StorageError` where the rankings cannot be read, `FitWorkerError`, or `FitPostponedError`.
        """
        async with self._free:
            answer = await self._answered_within(task, USUAL_BYTES if self._headroom.limits else MOST_BYTES)
            if _wanted_memory(answer) and self._headroom.limits:  # its rankings are many
                answer = await self._answered_within(task, MOST_BYTES)
        if isinstance(answer, StorageError):
            raise answer
        if isinstance(answer, Failure):
            log.error("fit failed in its worker", traceback=answer.traceback)
            raise FitWorkerError("the fit raised an error, which the service's log has")
        return answer

    async def _answered_within(self, task: Task, nbytes: int) -> Answer:
        """What a process answers that may take so many bytes, once there is room for them.

        What is too much for it fails with `Failure.wanted_memory`, or where there was less, with `FitPostponedError`.
        """
        async with self._headroom.of(nbytes, USUAL_BYTES, apart=True) as granted:
            answer = await self._answered(replace(task, most_bytes=granted))
        if granted < nbytes and _wanted_memory(answer):
            raise FitPostponedError("there is too little memory to fit weights now")
        return answer

    async def _answered(self, task: Task) -> Answer:
        try:
            process = self._waiting() or await self._start()
        except OSError as error:
            reason = error.strerror or type(error).__name__
            raise FitPostponedError(f"no process could be started to fit weights ({reason})") from error
        try:
            async with asyncio.timeout(MAX_SECONDS):
                reply = await _ask(process, task)
        except (
            OSError,
            EOFError,
            RuntimeError,
            asyncio.IncompleteReadError,
        ) as error:  # RuntimeError: uvloop's pipes
            raise FitWorkerError("the process that fits weights ended in the middle of it") from error
        except TimeoutError as error:
            raise FitWorkerError(f"the fit took longer than {MAX_SECONDS} s") from error
        else:
            if reply.sound and memory_of(process.pid) <= self._recycle_bytes:
                self._idle.append(process)
        finally:
            if process not in self._idle:
                await _end(process)
        return reply.answer

    def _waiting(self) -> asyncio.subprocess.Process | None:
        """A process that waits for a task; those that have ended meanwhile, by whatever hand, are dropped."""
        while self._idle:
            process = self._idle.pop()
            if process.returncode is None:
                return process
        return None

    def expect(self) -> None:
        """Start a process where none waits or is on its way: a task is likely, and must not wait for imports.

        Returns at once.
        """
        if not self.idle and not self._free.locked() and (self._warming is None or self._warming.done()):
            self._warming = asyncio.create_task(self._warm_up())

    async def _warm_up(self) -> None:
        async with self._free:
            try:
                self._idle.append(await self._start())
            except OSError as error:  # the task itself will say so to who sends it
                log.warning("no process for fits could be started", reason=str(error))

    async def _start(self) -> asyncio.subprocess.Process:
        # No session of its own: Linux shares the processor among sessions first, and niceness counts within one alone.
        process = await self._spawn(
            sys.executable,
            "-P",
            "-c",
            self._start_code,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            env={**os.environ, **ENVIRONMENT},
        )
        assert process.stdin is not None  # noqa: S101 - it is a pipe
        process.stdin.write(framed(self._database_url))  # here, because other users see a command line: passwords
        return process

    async def close(self) -> None:
        """End the processes."""
        if self._warming is not None:
            await self._warming
        while self._idle:
            await _end(self._idle.pop())


def _wanted_memory(answer: Answer) -> bool:
    return isinstance(answer, Failure) and answer.wanted_memory


def memory_of(pid: int) -> int:
    """Bytes of memory that a process holds; 0 where the system does not tell."""
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, ValueError, IndexError):
        return 0
    return pages * PAGE_BYTES


async def _ask(process: asyncio.subprocess.Process, task: Task) -> Reply:
    assert process.stdin is not None  # noqa: S101 - both are pipes
    assert process.stdout is not None  # noqa: S101
    process.stdin.write(framed(task))
    await process.stdin.drain()
    length = int.from_bytes(await process.stdout.readexactly(LENGTH_BYTES), "little")
    reply: Reply = pickle.loads(await process.stdout.readexactly(length))  # noqa: S301 - from our own child
    return reply


async def _close_pipes(process: asyncio.subprocess.Process) -> None:
    """Wait until both are closed: a second process that had just begun has them too, and no loop may end before."""
    assert process.stdin is not None  # noqa: S101 - both are pipes
    assert process.stdout is not None  # noqa: S101
    process.stdin.close()
    with suppress(OSError, RuntimeError, TimeoutError):  # RuntimeError: uvloop's pipes
        async with asyncio.timeout(PIPES_SECONDS):
            await process.stdout.read()
            await process.stdin.wait_closed()


async def _end(process: asyncio.subprocess.Process) -> None:
    """End a worker and its second process, which are a process group: a fit is a calculation, nothing is lost but it.

    Where the service is the first process of its container, it inherits the second one, and nobody else waits for that.
    """
    with suppress(ProcessLookupError, PermissionError, AttributeError):  # there is no such call on Windows
        os.killpg(process.pid, signal.SIGKILL)
    with suppress(ProcessLookupError):
        process.kill()  # it has been killed, or has no group of its own yet
    await process.wait()
    await _close_pipes(process)
    if hasattr(os, "waitid"):
        with suppress(ChildProcessError):  # none of them is ours
            for _ in range(INHERITED_LOOKS):
                if os.waitid(os.P_PGID, process.pid, os.WEXITED | os.WNOHANG) is None:  # noqa: ASYNC222 - no wait
                    await asyncio.sleep(INHERITED_SECONDS)
