"""Running one batch: bisection isolates the items that fail, and each waiter gets its own item's result or error."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass

from clpips.service.batching.turns import Entry, ItemT, ResultT

Outcomes = tuple[dict[Entry[ItemT, ResultT], ResultT | BaseException], float, float]
"""The result or error of each entry that ran, and the times at which the batch started and ended."""


Judge = Callable[[Sequence[ItemT], Sequence[BaseException], bool], Sequence[BaseException]]
"""Says what each waiter of the items that failed is to get: from these items, what each raised, and whether others of
the batch succeeded. It is called in the thread that ran the batch, where it can try whether the engine is at fault."""


@dataclass(frozen=True)
class BatchReport:
    """What one batch did; times in seconds."""

    items: int  # that ran
    errors: tuple[BaseException, ...]  # of those that failed, as their waiters got them
    waited: tuple[float, ...]  # each item's time in the queue
    ran: float  # time in the engine, retries included


def run_batch(
    batch: Sequence[Entry[ItemT, ResultT]],
    run: Callable[[Sequence[ItemT]], Sequence[ResultT]],
    clock: Callable[[], float],
    watched: Callable[[], AbstractContextManager[None]],
    judge: Judge[ItemT] | None,
) -> Outcomes[ItemT, ResultT]:
    """Run the entries that somebody still waits for, in the calling thread, inside a context of `watched`.

    The batch may have stood in the executor's own queue for a while. Entries whose deadline passed there, or whose
    waiter has gone, are left out of the outcomes.
    """
    with watched():
        started = clock()
        alive = [entry for entry in batch if entry.deadline > started and not entry.result.done()]
        outcomes = _bisect([entry.item for entry in alive], run) if alive else []
        failed = [number for number, outcome in enumerate(outcomes) if isinstance(outcome, BaseException)]
        if failed and judge is not None:
            items = [alive[number].item for number in failed]
            raised = [outcome for outcome in outcomes if isinstance(outcome, BaseException)]
            for number, verdict in zip(failed, judge(items, raised, len(failed) < len(alive)), strict=True):
                outcomes[number] = verdict
        return dict(zip(alive, outcomes, strict=True)), started, clock()


def settle(entry: Entry[ItemT, ResultT], outcome: ResultT | BaseException) -> None:
    """Give the waiter its outcome, unless it has gone. Belongs on the event loop.

    An error that is no ordinary `Exception`, such as `KeyboardInterrupt`, would stop the waiter's own task, and a
    future refuses `StopIteration`; both reach the waiter inside a `RuntimeError`.
    """
    if entry.result.done():
        return
    if not isinstance(outcome, BaseException):
        entry.result.set_result(outcome)
    elif isinstance(outcome, Exception) and not isinstance(outcome, StopIteration):
        entry.result.set_exception(outcome)
    else:
        entry.result.set_exception(RuntimeError(f"the engine was stopped by {outcome!r}"))


def _bisect(
    items: Sequence[ItemT], run: Callable[[Sequence[ItemT]], Sequence[ResultT]]
) -> list[ResultT | BaseException]:
    """Each item's result, or what `run` raised for that item alone: a batch that fails is halved and run again."""
    try:
        results = list(run(items))
        if len(results) != len(items):
            raise RuntimeError(f"the engine gave {len(results)} results for {len(items)} items")  # noqa: TRY301
    except Exception as error:  # noqa: BLE001  handed to the waiter
        if len(items) == 1:
            return [error]
        half = len(items) // 2
        return _bisect(items[:half], run) + _bisect(items[half:], run)
    return [*results]
