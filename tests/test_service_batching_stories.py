"""Everything at once: stories of arrivals, deadlines, failures and closings that no one would think of."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

from hypothesis import event, given, settings
from hypothesis import strategies as st

from clpips.service.batching.batch import BatchReport
from clpips.service.batching.batcher import Batcher
from clpips.service.batching.errors import ClosedError, ExpiredError, QueueFullError
from tests.support.virtual_time import Engine, Poison, run


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
            for item in items:
                ran_at.setdefault(item, loop.time())
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
