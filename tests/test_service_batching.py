"""The batcher on a clock of its own: a `VirtualLoop` jumps to the next timer, and raises where nothing would ever
happen again, so a waiter that hangs is a failed test and not a slow one."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Hashable, Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any, ParamSpec, TypeVar

import pytest
from hypothesis import event, given, settings
from hypothesis import strategies as st

from service.batching import Batcher, BatchReport, ClosedError, ExpiredError, QueueFullError

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


def test_the_report_of_a_batch_tells_its_size_its_failures_and_its_times() -> None:
    reports: list[BatchReport] = []
    engine = Engine(seconds=[2.0], poisoned=frozenset({2}))

    async def main() -> None:
        queue = batcher(engine, observe=reports.append)
        first = submit(queue, [0])
        await settle()
        await asyncio.gather(*first, *submit(queue, range(1, 4)), return_exceptions=True)

    run(main)
    assert [(report.items, report.failed) for report in reports] == [(1, 0), (3, 1)]
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


@dataclass(frozen=True)
class Arrival:
    at: float
    turn: int
    shape: int
    patience: float | None  # until its deadline
    cancelled_after: float | None


@dataclass(frozen=True)
class Story:
    arrivals: list[Arrival]
    seconds: list[float]
    poisoned: frozenset[int]
    broken: frozenset[int]
    max_batch: int
    max_queue: int
    max_delay: float
    parallel: int
    closed_at: float | None


TICKS = st.integers(0, 40).map(lambda tick: tick / 4)
ARRIVALS = st.builds(
    Arrival,
    at=TICKS,
    turn=st.integers(0, 4),
    shape=st.sampled_from([0, 0, 0, 1, 2]),
    patience=st.none() | TICKS,
    cancelled_after=st.none() | st.none() | TICKS,
)
STORIES = st.builds(
    Story,
    arrivals=st.lists(ARRIVALS, min_size=1, max_size=60),
    seconds=st.lists(st.sampled_from([0.0, 0.25, 1.0, 3.0]), min_size=1, max_size=5),
    poisoned=st.frozensets(st.integers(0, 59), max_size=4),
    broken=st.frozensets(st.integers(0, 30), max_size=6),
    max_batch=st.integers(1, 9),
    max_queue=st.integers(1, 50),
    max_delay=st.sampled_from([0.0, 0.0, 0.3, 2.0]),
    parallel=st.sampled_from([1, 1, 2, 3]),
    closed_at=st.none() | st.none() | TICKS,
)


@given(STORIES)
@settings(max_examples=300, deadline=None)
def test_no_waiter_hangs_and_none_gets_anothers_answer(story: Story) -> None:
    """Whatever arrives, expires, is cancelled, poisons, breaks or closes: every waiter ends as it should, in time."""
    engine = Engine(seconds=story.seconds, poisoned=story.poisoned, broken=story.broken)
    ended: dict[int, tuple[str, float]] = {}
    reports: list[BatchReport] = []
    ran_at: dict[int, float] = {}

    async def ask(queue: Batcher[int, int], name: int, arrival: Arrival) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.sleep(arrival.at)
        deadline = {} if arrival.patience is None else {"deadline": arrival.at + arrival.patience}
        try:
            async with asyncio.timeout(arrival.cancelled_after):  # stands for the client that goes away
                answer = await queue.submit(name, turn=arrival.turn, shape=arrival.shape, **deadline)
            assert answer == name * 10
            ended[name] = ("answered", loop.time())
        except (ExpiredError, QueueFullError, ClosedError, Poison, TimeoutError, RuntimeError) as error:
            ended[name] = (type(error).__name__, loop.time())

    async def main() -> None:
        loop = asyncio.get_running_loop()

        def execute(items: Sequence[int]) -> list[int]:
            shapes = {story.arrivals[item].shape for item in items}
            assert len(shapes) == 1
            assert len(items) <= story.max_batch
            return engine(items)

        queue: Batcher[int, int] = Batcher(
            execute,
            engine,
            max_batch=story.max_batch,
            max_queue=story.max_queue,
            max_delay=story.max_delay,
            parallel=story.parallel,
            observe=reports.append,
        )
        original = engine.submit

        def submit_and_note(fn: Any, /, *args: Any, **kwargs: Any) -> Any:
            ran_at.update((item, loop.time()) for item in args[0])
            return original(fn, *args, **kwargs)

        engine.submit = submit_and_note  # type: ignore[method-assign]

        async def close() -> None:
            if story.closed_at is not None:
                await asyncio.sleep(story.closed_at)
                await queue.close()

        await asyncio.gather(close(), *(ask(queue, name, arrival) for name, arrival in enumerate(story.arrivals)))
        assert len(queue) == 0
        await queue.close()

    run(main)
    assert ended.keys() == set(range(len(story.arrivals)))
    for name, (outcome, at) in ended.items():
        event(outcome)
        arrival = story.arrivals[name]
        gone = min(
            arrival.at + (float("inf") if limit is None else limit)
            for limit in (arrival.patience, arrival.cancelled_after)
        )
        assert at <= gone, "a waiter was kept past its deadline, or past its client"
        if outcome == "answered":
            assert name not in story.poisoned
        if outcome == "Poison":
            assert name in story.poisoned
        if outcome == "RuntimeError":
            assert story.broken
        if name in ran_at:
            assert ran_at[name] <= gone, "an item ran that nobody waited for"
    assert sum(report.items for report in reports) == len(ran_at), "an item ran in two batches"


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
