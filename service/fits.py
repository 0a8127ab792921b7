"""The workers that fit weights: processes of their own, that share no lock with the event loop and the engine.

A thread would: the solver holds the interpreter's lock in bursts of milliseconds, and every decode and every reply
would wait for them. The processes are plain children on two pipes, not `multiprocessing`'s: those import the main
module once more, and outlive a parent that is killed. These end when their input does.
"""

import asyncio
import os
import pickle
import signal
import sys
import time
import traceback
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import BinaryIO, Final

import structlog

from service.fitting import FitJob, FitResult, fit

NICENESS: Final = 19  # scoring comes first where both want a core
COMPUTING_SECONDS: Final = 0.001  # between two pauses of a fit
PAUSE_SECONDS: Final = 0.00005
MAX_SECONDS: Final = 300  # of one fit: some ten times what 20,000 pairs take
LENGTH_BYTES: Final = 8

log = structlog.get_logger()


class FitWorkerError(Exception):
    """A worker failed on a fit, ended in the middle of it, or took too long."""


class FitWorkers:
    """Up to `count` processes, one fit at a time in each; further fits wait. They start when they are needed."""

    def __init__(self, count: int) -> None:
        self._free = asyncio.Semaphore(count)
        self._idle: list[asyncio.subprocess.Process] = []
        self._warming: asyncio.Task[None] | None = None

    async def fit(self, job: FitJob) -> FitResult:
        """The job's result. Raises `FitWorkerError`; the next job gets a fresh process then."""
        async with self._free:
            process = self._idle.pop() if self._idle else await _start()
            try:
                async with asyncio.timeout(MAX_SECONDS):
                    result = await _ask(process, job)
            except (OSError, EOFError, asyncio.IncompleteReadError) as error:
                raise FitWorkerError("the process that fits weights ended in the middle of it") from error
            except TimeoutError as error:
                raise FitWorkerError(f"the fit took longer than {MAX_SECONDS} s") from error
            else:
                self._idle.append(process)
            finally:
                if process not in self._idle:
                    await _end(process)
        if isinstance(result, str):
            log.error("fit failed in its worker", traceback=result)
            raise FitWorkerError("the fit raised an error, which the service's log has")
        return result

    def expect(self) -> None:
        """A job is likely: have a process ready by then, so that it does not wait for the imports of one.

        Returns at once, and does nothing where a process is there, or on its way.
        """
        if not self._idle and not self._free.locked() and (self._warming is None or self._warming.done()):
            self._warming = asyncio.create_task(self._warm_up())

    async def _warm_up(self) -> None:
        async with self._free:
            try:
                self._idle.append(await _start())
            except OSError as error:  # the job itself will say so to who sends it
                log.warning("no process for fits could be started", reason=str(error))

    async def close(self) -> None:
        """End the processes."""
        if self._warming is not None:
            await self._warming
        while self._idle:
            await _end(self._idle.pop())


async def _start() -> asyncio.subprocess.Process:
    # Not a session of its own: Linux shares the processor among sessions first, and niceness counts within one alone.
    return await asyncio.create_subprocess_exec(
        sys.executable, "-m", "service.fits", stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
    )


async def _ask(process: asyncio.subprocess.Process, job: FitJob) -> FitResult | str:
    """The result of a job, or the traceback of what it raised."""
    assert process.stdin is not None  # noqa: S101 - both are pipes
    assert process.stdout is not None  # noqa: S101
    content = pickle.dumps(job, protocol=pickle.HIGHEST_PROTOCOL)
    process.stdin.write(len(content).to_bytes(LENGTH_BYTES, "little") + content)
    await process.stdin.drain()
    length = int.from_bytes(await process.stdout.readexactly(LENGTH_BYTES), "little")
    result: FitResult | str = pickle.loads(await process.stdout.readexactly(length))  # noqa: S301 - from our own child
    return result


async def _end(process: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()  # a fit is a calculation: nothing is lost but it
    await process.wait()


def work(jobs: BinaryIO, results: BinaryIO) -> None:
    """What a worker process does until its input ends: a job in, a result or a traceback out."""
    while len(head := jobs.read(LENGTH_BYTES)) == LENGTH_BYTES:
        content = jobs.read(int.from_bytes(head, "little"))
        try:
            job: FitJob = pickle.loads(content)  # noqa: S301 - from the parent process
            with _pausing():
                result: FitResult | str = fit(job)
        except Exception:  # noqa: BLE001 - the parent decides what it means
            result = traceback.format_exc()
        answer = pickle.dumps(result, protocol=pickle.HIGHEST_PROTOCOL)
        results.write(len(answer).to_bytes(LENGTH_BYTES, "little") + answer)
        results.flush()


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


def main() -> None:
    """The worker process."""
    if hasattr(os, "nice"):
        os.nice(NICENESS)
        os.setpgid(0, 0)  # Ctrl-C in a terminal is for the service, which ends the worker when it is done with it
    with os.fdopen(os.dup(1), "wb") as results:
        os.dup2(2, 1)  # whatever a library prints must not end up among the results
        work(sys.stdin.buffer, results)


if __name__ == "__main__":
    main()
