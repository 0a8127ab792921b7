"""When a batch starts and what it holds: full ones, shared fairly, and no more waiting than may."""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clpips.service.batching.batch import BatchReport
from clpips.service.batching.batcher import Batcher
from clpips.service.batching.errors import QueueFullError
from tests.support.virtual_time import Engine, batcher, run, settle, submit


def test_an_idle_engine_gets_a_single_item_at_once() -> None:
    engine = Engine()

    async def main() -> None:
        assert await batcher(engine).submit(7, turn="a") == 70
        assert engine.started == [(0.0, 1)]
        assert asyncio.get_running_loop().time() == 1.0

    run(main)


def test_a_busy_engine_lets_the_next_batch_fill_up_to_max_batch() -> None:
    engine = Engine()

    async def main() -> None:
        queue = batcher(engine)
        first = submit(queue, [0])
        await settle()
        rest = submit(queue, range(1, 10))
        assert await asyncio.gather(*first, *rest) == [item * 10 for item in range(10)]

    run(main)
    assert engine.calls == [[0], [1, 2, 3, 4], [5, 6, 7, 8], [9]]


def test_items_that_come_together_share_the_first_batch() -> None:
    engine = Engine()

    async def main() -> None:
        await asyncio.gather(*submit(batcher(engine), range(4)))

    run(main)
    assert engine.calls == [[0, 1, 2, 3]]


def test_max_delay_holds_an_idle_engine_for_a_fuller_batch_but_no_longer() -> None:
    engine = Engine()

    async def main() -> None:
        queue = batcher(engine, max_delay=0.5)
        early = submit(queue, [1])
        await asyncio.sleep(0.25)
        await asyncio.gather(*early, *submit(queue, [2]))

    run(main)
    assert engine.started == [(0.5, 2)]


def test_max_delay_does_not_hold_a_full_batch() -> None:
    engine = Engine()

    async def main() -> None:
        await asyncio.gather(*submit(batcher(engine, max_delay=0.5), range(4)))

    run(main)
    assert engine.started == [(0.0, 4)]


def test_as_many_batches_run_at_once_as_may() -> None:
    engine = Engine()

    async def main() -> None:
        await asyncio.gather(*submit(batcher(engine, max_batch=1, parallel=3), range(7)))

    run(main)
    assert [at for at, _ in engine.started] == [0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 2.0]


def test_a_single_item_does_not_wait_for_all_of_a_large_request() -> None:
    engine = Engine()

    async def main() -> None:
        queue = batcher(engine)
        large = submit(queue, range(200), turn="large")
        await settle()
        single = submit(queue, [999], turn="single")
        await asyncio.gather(*single)
        assert asyncio.get_running_loop().time() == 2.0  # the batch that ran when it came, and the next
        await asyncio.gather(*large)

    run(main)


def test_waiting_requests_share_each_batch_equally() -> None:
    engine = Engine()

    async def main() -> None:
        queue = batcher(engine)
        tasks = [task for turn in range(3) for task in submit(queue, range(turn * 100, turn * 100 + 8), turn=turn)]
        await asyncio.gather(*tasks)

    run(main)
    for batch in engine.calls[1:6]:
        shares = [sum(item // 100 == turn for item in batch) for turn in range(3)]
        assert max(shares) - min(shares) <= 1


def test_items_of_different_shapes_never_share_a_batch() -> None:
    engine = Engine()

    async def main() -> None:
        queue = batcher(engine)
        tall, wide = submit(queue, range(6), shape="tall"), submit(queue, range(100, 106), shape="wide")
        await asyncio.gather(*tall, *wide)

    run(main)
    assert all(len({item >= 100 for item in batch}) == 1 for batch in engine.calls)


def test_a_request_of_many_shapes_does_not_make_a_single_item_wait_for_all_of_them() -> None:
    engine = Engine()

    async def main() -> None:
        queue = batcher(engine)
        many = [task for shape in range(50) for task in submit(queue, [shape], turn="many", shape=shape)]
        await settle()
        await asyncio.gather(*submit(queue, [999], turn="single", shape="other"))
        assert asyncio.get_running_loop().time() <= 3.0
        await asyncio.gather(*many)

    run(main)


def test_a_full_queue_refuses_at_once_and_keeps_what_it_holds() -> None:
    engine = Engine()

    async def main() -> None:
        queue = batcher(engine, max_batch=1, max_queue=3)
        kept = submit(queue, [0])  # it runs
        await settle()
        kept += submit(queue, [1, 2, 3])  # they wait
        await settle()
        with pytest.raises(QueueFullError, match="the limit is 3"):
            await queue.submit(9, turn="b")
        assert asyncio.get_running_loop().time() == 0.0
        assert await asyncio.gather(*kept) == [0, 10, 20, 30]

    run(main)


def test_the_report_of_a_batch_tells_its_size_its_failures_and_its_times() -> None:
    reports: list[BatchReport] = []
    engine = Engine(seconds=[2.0], poisoned=frozenset({2}))

    async def main() -> None:
        queue = batcher(engine, observe=reports.append)
        first = submit(queue, [0])
        await settle()
        await asyncio.gather(*first, *submit(queue, range(1, 4)), return_exceptions=True)

    run(main)
    assert [(report.items, len(report.errors)) for report in reports] == [(1, 0), (3, 1)]
    assert reports[1].waited == pytest.approx(
        (4.0, 4.0, 4.0)
    )  # the virtual engine does all its work at the batch's end


@pytest.mark.parametrize("options", [{"max_batch": 0}, {"max_queue": 0}, {"max_delay": -1.0}, {"parallel": 0}])
def test_limits_that_make_no_sense_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="or more"):
        batcher(Engine(), **options)


async def test_a_real_thread_serves_a_thousand_items_in_order() -> None:
    with ThreadPoolExecutor(1) as executor:
        queue: Batcher[int, int] = Batcher(
            lambda items: [item + 1 for item in items], executor, max_batch=16, max_queue=1000
        )
        assert await asyncio.gather(*submit(queue, range(1000))) == list(range(1, 1001))
        await queue.close()


@given(
    sizes=st.lists(st.integers(1, 60), min_size=1, max_size=6),
    max_batch=st.integers(1, 16),
)
@settings(max_examples=100, deadline=None)
def test_a_newcomers_wait_is_bounded_by_the_number_of_requests_and_not_by_their_size(
    sizes: list[int], max_batch: int
) -> None:
    engine = Engine()

    async def main() -> None:
        queue = batcher(engine, max_batch=max_batch)
        tasks = [task for turn, size in enumerate(sizes) for task in submit(queue, range(size), turn=turn)]
        await settle()
        await queue.submit(0, turn="newcomer")
        batches = -(-(len(sizes) + 1) // max_batch)
        assert asyncio.get_running_loop().time() <= 1 + batches
        await asyncio.gather(*tasks)

    run(main)
