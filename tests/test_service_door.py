"""Admission control: how many images a body is expected to hold before it is read, and what that keeps out."""

import asyncio
import math
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial

import pytest

from clpips.service.admission.deadlines import receive_until
from clpips.service.admission.door import Door
from clpips.service.admission.throughput import Throughput
from clpips.service.batching.turns import Place
from clpips.service.ops.telemetry import Telemetry
from clpips.service.problems import ClientGone, Overloaded, RequestTimeout
from clpips.service.wire.body_memory import BodyMemory

IMAGE = 1000  # bytes
NEVER = math.inf  # a deadline

pytestmark = pytest.mark.asyncio  # a door lives on an event loop


@pytest.fixture
def door() -> Door:
    return Door(20, Throughput(), Telemetry())


@pytest.fixture
def inside(door: Door) -> Iterator[Callable[[int, int], None]]:
    """Lets a request in that stays, of so many images in so many bytes."""
    with ExitStack() as staying:

        def enter(images: int, body_bytes: int) -> None:
            door.count(staying.enter_context(door.admit(NEVER, body_bytes)), images)

        yield enter


async def served(door: Door, images: int, body_bytes: int) -> None:
    """A request that has come and gone."""
    with door.admit(NEVER, body_bytes) as ticket:
        door.count(ticket, images)


async def test_a_request_counts_as_one_image_while_nothing_is_known(door: Door) -> None:
    with door.admit(NEVER, 10**6) as ticket:
        assert ticket.images == 1


async def test_a_body_is_expected_to_hold_what_others_of_its_length_held(door: Door) -> None:
    await served(door, 10, 10 * IMAGE)
    with door.admit(NEVER, 10 * IMAGE) as whole, door.admit(NEVER, 4 * IMAGE) as part:
        assert (whole.images, part.images) == (10, 4)


async def test_it_is_refused_before_it_is_read_where_that_has_no_room(
    door: Door, inside: Callable[[int, int], None]
) -> None:
    await served(door, 10, 10 * IMAGE)
    inside(12, 12 * IMAGE)
    with pytest.raises(Overloaded), door.admit(NEVER, 10 * IMAGE):
        pass
    with door.admit(NEVER, 7 * IMAGE):
        pass


async def test_a_large_body_is_never_taken_for_more_images_than_requests_have_on_average(
    door: Door, inside: Callable[[int, int], None]
) -> None:
    await served(door, 2, 2)  # thumbnails
    inside(2, 2)
    with door.admit(NEVER, 10**8) as ticket:
        assert ticket.images == 2


async def test_names_of_images_that_are_held_cost_nothing_and_teach_so(door: Door) -> None:
    for _ in range(500):
        await served(door, 0, 700)
    with door.admit(NEVER, 700) as ticket:
        assert ticket.images == 1


async def test_a_body_whose_length_is_not_announced_is_one_image_until_it_is_counted(door: Door) -> None:
    await served(door, 10, 10 * IMAGE)
    with door.admit(NEVER) as ticket:
        assert ticket.images == 1
        door.count(ticket, 5)
        assert ticket.images == 5


async def test_who_is_alone_comes_in_however_large(door: Door) -> None:
    await served(door, 15, 15 * IMAGE)
    await served(door, 300, 300 * IMAGE)
    with door.admit(NEVER, 300 * IMAGE) as ticket:
        door.count(ticket, 300)


async def test_who_is_alone_and_larger_than_the_limit_keeps_the_others_out(door: Door) -> None:
    with door.admit(NEVER, 21 * IMAGE) as ticket:
        door.count(ticket, 21)
        with pytest.raises(Overloaded, match="as many images wait as may"), door.admit(NEVER, IMAGE):
            pass


