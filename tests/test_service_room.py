"""Room in memory: bytes of pixels and features that requests in hand take together."""

import asyncio
import math
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from clpips.service.admission.door import Ticket
from clpips.service.admission.room import OVERTAKEN_SECONDS, Need, Room
from clpips.service.batching.turns import Place
from clpips.service.ops.telemetry import Telemetry
from clpips.service.scoring.windows import live_bytes, window
from tests.support.virtual_time import run, settle

MOST = Need(pixels=1000, features=160)  # 20 and less is small; large ones have 120


class Visitor:
    """A request that needs room, from when it comes until it is told to leave."""

    def __init__(self, room: Room, features: int, pixels: int = 1, *, bulk: bool = False) -> None:
        self.inside = False
        self._leaves = asyncio.Event()
        self.task = asyncio.create_task(self._visit(room, Need(pixels, features), bulk=bulk))

    async def _visit(self, room: Room, need: Need, *, bulk: bool) -> None:
        async with room.of(need, Ticket(math.inf, 0, Place(None, bulk))):
            self.inside = True
            await self._leaves.wait()
        self.inside = False

    def leave(self) -> None:
        self._leaves.set()


def are_inside(*visitors: Visitor) -> list[bool]:
    return [visitor.inside for visitor in visitors]


def meet(main: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """Run it in virtual time, and let all visitors go in the end."""

    async def until_all_have_left() -> None:
        await main()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    run(until_all_have_left)


def test_who_finds_no_room_waits_for_it() -> None:
    async def main() -> None:
        room = Room(MOST, Telemetry())
        first, second, third = (Visitor(room, 60) for _ in range(3))
        await settle()
        assert [one.inside for one in (first, second, third)] == [True, True, False]
        first.leave()
        await settle()
        assert are_inside(third) == [True]

    meet(main)


def test_small_requests_find_room_beside_large_ones() -> None:
    async def main() -> None:
        room = Room(MOST, Telemetry())
        huge = Visitor(room, 1000)  # alone it may
        await settle()
        small = [Visitor(room, 20) for _ in range(3)]
        await settle()
        assert are_inside(huge) == [True]
        assert [one.inside for one in small] == [True, True, False]

    meet(main)


def test_a_request_larger_than_the_room_comes_in_when_no_other_large_one_is_there() -> None:
    async def main() -> None:
        room = Room(MOST, Telemetry())
        large = Visitor(room, 100)
        small = Visitor(room, 20)
        await settle()
        huge = Visitor(room, 1000)
        await settle()
        assert are_inside(huge) == [False]
        large.leave()
        await settle()
        assert are_inside(huge) == [True]
        assert are_inside(small) == [True]

    meet(main)


def test_who_waits_long_is_not_overtaken_any_more() -> None:
    async def main() -> None:
        room = Room(MOST, Telemetry())
        many = [Visitor(room, 20) for _ in range(8)]  # they fill it
        await settle()
        large = Visitor(room, 120)
        await asyncio.sleep(1)
        many[0].leave()
        await settle()
        overtaking = Visitor(room, 20)
        await settle()
        assert are_inside(overtaking) == [True]
        await asyncio.sleep(OVERTAKEN_SECONDS)
        for one in many[1:3]:
            one.leave()
        late = Visitor(room, 20)
        await settle()
        assert are_inside(late) == [False]
        for one in many[3:]:
            one.leave()
        await settle()
        assert are_inside(large, late) == [True, True]


def test_small_requests_have_their_part_of_the_room_though_a_large_one_waits_for_long() -> None:
    async def main() -> None:
        room = Room(MOST, Telemetry())
        large = [Visitor(room, 120) for _ in range(2)]
        await asyncio.sleep(2 * OVERTAKEN_SECONDS)
        small = [Visitor(room, 20) for _ in range(3)]
        await settle()
        assert are_inside(*large, *small) == [True, False, True, True, False]
        large[0].leave()
        await settle()
        assert are_inside(*large, *small) == [False, True, True, True, False]

    meet(main)

    meet(main)


def test_bulk_comes_in_after_the_others() -> None:
    async def main() -> None:
        room = Room(MOST, Telemetry())
        inside = [Visitor(room, 60) for _ in range(2)]
        await settle()
        bulk = Visitor(room, 60, bulk=True)
        await settle()
        waits = Visitor(room, 60)
        await settle()
        inside[0].leave()
        await settle()
        assert (bulk.inside, waits.inside) == (False, True)

    meet(main)


def test_who_gives_up_waiting_leaves_nothing_behind() -> None:
    async def main() -> None:
        room = Room(MOST, Telemetry())
        first, gone, next_one = Visitor(room, 100), Visitor(room, 100), Visitor(room, 20)
        await settle()
        gone.task.cancel()
        first.leave()
        await settle()
        assert are_inside(next_one) == [True]
        last = Visitor(room, 120)
        await settle()
        assert are_inside(last) == [True]

    meet(main)


def test_pixels_are_bounded_too_and_nothing_needs_no_room() -> None:
    async def main() -> None:
        room = Room(MOST, Telemetry())
        pixels, more = Visitor(room, 1, pixels=900), Visitor(room, 1, pixels=200)
        nothing = Visitor(room, 0, pixels=0)
        await settle()
        assert [one.inside for one in (pixels, more, nothing)] == [True, False, True]

    meet(main)


RANKING = [("t", candidate) for candidate in "abcdefgh"]
BYTES = dict.fromkeys("tabcdefgh", 10)


@pytest.mark.parametrize(("width", "most"), [(1, 20), (3, 40), (8, 90)])
def test_a_ranking_needs_its_target_and_a_window_of_its_candidates(width: int, most: int) -> None:
    assert live_bytes(RANKING, BYTES, width) == most
    assert window(RANKING, BYTES, most) == width


def test_an_image_that_is_needed_again_stays() -> None:
    assert live_bytes([("a", "b"), ("c", "d"), ("e", "f"), ("a", "g")], BYTES | {"t": 0}, 1) == 30


def test_images_that_are_held_need_nothing() -> None:
    assert live_bytes(RANKING, {"h": 10}, 8) == 10
    assert window(RANKING, {}, 0) == len(RANKING)


def test_a_window_has_one_pair_at_least() -> None:
    assert window(RANKING, BYTES, 5) == 1
    assert window([], BYTES, 5) == 1
