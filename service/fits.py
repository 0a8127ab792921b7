"""The worker that fits weights: a process of its own, so that neither the event loop nor the engine shares a lock with it.

A thread would: the solver holds the interpreter's lock in bursts of milliseconds, and every decode and every reply
would wait for them.
"""

import asyncio
import multiprocessing
import os
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Final, TypeVar

import structlog
import threadpoolctl

T = TypeVar("T")

NICENESS: Final = 10  # scoring comes first where both want a core

log = structlog.get_logger()


class FitWorkerError(Exception):
    """The worker process ended in the middle of its work, twice."""


class FitWorker:
    """One process that does one fit at a time; others wait in line. It starts with the first."""

    def __init__(self) -> None:
        self._pool: ProcessPoolExecutor | None = None

    async def run(self, work: Callable[..., T], *arguments: Any) -> T:
        """`work(*arguments)` in the process. Raises what `work` raises, or `FitWorkerError`."""
        for _ in range(2):
            pool = self._pool = self._pool or _start()
            try:
                return await asyncio.get_running_loop().run_in_executor(pool, work, *arguments)
            except BrokenProcessPool as error:  # killed, for memory perhaps: the next may be luckier
                log.error("the fit worker ended; starting another", reason=str(error))
                if self._pool is pool:
                    self._pool = None
                pool.shutdown(wait=False)
        raise FitWorkerError("the process that fits weights ended twice in the middle of it")

    async def warm_up(self) -> None:
        """Start the process and let it import what it needs, ahead of the first fit."""
        await self.run(_warm_up)

    def close(self) -> None:
        """End the process; a fit under way is finished first."""
        if self._pool is not None:
            self._pool.shutdown(cancel_futures=True)
            self._pool = None


def _start() -> ProcessPoolExecutor:
    # Not a fork: the engine's and the decoder's threads would be missing in the child while their locks are held.
    return ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"), initializer=_initialise)


def _initialise() -> None:
    if hasattr(os, "nice"):
        os.nice(NICENESS)
    threadpoolctl.threadpool_limits(1)  # the vectors are short: a second thread would only take a core from scoring


def _warm_up() -> None:
    import service.fitting  # noqa: F401
