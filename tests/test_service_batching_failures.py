"""An item that gets no answer: too late, given up, poisonous, on an engine that broke or a batcher that closed."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import pytest

from clpips.service.batching.batch import BatchReport
from clpips.service.batching.batcher import Batcher
from clpips.service.batching.errors import ClosedError, ExpiredError
from tests.support.virtual_time import Engine, Poison, batcher, run, settle, submit


def test_an_item_whose_deadline_passes_in_the_queue_expires_on_time_and_never_runs() -> None:
    engine = Engine(seconds=[5.0])

    async def main() -> None:
        queue = batcher(engine)
        running = submit(queue, [1])
        await settle()
        with pytest.raises(ExpiredError):
            await queue.submit(2, turn="b", deadline=1.5)
        assert asyncio.get_running_loop().time() == 1.5
        assert len(queue) == 0
        await asyncio.gather(*running)

    run(main)
    assert engine.calls == [[1]]


def test_an_item_that_comes_after_its_deadline_is_refused() -> None:
    async def main() -> None:
        await asyncio.sleep(1)
        with pytest.raises(ExpiredError):
            await batcher(Engine()).submit(1, turn="a", deadline=0.5)

    run(main)


def test_a_cancelled_item_leaves_the_queue_and_never_runs() -> None:
    engine = Engine()

    async def main() -> None:
        queue = batcher(engine)
        (first,) = submit(queue, [1])
        await settle()
        gone, kept = submit(queue, [2, 3])
        await settle()
        gone.cancel()
        await asyncio.gather(first, gone, kept, return_exceptions=True)
        assert gone.cancelled()
        assert kept.result() == 30

    run(main)
    assert engine.calls == [[1], [3]]


def test_a_poisoned_item_fails_alone() -> None:
    engine = Engine(poisoned=frozenset({3}))

    async def main() -> None:
        outcomes = await asyncio.gather(*submit(batcher(engine, max_batch=8), range(9)), return_exceptions=True)
        assert [outcome for outcome in outcomes if isinstance(outcome, BaseException)] == [outcomes[3]]
        assert isinstance(outcomes[3], Poison)
        assert [outcome for index, outcome in enumerate(outcomes) if index != 3] == [0, 10, 20, 40, 50, 60, 70, 80]

    run(main)


def test_a_failed_batch_fails_all_its_waiters_and_the_next_one_runs() -> None:
    engine = Engine(broken=frozenset(range(1, 8)))  # the second batch, and the six halves and quarters of it

    async def main() -> None:
        queue = batcher(engine)
        first = submit(queue, [0])
        await settle()
        outcomes = await asyncio.gather(*first, *submit(queue, range(1, 6)), return_exceptions=True)
        assert [isinstance(outcome, RuntimeError) for outcome in outcomes] == [False, True, True, True, True, False]
        assert await queue.submit(8, turn="later") == 80

    run(main)


def test_an_engine_that_gives_too_few_results_fails_its_items_instead_of_leaving_them_waiting() -> None:
    engine = Engine()

    async def main() -> None:
        queue: Batcher[int, int] = Batcher(lambda _: [], engine, max_batch=4, max_queue=9)
        with pytest.raises(RuntimeError, match="0 results for 1 items"):
            await queue.submit(1, turn="a")

    run(main)


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(3), StopIteration(), asyncio.CancelledError()])
def test_whatever_stops_the_engine_reaches_the_waiter_as_an_ordinary_error(error: BaseException) -> None:
    def stop(items: Sequence[int]) -> list[int]:
        raise error

    async def main() -> None:
        queue: Batcher[int, int] = Batcher(stop, Engine(), max_batch=4, max_queue=9)
        with pytest.raises((RuntimeError, StopIteration)):
            await queue.submit(1, turn="a")

    run(main)


def test_the_engines_own_timeout_error_is_not_taken_for_the_deadline() -> None:
    def slow(items: Sequence[int]) -> list[int]:
        raise TimeoutError("the device did not answer")

    async def main() -> None:
        queue: Batcher[int, int] = Batcher(slow, Engine(), max_batch=4, max_queue=9)
        with pytest.raises(TimeoutError, match="the device did not answer"):
            await queue.submit(1, turn="a", deadline=50)

    run(main)


def test_items_after_the_executor_was_shut_down_fail() -> None:
    async def main() -> None:
        executor = ThreadPoolExecutor(1)
        executor.shutdown()
        queue: Batcher[int, int] = Batcher(list, executor, max_batch=2, max_queue=9999)
        outcomes = await asyncio.gather(*submit(queue, range(5000)), return_exceptions=True)
        assert all(isinstance(outcome, RuntimeError) for outcome in outcomes)

    asyncio.run(main())


def test_close_fails_what_waits_lets_the_running_batch_end_and_refuses_what_comes() -> None:
    engine = Engine()

    async def main() -> None:
        queue = batcher(engine, max_batch=1)
        tasks = submit(queue, range(3))
        await settle()
        await queue.close()
        outcomes = await asyncio.gather(*tasks, return_exceptions=True)
        assert outcomes[0] == 0
        assert all(isinstance(outcome, ClosedError) for outcome in outcomes[1:])
        with pytest.raises(ClosedError):
            await queue.submit(4, turn="a")
        await queue.close()

    run(main)
    assert engine.calls == [[0]]


def test_a_batch_that_stood_in_the_executors_own_queue_runs_without_those_who_have_gone_meanwhile() -> None:
    engine = Engine()  # it does all its work at a batch's end: until then the batch might as well have stood there
    reports: list[BatchReport] = []

    async def main() -> None:
        queue = batcher(engine, observe=reports.append)
        gone, late, stays = (
            *submit(queue, [1]),
            *submit(queue, [2], deadline=0.5),
            *submit(queue, [3]),
        )
        await asyncio.sleep(0.25)
        gone.cancel()
        assert isinstance((await asyncio.gather(late, return_exceptions=True))[0], ExpiredError)
        assert await stays == 30
        await asyncio.gather(*submit(queue, [4], deadline=1.5), return_exceptions=True)

    run(main)
    assert engine.calls == [[3]]
    assert [report.items for report in reports] == [1]
