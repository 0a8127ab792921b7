"""Whatever hangs is seen and ended: a batch, the event loop, the stop. The process exits with 4 for its supervisor."""

import asyncio
import json
import signal
import time

import httpx
import pytest

from clpips.service.batching.running import Running
from clpips.service.ops.watchdog import Watchdog, stacks
from tests.support.gated import Gated, files, gated
from tests.support.pictures import encode, picture
from tests.support.services import assert_problem

IMAGES = [encode(picture(seed, 40)) for seed in range(2)]


async def until_unready(service: Gated) -> httpx.Response:
    """Ask `/readyz` until it says no."""
    async with httpx.AsyncClient(timeout=30) as http:
        while (answer := await http.get(f"{service.url}/readyz")).status_code == 200:  # noqa: ASYNC110 - another process
            await asyncio.sleep(0.02)
    return answer


async def rank(service: Gated) -> httpx.Response | None:
    """The answer to a ranking; None where the service ends before it is there."""
    async with httpx.AsyncClient(timeout=60) as http:
        try:
            return await http.post(f"{service.url}/rank", files=files(IMAGES))
        except httpx.TransportError:
            return None


async def test_a_batch_that_hangs_makes_the_replica_unready_and_then_ends_the_process_with_4() -> None:
    with gated(stall_seconds=1) as service:
        ranking = asyncio.create_task(rank(service))
        problem = assert_problem(await until_unready(service), 503, "not-ready")
        assert "'embed' has run for" in problem["detail"]
        assert service.metric("clpips_batch_running_seconds", stage="embed") >= 1
        assert service.metric("clpips_batch_running_seconds", stage="compare") == 0
        assert service.metric("clpips_ready") == 0
        assert await asyncio.to_thread(service.process.wait) == 4
        assert await ranking is None
        assert service.process.stderr is not None
        last = json.loads(service.process.stderr.read().splitlines()[-1])
        assert "'embed'" in last["reason"]
        assert any("gated.py" in call for calls in last["threads"].values() for call in calls)


async def test_a_batch_that_hangs_ends_the_process_while_sigterm_is_being_handled() -> None:
    with gated(stall_seconds=1, shutdown_seconds=60) as service:
        ranking = asyncio.create_task(rank(service))
        while not await asyncio.to_thread(service.metric, "clpips_batch_running_seconds", stage="embed"):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        service.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(service.process.wait) == 4
        await ranking


async def test_a_stop_takes_no_longer_than_requests_have_to_finish_though_a_batch_hangs() -> None:
    with gated(stall_seconds=3600, shutdown_seconds=1) as service:
        ranking = asyncio.create_task(rank(service))
        while not await asyncio.to_thread(service.metric, "clpips_batch_running_seconds", stage="embed"):  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        service.process.send_signal(signal.SIGTERM)
        asked = time.monotonic()
        assert await asyncio.to_thread(service.process.wait) == 4
        assert time.monotonic() - asked < 30  # 1 s for requests and 5 s to close, on a machine that is busy
        await ranking


async def test_what_fails_fast_does_not_hang() -> None:
    with gated(stall_seconds=1) as service:
        service.allow(100)
        for _ in range(3):
            answer = await rank(service)
            assert answer is not None
            assert answer.status_code == 200
        service.process.send_signal(signal.SIGTERM)
        assert await asyncio.to_thread(service.process.wait) == 0


class Dog:
    """A watchdog on a clock of the test's own, one second a tick."""

    def __init__(self, stall_seconds: float = 10.0) -> None:
        self.running = Running()
        self.watchdog = Watchdog(self.running, stall_seconds, end=lambda _: None)

    def seconds_until_it_bites(self, most: int = 100) -> int | None:
        """Ticks of a second until something hangs; None where nothing does."""
        return next((second for second in range(1, most + 1) if self.watchdog.tick(1.0) is not None), None)


@pytest.fixture
def dog() -> Dog:
    return Dog()


def test_work_hangs_after_the_time_of_a_stall_and_some_grace(dog: Dog) -> None:
    with dog.running.work("embed"):
        assert dog.seconds_until_it_bites() == 17  # it is first seen at 1 s; 10 s and 5 s of grace
    assert dog.seconds_until_it_bites() is None


def test_one_piece_of_work_after_the_other_is_no_hang(dog: Dog) -> None:
    for _ in range(50):
        with dog.running.work("embed"):
            assert dog.seconds_until_it_bites(5) is None


def test_a_warm_up_has_more_time(dog: Dog) -> None:
    with dog.running.work("warm-up", patience=5.0):
        assert dog.seconds_until_it_bites() == 77


def test_time_in_which_the_process_did_not_run_does_not_count(dog: Dog) -> None:
    with dog.running.work("embed"):
        for _ in range(5):
            assert dog.watchdog.tick(1000.0) is None  # stopped, and continued


def test_an_event_loop_that_does_not_turn_hangs(dog: Dog) -> None:
    loop = asyncio.new_event_loop()
    dog.watchdog.watch_loop(loop)
    assert dog.watchdog.tick(1.0) is None
    loop.run_until_complete(asyncio.sleep(0))
    assert dog.seconds_until_it_bites() == 17  # asked anew at the first tick
    loop.close()


def test_an_event_loop_that_is_closed_is_not_watched_any_more(dog: Dog) -> None:
    loop = asyncio.new_event_loop()
    dog.watchdog.watch_loop(loop)
    loop.close()
    assert dog.seconds_until_it_bites() is None


def test_a_stop_hangs_at_the_earliest_time_that_was_told(dog: Dog) -> None:
    dog.watchdog.expect_end(30.0)
    assert dog.watchdog.tick(1.0) is None
    dog.watchdog.expect_end(5.0)
    dog.watchdog.expect_end(50.0)
    assert dog.seconds_until_it_bites() == 7


def test_the_last_words_say_where_each_thread_stands() -> None:
    (mine,) = (calls for name, calls in stacks().items() if name == "MainThread")
    assert any("test_the_last_words_say" in call for call in mine)
