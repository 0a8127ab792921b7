"""Whose turn it is: keys in turn, then their requests. Who joins an item brings it along, and bulk yields."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from clpips.service.batching.batcher import Batcher
from clpips.service.batching.turns import BULK_EVERY, Claims, Place
from tests.support.virtual_time import Engine, batcher, run, settle, submit


class Request(NamedTuple):
    """A request, by its name, and where it stands."""

    name: str
    place: Place


def place(turn: object) -> Place:
    return turn.place if isinstance(turn, Request) else Place()


def of(name: str, key: str, *, bulk: bool = False) -> Request:
    return Request(name, Place(key, bulk))


def order_of(queue: Batcher[int, int], engine: Engine, asked: Sequence[tuple[Request, Sequence[int]]]) -> list[int]:
    """The order in which the items are served that come while the engine is busy."""

    async def main() -> None:
        tasks = submit(queue, [0])
        await settle()
        for request, items in asked:
            tasks += submit(queue, items, turn=request)
        await asyncio.gather(*tasks)

    run(main)
    return [item for call in engine.calls[1:] for item in call]


def test_a_key_with_many_requests_has_no_more_turns_than_one_with_a_single_one() -> None:
    engine = Engine()
    many = [(of(f"m{number}", "many"), [10 + number, 20 + number]) for number in range(3)]
    served = order_of(batcher(engine, max_batch=1, place=place), engine, [*many, (of("one", "one"), [1, 2, 3])])
    assert served == [10, 1, 11, 2, 12, 3, 20, 21, 22]


def test_the_requests_of_one_key_take_turns() -> None:
    engine = Engine()
    asked = [(of("a", "key"), [10, 11, 12]), (of("b", "key"), [20, 21])]
    assert order_of(batcher(engine, max_batch=1, place=place), engine, asked) == [10, 20, 11, 21, 12]


def test_a_batch_takes_from_all_keys_in_turn() -> None:
    engine = Engine()
    asked = [(of("a", "x"), [10, 11, 12, 13]), (of("b", "y"), [20]), (of("c", "y"), [30])]
    order_of(batcher(engine, max_batch=4, place=place), engine, asked)
    assert engine.calls[1] == [10, 20, 11, 30]


def test_bulk_waits_until_nothing_else_does_but_for_one_batch_in_many() -> None:
    engine = Engine()
    asked = [(of("b", "x", bulk=True), [1000, 1001, 1002]), (of("i", "y"), range(1, 2 * BULK_EVERY))]
    served = order_of(batcher(engine, max_batch=1, place=place), engine, asked)
    assert [served.index(item) for item in (1000, 1001, 1002)] == [
        BULK_EVERY - 1,
        2 * BULK_EVERY - 1,
        2 * BULK_EVERY + 1,
    ]


def test_who_joins_an_item_brings_it_to_their_own_turn() -> None:
    engine = Engine()

    async def main() -> None:
        queue = batcher(engine, max_batch=1, place=place)
        tasks = submit(queue, [0])
        await settle()
        large, small = of("large", "x"), of("small", "y")
        tasks += submit(queue, range(1, 50), turn=large)
        shared = Claims(large)
        tasks.append(asyncio.create_task(queue.submit(99, turn=shared)))  # the last of the large request
        await settle()
        shared.join(small)
        await asyncio.gather(*tasks)

    run(main)
    assert [call[0] for call in engine.calls[:3]] == [0, 1, 99]


def test_who_leaves_takes_their_turn_along_and_who_comes_back_has_one_again() -> None:
    engine = Engine()

    async def main() -> None:
        queue = batcher(engine, max_batch=1, place=place)
        tasks = submit(queue, [0])
        await settle()
        large, small = of("large", "x"), of("small", "y")
        tasks += submit(queue, range(1, 6), turn=large)
        shared = Claims(large)
        tasks.append(asyncio.create_task(queue.submit(99, turn=shared)))
        await settle()
        shared.join(small)
        shared.leave(small)
        await asyncio.sleep(2.5)
        shared.join(small)
        await asyncio.gather(*tasks)

    run(main)
    assert [call[0] for call in engine.calls] == [0, 1, 2, 3, 99, 4, 5]  # 3 runs already when they come back


def test_one_heavy_batch_runs_at_a_time_and_light_ones_beside_it() -> None:
    engine = Engine(seconds=(10.0, 1.0, 1.0, 1.0, 10.0))

    async def main() -> None:
        queue = batcher(engine, max_batch=1, parallel=2, heavy_cost=32.0)
        tasks = [asyncio.create_task(queue.submit(item, turn=item, cost=64.0, shape="large")) for item in (1, 2)]
        await settle()
        tasks += [asyncio.create_task(queue.submit(item, turn=item)) for item in (10, 20, 30)]
        await asyncio.gather(*tasks)

    run(main)
    assert [call[0] for call in engine.calls] == [10, 20, 30, 1, 2]
    assert [start for start, _ in engine.started] == [0.0, 0.0, 1.0, 2.0, 10.0]


def test_a_batch_costs_no_more_than_it_may_unless_it_is_of_one() -> None:
    engine = Engine()

    async def main() -> None:
        queue = batcher(engine, max_batch=8, max_cost=10.0)
        await asyncio.gather(
            *(queue.submit(item, turn="a", cost=4.0, shape="four") for item in range(4)),
            queue.submit(99, turn="b", cost=50.0, shape="fifty"),
        )

    run(main)
    assert sorted(map(len, engine.calls)) == [1, 2, 2]