async def test_who_would_be_late_is_refused_and_told_when_to_come_back() -> None:
    seconds = iter([0.0, 1.0])  # an image that takes a second
    throughput = Throughput(clock=lambda: next(seconds))
    with throughput.image():
        pass
    assert throughput.seconds_per_unit == 1.0
    door = Door(20, throughput, Telemetry())
    now = asyncio.get_running_loop().time()
    with door.admit(now + 30) as ticket:
        door.count(ticket, 8)
        with pytest.raises(Overloaded, match="longer than this request may; try again in 8 s"), door.admit(now + 2):
            pass
        with door.admit(now + 30):
            pass


async def test_bodies_have_room_for_so_many_bytes_and_a_body_that_is_alone_for_any() -> None:
    door = Door(20, Throughput(), Telemetry(), max_body_bytes=100)
    with door.admit(NEVER, 500) as alone:
        door.receive(alone, 500)
        with pytest.raises(Overloaded, match="as many bytes of requests"), door.admit(NEVER, 10):
            pass
    with door.admit(NEVER, 90) as ticket:
        door.receive(ticket, 90)
        with door.admit(NEVER, 10) as other:
            door.receive(other, 10)
            with pytest.raises(Overloaded):
                door.receive(other, 1)


async def test_the_largest_body_that_is_on_its_way_is_given_up_for_a_smaller_one() -> None:
    door = Door(20, Throughput(), Telemetry(), max_body_bytes=100)
    given_up: list[str] = []
    with door.admit(NEVER) as large, door.admit(NEVER) as whole, door.admit(NEVER) as small:
        for name, ticket, nbytes in (("large", large, 50), ("whole", whole, 45)):
            door.receive(ticket, nbytes)
            ticket.give_up_body = partial(given_up.append, name)
        whole.give_up_body = None  # it has come: its request is being answered
        door.receive(small, 20)
        assert given_up == ["large"]
        with pytest.raises(Overloaded):
            door.receive(small, 40)


async def test_a_body_that_is_given_up_gives_its_memory_back_before_others_take_its_room() -> None:
    door, memory = Door(20, Throughput(), Telemetry(), max_body_bytes=2**19 + 2**18), BodyMemory(2**20)
    more_came = asyncio.Event()

    async def read(count: Callable[[int], None]) -> int:
        for _ in range(2):
            count(2**19)
            memory.append(bytes(2**19))
            await more_came.wait()
        return len(memory)

    with door.admit(NEVER) as large, door.admit(NEVER) as small:
        reading = asyncio.create_task(receive_until(NEVER, read, memory.release, door, large, Telemetry()))
        await asyncio.sleep(0)
        assert len(memory) == 2**19
        more_came.set()  # the end of it has come too, and nobody has read it
        door.receive(small, 2**18 + 1)
        assert len(memory) == 0
        with pytest.raises(Overloaded, match="as many bytes"):
            await reading
        assert len(memory) == 0


@pytest.mark.parametrize("deadline", [0.0, NEVER])
async def test_a_body_that_does_not_come_whole_gives_its_memory_back(deadline: float) -> None:
    memory = BodyMemory(0)

    async def read(_: Callable[[int], None]) -> None:
        memory.append(bytes(2**19))
        await asyncio.sleep(0)
        raise ClientGone

    door = Door(20, Throughput(), Telemetry())
    with door.admit(NEVER) as ticket, pytest.raises(RequestTimeout if deadline == 0.0 else ClientGone):
        await receive_until(deadline, read, memory.release, door, ticket, Telemetry())
    assert len(memory) == 0


async def test_bulk_has_half_the_room() -> None:
    door = Door(20, Throughput(), Telemetry(), max_body_bytes=100)
    bulk = Place(None, bulk=True)
    with door.admit(NEVER) as ticket:
        door.count(ticket, 9)
        door.receive(ticket, 45)
        with door.admit(NEVER, 5, bulk), pytest.raises(Overloaded), door.admit(NEVER, 0, bulk):
            pass
        with pytest.raises(Overloaded), door.admit(NEVER, 10, bulk):
            pass
        with door.admit(NEVER, 10):
            pass


