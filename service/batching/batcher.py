"""The dynamic batcher: many waiting requests, one engine, the fullest batch that costs nobody any waiting.

Generic: it knows items, not images. An idle engine gets what there is at once; while it is busy the queue fills, and
the next batch takes one item of each waiting request in turn, so that a large request does not make a small one wait
for all of it. Only items of one shape share a batch. An item that nobody waits for any more never runs.

Everything but the batch itself happens on the event loop: no locks.
"""

import asyncio
import math
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import Final, Generic

from clpips.service.batching.turns import Entry, ItemT, ResultT, Turns

COURTESY_TURNS: Final = 10  # of the event loop: from an item's result to what its request submits next
COURTESY_SECONDS: Final = 0.002  # that they may take, where the loop is busy with others
COURTESY_FROM_SECONDS: Final = 0.01  # of a batch: below it those turns are no longer small beside it


class BatcherError(RuntimeError):
    """An item that was not run; the subclass says why."""


class QueueFullError(BatcherError):
    """As many items wait as may; come back later."""


class ExpiredError(BatcherError):
    """The deadline passed before the item's result was there."""


class ClosedError(BatcherError):
    """The batcher takes no more items."""


@dataclass(frozen=True)
class BatchReport:
    """What one batch did; times in seconds."""

    items: int  # that ran
    failed: int  # 0 when all is well; equal to `items` when the engine itself has failed
    waited: tuple[float, ...]  # each item's time in the queue
    ran: float  # time in the engine, retries included


_Outcomes = tuple[dict[Entry[ItemT, ResultT], ResultT | BaseException], float, float]
"""What came of each entry that ran, and the times at which the batch started and ended."""


