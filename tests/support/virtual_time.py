"""The batcher on a clock of its own: a `VirtualLoop` jumps to the next timer, and raises where nothing would ever
happen again, so a waiter that hangs is a failed test and not a slow one."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Hashable, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

from clpips.service.batching.batcher import Batcher

T = TypeVar("T")
P = ParamSpec("P")


class NothingWillHappenError(AssertionError):
    """Somebody waits, no timer is set and nothing is ready: a hang."""


class _VirtualSelector(selectors.SelectSelector):
    """Advances the loop's clock instead of waiting."""

    now = 0.0

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            raise NothingWillHappenError
        self.now += timeout
        return []


class VirtualLoop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        self.virtual = _VirtualSelector()
        super().__init__(self.virtual)

    def time(self) -> float:
        return self.virtual.now

    def _write_to_self(self) -> None:
        """All happens in one thread: there is no other to be woken from."""


def run(main: Callable[[], Coroutine[Any, Any, T]]) -> T:
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(main())
    finally:
        loop.close()


class Poison(Exception):  # noqa: N818
    """What an item makes the engine raise."""


@dataclass
class Engine(Executor):
    """An engine thread in virtual time: batch n takes `seconds[n]` and runs at its end; results are item × 10."""

    seconds: Sequence[float] = (1.0,)
    poisoned: frozenset[int] = frozenset()
    broken: frozenset[int] = frozenset()  # calls (counted from 0) that fail whatever they hold
    calls: list[list[int]] = field(default_factory=list)
    started: list[tuple[float, int]] = field(default_factory=list)  # when each batch began, and its size
    batches: int = 0

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        loop = asyncio.get_running_loop()
        future: Future[T] = Future()
        future.set_running_or_notify_cancel()
        self.started.append((loop.time(), len(args[0])))  # type: ignore[arg-type]  # the batch
        duration = self.seconds[self.batches % len(self.seconds)]
        self.batches += 1

        def work() -> None:
            try:
                future.set_result(fn(*args, **kwargs))
            except BaseException as error:  # noqa: BLE001
                future.set_exception(error)

        loop.call_later(duration, work)
        return future

    def __call__(self, items: Sequence[int]) -> list[int]:
        call = len(self.calls)
        self.calls.append(list(items))
        if call in self.broken:
            raise RuntimeError("the engine broke")
        if bad := self.poisoned.intersection(items):
            raise Poison(sorted(bad))
        return [item * 10 for item in items]


def batcher(engine: Engine, max_batch: int = 4, max_queue: int = 1000, **options: Any) -> Batcher[int, int]:
    return Batcher(engine, engine, max_batch=max_batch, max_queue=max_queue, **options)


async def settle() -> None:
    """Let everything that is ready run, without the clock moving."""
    for _ in range(20):
        await asyncio.sleep(0)


def submit(
    queue: Batcher[int, int], items: Sequence[int], turn: Hashable = "a", **options: Any
) -> list[asyncio.Task[int]]:
    return [asyncio.create_task(queue.submit(item, turn=turn, **options)) for item in items]