async def test_cost_counts_for_the_prediction_and_not_the_number_of_images_alone() -> None:
    throughput = Throughput()
    throughput.seed(1.0)
    door = Door(20, throughput, Telemetry())
    now = asyncio.get_running_loop().time()
    with door.admit(now + 100) as ticket:
        door.count(ticket, 2, cost=60.0)
        with pytest.raises(Overloaded, match="try again in 6"), door.admit(now + 80) as late:
            door.count(late, 2, cost=60.0)
        with door.admit(now + 100):
            pass


async def test_a_request_without_images_needs_room_for_its_body_alone() -> None:
    door = Door(2, Throughput(), Telemetry())
    with door.admit(NEVER) as ticket:
        door.count(ticket, 2)
        with pytest.raises(Overloaded), door.admit(NEVER):
            pass
        with door.admit(NEVER, scores=False):
            assert len(door) == 2
    with door.admit(NEVER, scores=False), door.admit(NEVER) as large:
        door.count(large, 50)  # no other has images: it is alone


async def fair_door(seconds_per_unit: float = 1.0) -> tuple[Door, float]:
    """A door where a unit takes a second, and the time."""
    throughput = Throughput()
    throughput.seed(seconds_per_unit)
    return Door(1000, throughput, Telemetry()), asyncio.get_running_loop().time()


async def test_a_small_request_is_not_refused_for_a_large_one_that_it_takes_turns_with() -> None:
    door, now = await fair_door()
    with door.admit(now + 1000) as large:
        door.count(large, 200)
        with door.admit(now + 100) as small:
            door.count(small, 2)  # done after four
            with pytest.raises(Overloaded):
                door.count(small, 100)  # done after two hundred


async def test_those_who_come_in_by_their_turns_have_a_part_of_the_time() -> None:
    door, now = await fair_door()
    with door.admit(now + 1000) as large, ExitStack() as staying:
        door.count(large, 200)
        for _ in range(8):
            door.count(staying.enter_context(door.admit(now + 100)), 2)
        with pytest.raises(Overloaded), door.admit(now + 100) as late:
            door.count(late, 2)
        staying.pop_all().close()
        with door.admit(now + 100) as later:
            door.count(later, 2)


async def test_light_images_do_not_wait_for_heavy_ones() -> None:
    door, now = await fair_door()
    with door.admit(now + 1000) as heavy:
        door.count(heavy, 2, cost=120.0)
        with door.admit(now + 20) as light:
            door.count(light, 2)
        with pytest.raises(Overloaded), door.admit(now + 20) as other:
            door.count(other, 2, cost=120.0)


async def test_what_is_read_is_not_refused_for_the_time_that_reading_took() -> None:
    door, now = await fair_door()
    await served(door, 10, 10)
    with door.admit(now + 1000, 10), door.admit(now + 30, 10) as ticket:  # of 21 seconds that may be used, 20 are taken
        ticket.deadline -= 10  # as if so much had passed
        door.count(ticket, 10)
        door.count(ticket, 12)  # bodies of a length do not all hold the same
        with pytest.raises(Overloaded, match="longer than this request may"):
            door.count(ticket, 30)
        ticket.body_bytes = 0  # not announced: nothing was expected
        with pytest.raises(Overloaded, match="longer than this request may"):
            door.count(ticket, 12)


async def test_a_body_that_does_not_come_keeps_no_place() -> None:
    door, now = await fair_door()
    await served(door, 10, 10)
    with ExitStack() as slow:
        for _ in range(10):
            slow.enter_context(door.admit(now + 1000, 10))
        with pytest.raises(Overloaded), door.admit(now + 100, 10):
            pass
        for ticket in door._arriving:
            door._arriving[ticket] -= 1.0
        with door.admit(now + 100, 10) as ticket:
            door.count(ticket, 10)