class Batcher(Generic[ItemT, ResultT]):
    """Runs `run(items) -> results` on `executor`, `parallel` batches at a time, for any number of waiting requests.

    `run` gets 1 to `max_batch` items of one shape and returns as many results in the same order. When it raises, the
    batch is halved and tried again down to single items, so that a poisoned item fails alone.

    `max_queue` bounds the items that wait. `max_delay` (seconds) lets an idle engine wait for a fuller batch; 0 runs
    at once. `observe` is called on the event loop after each batch.

    `gives_way`: after a batch of 10 ms or more, requests that have nothing left in the queue get a moment before the
    next one starts. What they then submit to another batcher on the same executor, the small last step to their answer,
    runs first.
    """

    def __init__(
        self,
        run: Callable[[Sequence[ItemT]], Sequence[ResultT]],
        executor: Executor,
        *,
        max_batch: int,
        max_queue: int,
        max_delay: float = 0.0,
        parallel: int = 1,
        gives_way: bool = False,
        observe: Callable[[BatchReport], None] | None = None,
    ) -> None:
        if min(max_batch, max_queue, parallel) < 1 or max_delay < 0:
            raise ValueError(
                f"max_batch={max_batch}, max_queue={max_queue} and parallel={parallel} must be 1 or more, "
                f"max_delay={max_delay} 0 or more"
            )
        self._run = run
        self._executor = executor
        self._max_batch = max_batch
        self._max_queue = max_queue
        self._max_delay = max_delay
        self._parallel = parallel
        self._gives_way = gives_way
        self._observe = observe
        self._turns: Turns[ItemT, ResultT] = Turns()
        self._running: set[asyncio.Future[_Outcomes[ItemT, ResultT]]] = set()
        self._awake = False
        self._delayed: asyncio.TimerHandle | None = None
        self._closed = False

    def __len__(self) -> int:
        """Items that wait and are not in the running batch."""
        return len(self._turns)

    async def submit(
        self, item: ItemT, *, turn: Hashable, deadline: float = math.inf, shape: Hashable = None
    ) -> ResultT:
        """The item's result, once a batch has had room for it.

        `turn` names the request that the item belongs to: requests are served in turn. `deadline` is a time of the
        event loop's clock. Cancelling the call, or its deadline, takes a waiting item out of the queue.

        Raises `QueueFullError` at once, `ExpiredError` at the deadline, `ClosedError` when the batcher closes first, or
        whatever `run` raised for this item alone.
        """
        loop = asyncio.get_running_loop()
        if self._closed:
            raise ClosedError("the batcher is closed")
        if len(self._turns) >= self._max_queue:
            raise QueueFullError(f"{len(self._turns)} items wait, the limit is {self._max_queue}")
        now = loop.time()
        if now >= deadline:
            raise ExpiredError("the deadline had passed before the item came")
        entry: Entry[ItemT, ResultT] = Entry(item, turn, shape, deadline, now, loop.create_future())
        self._turns.add(entry)
        if not self._awake:  # after all that come in this turn of the loop: they share the batch
            self._awake = True
            loop.call_soon(self._dispatch)
        try:
            async with asyncio.timeout_at(None if deadline == math.inf else deadline) as limit:
                return await entry.result
        except TimeoutError:
            if not limit.expired():
                raise  # the engine's own
            raise ExpiredError("the deadline passed before the item's result was there") from None
        finally:
            self._turns.withdraw(entry)
            if not entry.result.cancel() and not entry.result.cancelled():
                entry.result.exception()  # seen: asyncio need not log it where nobody waits any more

    async def close(self) -> None:
        """Fail what waits with `ClosedError`, and let the running batches end. Idempotent."""
        self._closed = True
        if self._delayed:
            self._delayed.cancel()
            self._delayed = None
        for entry in self._turns:
            _settle(entry, ClosedError("the batcher was closed before the item ran"))
        self._turns.clear()
        if self._running:
            await asyncio.wait(self._running)

    def _dispatch(self) -> None:
        """Start the batches that there is room for, unless none is due yet."""
        self._awake = False
        loop = asyncio.get_running_loop()
        while self._turns and len(self._running) < self._parallel:
            if self._max_delay and len(self._turns) < self._max_batch:
                due = self._turns.oldest_arrival() + self._max_delay
                if loop.time() < due:
                    if self._delayed is None:
                        self._delayed = loop.call_at(due, self._delay_over)
                    return
            batch, expired = self._turns.take(self._max_batch, loop.time())
            for entry in expired:
                _settle(entry, ExpiredError("the deadline passed while the item waited"))
            if batch:
                self._start(batch)

    def _give_way(self, turns: int, until: float) -> None:
        """Dispatch after so many turns of the event loop, or at that time, and not before, whatever comes meanwhile."""
        loop = asyncio.get_running_loop()
        if not turns or loop.time() > until:
            self._dispatch()
            return
        self._awake = True
        loop.call_soon(self._give_way, turns - 1, until)

    def _delay_over(self) -> None:
        self._delayed = None
        self._dispatch()

    def _start(self, batch: list[Entry[ItemT, ResultT]]) -> None:
        loop = asyncio.get_running_loop()
        try:
            running = loop.run_in_executor(self._executor, self._timed, batch, loop.time)
        except RuntimeError as error:  # the executor is shut down: to those who wait it is a batch that failed
            running = loop.create_future()
            running.set_exception(error)
        self._running.add(running)
        running.add_done_callback(lambda ended: self._finish(batch, ended))

    def _timed(self, batch: list[Entry[ItemT, ResultT]], clock: Callable[[], float]) -> "_Outcomes[ItemT, ResultT]":
        """Run those whom somebody waits for: the batch may have stood in the executor's own queue."""
        started = clock()
        alive = [entry for entry in batch if entry.deadline > started and not entry.result.done()]
        outcomes = self._isolate([entry.item for entry in alive]) if alive else []
        return dict(zip(alive, outcomes, strict=True)), started, clock()

    def _isolate(self, items: list[ItemT]) -> list[ResultT | BaseException]:
        """Each item's result, or what it raised when it ran alone."""
        try:
            results = list(self._run(items))
            if len(results) != len(items):
                raise RuntimeError(f"the engine gave {len(results)} results for {len(items)} items")  # noqa: TRY301
        except Exception as error:  # noqa: BLE001  handed to the waiter
            if len(items) == 1:
                return [error]
            half = len(items) // 2
            return self._isolate(items[:half]) + self._isolate(items[half:])
        return [*results]

    def _finish(self, batch: list[Entry[ItemT, ResultT]], running: "asyncio.Future[_Outcomes[ItemT, ResultT]]") -> None:
        self._running.discard(running)
        outcomes: dict[Entry[ItemT, ResultT], ResultT | BaseException]
        try:
            outcomes, started, ended = running.result()
        except BaseException as error:  # noqa: BLE001  whatever it is, those who wait must hear of it
            outcomes = dict.fromkeys(batch, error)
            started = ended = asyncio.get_running_loop().time()
        for entry in batch:
            _settle(entry, outcomes[entry] if entry in outcomes else ExpiredError("the deadline passed before it ran"))
        is_long = ended - started >= COURTESY_FROM_SECONDS
        if self._gives_way and is_long and not all(self._turns.has(entry.turn) for entry in batch):
            self._give_way(COURTESY_TURNS, asyncio.get_running_loop().time() + COURTESY_SECONDS)
        else:
            self._dispatch()
        if self._observe and outcomes:
            failed = sum(isinstance(outcome, BaseException) for outcome in outcomes.values())
            waited = tuple(started - entry.arrived for entry in outcomes)
            self._observe(BatchReport(len(outcomes), failed, waited, ended - started))


def _settle(entry: Entry[ItemT, ResultT], outcome: ResultT | BaseException) -> None:
    """Wake the waiter, unless it has gone."""
    if entry.result.done():
        return
    if not isinstance(outcome, BaseException):
        entry.result.set_result(outcome)
    elif isinstance(outcome, Exception) and not isinstance(outcome, StopIteration):
        entry.result.set_exception(outcome)
    else:  # a future takes no StopIteration, and a waiter must not be stopped by what stopped the engine
        entry.result.set_exception(RuntimeError(f"the engine was stopped by {outcome!r}"))
