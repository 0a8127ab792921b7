"""Circuit breaker: operations on the database are timed, bounded, and fail at once while it is known to be away.

A database that hangs answers nobody, and raises nothing either. Whoever waits for it holds a connection, a place in
the queue and a person's patience; so one operation finds out, and the others are told, until a probe is answered.
"""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from functools import wraps
from typing import Any, Concatenate, Final, ParamSpec, Protocol, TypeVar

import structlog

from clpips.service.storage.errors import DatabaseAwayError

T = TypeVar("T")
P = ParamSpec("P")

PROBE_SECONDS: Final = 2.0  # that a probe may take
PROBE_PAUSE_SECONDS: Final = 0.5
CLOSE_SECONDS: Final = 2.0  # that operations have to put their connections down

log = structlog.get_logger()


class Breaker:
    """Runs operations while the database answers.

    `probe` asks it for anything and raises `StorageError`; `renew`, called before the first probe, gives up connections
    that hang. `observe` is told each operation's name and seconds. One that takes longer than `seconds` finds it away.
    """

    def __init__(
        self,
        probe: Callable[[], Awaitable[None]],
        renew: Callable[[], Awaitable[None]],
        observe: Callable[[str, float], None],
        seconds: float,
        pause_seconds: float = PROBE_PAUSE_SECONDS,
    ) -> None:
        self._probe = probe
        self._renew = renew
        self._observe = observe
        self._seconds = seconds
        self._pause_seconds = pause_seconds
        self._reason: str | None = None  # why it is away
        self._probing: asyncio.Task[None] | None = None
        self._left: set[asyncio.Task[Any]] = set()  # operations that nobody waits for any more, on their way out

    @property
    def is_up(self) -> bool:
        """Whether the last that is known of the database is that it answers."""
        return self._reason is None

    async def run(self, name: str, work: Callable[[], Awaitable[T]], seconds: float | None = None) -> T:
        """What `work` returns, within so many seconds. Raises `StorageError`, at once while the database is away."""
        if self._reason is not None:
            raise DatabaseAwayError(self._reason)
        seconds = self._seconds if seconds is None else seconds
        loop = asyncio.get_running_loop()
        started = loop.time()
        task: asyncio.Task[T] = asyncio.ensure_future(_started(work))
        try:
            done, _ = await asyncio.wait([task], timeout=seconds)
        except asyncio.CancelledError:
            self._leave(task)
            raise
        finally:
            self._observe(name, loop.time() - started)
        if not done:
            self._leave(task)
            reason = f"the database did not answer within {seconds:g} s"
            self._lose(reason, hangs=True)
            raise DatabaseAwayError(reason)
        try:
            return task.result()
        except DatabaseAwayError as error:
            self._lose(str(error), hangs=False)
            raise

    async def close(self) -> None:
        """Give up whatever is still under way, and let it put its connection down; what hangs is left to itself."""
        under_way = {*self._left, *([] if self._probing is None else [self._probing])}
        for task in under_way:
            task.cancel()
        if under_way:
            await asyncio.wait(under_way, timeout=CLOSE_SECONDS)

    def _lose(self, reason: str, *, hangs: bool) -> None:
        if self._reason is None:
            self._reason = reason
            log.error("database away", reason=reason)
            self._probing = asyncio.create_task(self._until_it_answers(hangs=hangs))

    async def _until_it_answers(self, *, hangs: bool) -> None:
        if hangs:
            await self._renew()
        while True:
            task = asyncio.ensure_future(_started(self._probe))
            done, _ = await asyncio.wait([task], timeout=PROBE_SECONDS)
            if not done:
                self._leave(task)
                await self._renew()
            elif task.exception() is None:
                break
            else:
                self._reason = str(task.exception())
            await asyncio.sleep(self._pause_seconds)
        self._reason = None
        log.info("database back")

    def _leave(self, task: asyncio.Task[Any]) -> None:
        """Cancel a task and wait for it no longer: a hung connection takes its time to notice."""
        self._left.add(task)
        task.add_done_callback(self._gone)
        task.cancel()

    def _gone(self, task: asyncio.Task[Any]) -> None:
        self._left.discard(task)
        if not task.cancelled():
            task.exception()  # retrieved, or asyncio would log it


async def _started(work: Callable[[], Awaitable[T]]) -> T:
    return await work()


class HasDatabase(Protocol):
    """What has operations: a store."""

    @property
    def breaker(self) -> Breaker: ...


StoreT = TypeVar("StoreT", bound=HasDatabase)


def operation(
    method: Callable[Concatenate[StoreT, P], Coroutine[Any, Any, T]],
) -> Callable[Concatenate[StoreT, P], Coroutine[Any, Any, T]]:
    """A store's method as an operation of its breaker, under the method's name."""

    @wraps(method)
    async def bounded(store: StoreT, /, *arguments: P.args, **options: P.kwargs) -> T:
        return await store.breaker.run(method.__name__, lambda: method(store, *arguments, **options))

    return bounded
