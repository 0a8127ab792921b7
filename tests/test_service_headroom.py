"""Headroom: what takes much memory at once waits until there is room for it."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from clpips.service.admission import headroom as module
from clpips.service.admission.headroom import Headroom
from clpips.service.ops.memory import Held

LIMIT = 1200  # a sixth of it is spare, and a twelfth small


class Machine:
    """What processes hold, as the kernel would tell it."""

    def __init__(self, own: int = 0, apart: int = 0) -> None:
        self.own, self.apart = own, apart
        self.reclaimed: list[int] = []
        self.released = 0

    def held(self) -> Held:
        return Held(self.own, self.apart)

    def reclaim(self, nbytes: int) -> int:
        self.reclaimed.append(nbytes)
        self.own -= 200
        return 200

    def release(self) -> None:
        self.released += 1


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "LOOK_SECONDS", 0.001)
    monkeypatch.setattr(module, "WATCH_SECONDS", 0.001)


@asynccontextmanager
async def taken(headroom: Headroom, nbytes: int, *, apart: bool = False) -> AsyncIterator[None]:
    async with headroom.of(nbytes, nbytes, apart=apart) as granted:
        assert granted == nbytes
        yield


def waiting(headroom: Headroom, nbytes: int, entered: list[int]) -> "asyncio.Task[None]":
    async def wait() -> None:
        async with headroom.of(nbytes, nbytes):
            entered.append(nbytes)

    return asyncio.create_task(wait())


async def some_looks() -> None:
    await asyncio.sleep(0.02)


async def eventually(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not condition():  # noqa: ASYNC110 - a look every millisecond is what is tested
            await asyncio.sleep(0.001)


async def test_without_a_limit_nothing_waits() -> None:
    headroom = Headroom()
    async with taken(headroom, 10**12), taken(headroom, 10**12):
        assert not headroom.limits
    with headroom.taking(10**12, lambda: False, 0) as granted:
        assert granted == 10**12


async def test_who_has_no_room_waits_until_others_hold_less() -> None:
    machine, entered = Machine(own=500), list[int]()
    headroom = Headroom(LIMIT, machine.held)
    async with taken(headroom, 100):
        task = waiting(headroom, 600, entered)
        await some_looks()
        assert entered == []
        machine.own = 300
        await task
    assert entered == [600]


async def test_what_is_promised_counts_once_when_it_is_taken() -> None:
    machine = Machine(own=300)
    headroom = Headroom(LIMIT, machine.held)
    async with taken(headroom, 400):
        machine.own = 700  # it has taken them
        async with taken(headroom, 300):
            pass


async def test_what_another_process_takes_is_not_taken_for_this_ones() -> None:
    machine, entered = Machine(own=300), list[int]()
    headroom = Headroom(LIMIT, machine.held)
    async with taken(headroom, 400, apart=True):
        machine.own = 600  # others have
        task = waiting(headroom, 200, entered)
        await some_looks()
        assert entered == []
        machine.own, machine.apart = 300, 400
        await task


async def test_a_small_one_goes_before_a_large_one_that_does_not_fit() -> None:
    machine, entered = Machine(own=500), list[int]()
    headroom = Headroom(LIMIT, machine.held)
    async with taken(headroom, 200):
        large = waiting(headroom, 600, entered)
        await some_looks()
        await waiting(headroom, 100, entered)
        assert entered == [100]
    await large


async def test_large_ones_do_not_go_before_who_has_waited_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    machine, entered = Machine(own=300), list[int]()
    headroom = Headroom(LIMIT, machine.held)
    async with AsyncExitStack() as promises:
        await promises.enter_async_context(taken(headroom, 200))
        first = waiting(headroom, 600, entered)
        await some_looks()
        await waiting(headroom, 300, entered)
        monkeypatch.setattr(module, "OVERTAKEN_SECONDS", 0.0)
        later = waiting(headroom, 301, entered)
        await some_looks()
        assert entered == [300]
    await asyncio.gather(first, later)
    assert entered == [300, 600, 301]


async def test_who_can_do_with_less_takes_it_at_last(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "PATIENT_SECONDS", 0.005)
    headroom = Headroom(LIMIT, Machine(own=800).held)
    async with headroom.of(500, least=200) as granted:
        assert granted == 1200 - 100 - 800
    async with asyncio.timeout(0.05):
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.03), headroom.of(500, least=400):
                raise AssertionError("there is less")


async def test_a_thread_waits_for_as_long_as_somebody_wants_it() -> None:
    machine = Machine(own=1000)
    headroom = Headroom(LIMIT, machine.held)
    looks = 0

    def wanted() -> bool:
        nonlocal looks
        looks += 1
        return looks < 3

    def take() -> int:
        with headroom.taking(500, wanted, 500) as granted:
            return granted

    assert await asyncio.to_thread(take) == 0
    machine.own = 100
    assert await asyncio.to_thread(take) == 500


async def test_who_gives_up_leaves_the_line() -> None:
    machine, entered = Machine(own=1000), list[int]()
    headroom = Headroom(LIMIT, machine.held)
    task = waiting(headroom, 900, entered)
    await some_looks()
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    machine.own = 300
    async with taken(headroom, 700):
        pass


async def test_the_reserve_gives_way_to_who_waits_and_what_is_freed_goes_back() -> None:
    machine, entered = Machine(own=900), list[int]()
    headroom = Headroom(LIMIT, machine.held)
    watching = asyncio.create_task(headroom.watch(machine.reclaim, machine.release))
    async with taken(headroom, 100):
        await waiting(headroom, 350, entered)
    assert machine.reclaimed
    assert machine.released
    watching.cancel()


async def test_small_things_pause_while_nothing_is_left_and_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    machine = Machine(own=10**6)
    headroom = Headroom(LIMIT, machine.held)
    watching = asyncio.create_task(headroom.watch(machine.reclaim, machine.release))
    await eventually(lambda: headroom.is_short)
    monkeypatch.setattr(module, "PAUSE_SECONDS", 0.02)
    await headroom.pause()
    assert headroom.is_short
    machine.own = 100
    await eventually(lambda: not headroom.is_short)
    watching.cancel()


def test_many_threads_have_no_more_than_there_is() -> None:
    machine = Machine()
    headroom, lock = Headroom(LIMIT, machine.held), threading.Lock()
    now = most = 0

    def take() -> None:
        nonlocal now, most
        for _ in range(20):
            with headroom.taking(300, lambda: True, 300):
                with lock:
                    now += 300
                    most = max(most, now)
                with lock:
                    now -= 300

    threads = [threading.Thread(target=take) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert most <= LIMIT * (1 - module.SPARE_SHARE)
