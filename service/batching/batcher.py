"""Dynamic batching: items of many requests wait in a round-robin queue and share the batches of one engine.

The batcher is generic: it knows items, not images. An idle engine gets whatever waits, at once. While the engine is
busy the queue fills, and the next batch takes items of the waiting keys in turn, and of each key's requests in turn, so
that a large request does not make a small one wait for all of it. Only items of one shape share a batch. An item that
nobody waits for any more never runs.

Everything except the batch itself happens on the event loop, so there are no locks.
"""

import asyncio
import math
from collections.abc import Callable, Hashable, Sequence
from concurrent.futures import Executor
from contextlib import AbstractContextManager, nullcontext
from typing import Final, Generic

from clpips.service.batching.batch import BatchReport, Judge, Outcomes, run_batch, settle
from clpips.service.batching.errors import ClosedError, ExpiredError, QueueFullError
from clpips.service.batching.turns import Claims, Entry, ItemT, Place, ResultT, Turns

YIELD_TURNS: Final = 10
"""Turns of the event loop within which a request that has its last result submits what it does next."""
YIELD_AFTER_SECONDS: Final = 0.01
"""The shortest batch after which the batcher yields; beside a shorter one the turns would cost too much."""


class Batcher(Generic[ItemT, ResultT]):
    """Runs `run(items) -> results` on `executor`, `parallel` batches at a time, for any number of waiting requests.

    `run` gets 1 to `max_batch` items of one shape and returns as many results in the same order. When it raises, the
    batch is halved and tried again down to single items, so that a poisoned item fails alone.

    `max_queue` bounds the items that wait. `max_delay` (seconds) lets an idle engine wait for a fuller batch; 0 runs
    at once. `observe` is called on the event loop after each batch, `waited` in each call whose item has run, with
    the times at which the item came and its batch began. A batch runs inside a context of `watched`, in the
    executor's thread; what failed there is shown to `judge`, which says what the waiters get.

    `place` says where a request stands: its key, and whether it is bulk, which yields to what is not. A batch costs at
    most `max_cost`, or is one item that costs more. An item that costs `heavy_cost` or more is heavy: one such batch
    runs at a time, so that light ones find an executor's thread beside it.

    `yield_seconds` is for a batcher whose executor runs another batcher's items too. After a batch of 10 ms or more
    that gave some request its last result here, the batcher yields the event loop for 10 turns, or for so many seconds
    if those turns take longer, before it starts its next batch. In that time the request submits its next item to the
    other batcher, and the executor runs that item first. 0 starts the next batch at once.
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
        yield_seconds: float = 0.0,
        observe: Callable[[BatchReport], None] | None = None,
        waited: Callable[[float, float], None] | None = None,
        watched: Callable[[], AbstractContextManager[None]] = nullcontext,
        judge: Judge[ItemT] | None = None,
        place: Callable[[Hashable], Place] = lambda _: Place(),
        max_cost: float = math.inf,
        heavy_cost: float = math.inf,
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
        self._yield_seconds = yield_seconds
        self._observe = observe
        self._waited = waited
        self._watched = watched
        self._judge = judge
        self._max_cost = max_cost
        self._heavy_cost = heavy_cost
        self._heavy_runs = False
        self._turns: Turns[ItemT, ResultT] = Turns(place)
        self._running: set[asyncio.Future[Outcomes[ItemT, ResultT]]] = set()
        self._awake = False
        self._delayed: asyncio.TimerHandle | None = None
        self._closed = False

    def __len__(self) -> int:
        """Items that wait; those of a running batch do not."""
        return len(self._turns)

    async def submit(
        self,
        item: ItemT,
        *,
        turn: Hashable | Claims,
        deadline: float = math.inf,
        shape: Hashable = None,
        cost: float = 1.0,
    ) -> ResultT:
        """The item's result, once a batch has had room for it.

        `turn` names the request that the item belongs to, or all those that wait for it: requests are served in turn.
        `deadline` is a time of the event loop's clock. Cancelling the call, or its deadline, takes a waiting item out
        of the queue.

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
        claims = turn if isinstance(turn, Claims) else Claims(turn)
        entry: Entry[ItemT, ResultT] = Entry(item, claims, shape, deadline, now, loop.create_future(), cost)
        self._turns.add(entry)
        if not self._awake:  # one dispatch, after this turn of the loop: whatever else it submits shares the batch
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
            if self._waited is not None and entry.started is not None:
                self._waited(entry.arrived, entry.started)
            if not entry.result.cancel() and not entry.result.cancelled():
                entry.result.exception()  # retrieved, or asyncio would log it where nobody waits any more

    async def close(self) -> None:
        """Fail what waits with `ClosedError`, and let the running batches end. Idempotent."""
        self._closed = True
        if self._delayed:
            self._delayed.cancel()
            self._delayed = None
        for entry in self._turns:
            settle(entry, ClosedError("the batcher was closed before the item ran"))
        self._turns.clear()
        if self._running:
            await asyncio.wait(self._running)

    def _dispatch(self) -> None:
        """Start as many batches as may run at once, unless an idle engine is to wait for a fuller one."""
        self._awake = False
        loop = asyncio.get_running_loop()
        while self._turns and len(self._running) < self._parallel:
            if self._max_delay and len(self._turns) < self._max_batch:
                due = self._turns.oldest_arrival() + self._max_delay
                if loop.time() < due:
                    if self._delayed is None:
                        self._delayed = loop.call_at(due, self._delay_over)
                    return
            batch, expired = self._turns.take(
                self._max_batch, loop.time(), most_cost=self._max_cost, fits=self._may_run
            )
            for entry in expired:
                settle(entry, ExpiredError("the deadline passed while the item waited"))
            if batch:
                self._start(batch)
            elif not expired:
                return  # what waits is heavy, and something heavy runs

    def _may_run(self, entry: Entry[ItemT, ResultT]) -> bool:
        return entry.cost < self._heavy_cost or not self._heavy_runs

    def _yield(self, turns: int, until: float) -> None:
        """Dispatch after so many turns of the event loop, or at that time if it comes first.

        Items that are submitted meanwhile start no batch before that.
        """
        loop = asyncio.get_running_loop()
        if not turns or loop.time() > until:
            self._dispatch()
            return
        self._awake = True
        loop.call_soon(self._yield, turns - 1, until)

    def _delay_over(self) -> None:
        self._delayed = None
        self._dispatch()

    def _start(self, batch: list[Entry[ItemT, ResultT]]) -> None:
        loop = asyncio.get_running_loop()
        try:
            running = loop.run_in_executor(
                self._executor, run_batch, batch, self._run, loop.time, self._watched, self._judge
            )
        except RuntimeError as error:  # the executor is shut down: for the waiters the batch has failed
            running = loop.create_future()
            running.set_exception(error)
        self._running.add(running)
        self._heavy_runs |= batch[0].cost >= self._heavy_cost
        running.add_done_callback(lambda ended: self._finish(batch, ended))

    def _finish(self, batch: list[Entry[ItemT, ResultT]], running: asyncio.Future[Outcomes[ItemT, ResultT]]) -> None:
        self._running.discard(running)
        if batch[0].cost >= self._heavy_cost:
            self._heavy_runs = False
        outcomes: dict[Entry[ItemT, ResultT], ResultT | BaseException]
        try:
            outcomes, started, ended = running.result()
        except BaseException as error:  # noqa: BLE001  whatever it is, the waiters must get an answer
            outcomes = dict.fromkeys(batch, error)
            started = ended = asyncio.get_running_loop().time()
        for entry in batch:
            if entry in outcomes:
                entry.started = started
            settle(entry, outcomes[entry] if entry in outcomes else ExpiredError("the deadline passed before it ran"))
        is_long = ended - started >= YIELD_AFTER_SECONDS
        if (
            self._yield_seconds
            and is_long
            and not all(self._turns.has(turn) for entry in batch for turn in entry.turns)
        ):
            self._yield(YIELD_TURNS, asyncio.get_running_loop().time() + self._yield_seconds)
        else:
            self._dispatch()
        if self._observe and outcomes:
            errors = tuple(outcome for outcome in outcomes.values() if isinstance(outcome, BaseException))
            waited = tuple(started - entry.arrived for entry in outcomes)
            self._observe(BatchReport(len(outcomes), errors, waited, ended - started))
