"""The feature cache: bytes are bounded and counted honestly, and one flight serves all who ask for an image."""

import asyncio
from dataclasses import dataclass

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from clpips.service.batching.feature_cache import FeatureCache, Flight, Source

NEVER = float("inf")


@dataclass(frozen=True)
class Blob:
    name: str
    nbytes: int


class Kitchen:
    """Makes blobs when it is told to, and remembers what it was asked for."""

    def __init__(self, max_bytes: int = 100) -> None:
        self.served: list[Source] = []
        self.made: list[str] = []
        self.cancelled: list[str] = []
        self.flights: list[Flight[Blob]] = []
        self.open = asyncio.Event()
        self.cache: FeatureCache[Blob] = FeatureCache(max_bytes, self.served.append)

    def ask(self, name: str, nbytes: int = 10, deadline: float = NEVER) -> asyncio.Task[Blob]:
        async def make(flight: Flight[Blob]) -> Blob:
            self.made.append(name)
            self.flights.append(flight)
            try:
                await self.open.wait()
            except asyncio.CancelledError:
                self.cancelled.append(name)
                raise
            if name == "bad":
                raise ValueError(name)
            return Blob(name, nbytes)

        async def fetch() -> Blob:
            with self.cache.loan(object(), deadline) as loan:
                return await self.cache.fetch(loan, name, make)

        return asyncio.create_task(fetch())


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_an_image_seen_before_is_not_made_again() -> None:
    kitchen = Kitchen()
    kitchen.open.set()
    first = await kitchen.ask("a")
    assert await kitchen.ask("a") is first
    assert kitchen.made == ["a"]
    assert kitchen.served == ["decoded", "cache"]


async def test_all_who_ask_at_once_share_one_flight() -> None:
    kitchen = Kitchen()
    tasks = [kitchen.ask("a") for _ in range(5)]
    await settle()
    kitchen.open.set()
    blobs = await asyncio.gather(*tasks)
    assert all(blob is blobs[0] for blob in blobs)
    assert kitchen.made == ["a"]
    assert kitchen.served == ["decoded"] + ["inflight"] * 4


async def test_the_flight_survives_the_one_who_began_it() -> None:
    kitchen = Kitchen()
    first, second = kitchen.ask("a"), kitchen.ask("a")
    await settle()
    first.cancel()
    await settle()
    assert first.cancelled()
    kitchen.open.set()
    assert (await second).name == "a"
    assert kitchen.cancelled == []


async def test_the_last_who_leaves_takes_the_work_along() -> None:
    kitchen = Kitchen()
    tasks = [kitchen.ask("a") for _ in range(3)]
    await settle()
    for task in tasks:
        task.cancel()
    await settle()
    assert kitchen.cancelled == ["a"]
    assert "a" not in kitchen.cache


async def test_who_comes_after_an_abandoned_flight_gets_a_new_one() -> None:
    kitchen = Kitchen()
    gone = kitchen.ask("a")
    await settle()
    gone.cancel()
    await settle()
    again = kitchen.ask("a")
    await settle()
    kitchen.open.set()
    assert (await again).name == "a"
    assert kitchen.made == ["a", "a"]


async def test_a_failure_reaches_all_who_wait_and_is_not_kept() -> None:
    kitchen = Kitchen()
    tasks = [kitchen.ask("bad") for _ in range(3)]
    await settle()
    kitchen.open.set()
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert all(isinstance(outcome, ValueError) for outcome in outcomes)
    assert "bad" not in kitchen.cache
    assert kitchen.served == []


async def test_a_later_asker_prolongs_the_flight() -> None:
    kitchen = Kitchen()
    tasks = [kitchen.ask("a", deadline=5.0), kitchen.ask("a", deadline=9.0), kitchen.ask("a", deadline=7.0)]
    await settle()
    assert [flight.deadline for flight in kitchen.flights] == [9.0]
    kitchen.open.set()
    await asyncio.gather(*tasks)


async def test_the_longest_unused_is_forgotten_first() -> None:
    kitchen = Kitchen(max_bytes=30)
    kitchen.open.set()
    for name in ("a", "b", "c", "a", "d"):
        await kitchen.ask(name)
    assert [name for name in "abcd" if name in kitchen.cache] == ["a", "c", "d"]


async def test_features_larger_than_the_whole_cache_are_handed_out_and_not_held() -> None:
    kitchen = Kitchen(max_bytes=30)
    kitchen.open.set()
    await kitchen.ask("a")
    assert (await kitchen.ask("huge", nbytes=31)).name == "huge"
    assert len(kitchen.cache) == 1
    assert "a" in kitchen.cache


async def test_a_cache_of_no_bytes_still_shares_flights() -> None:
    kitchen = Kitchen(max_bytes=0)
    tasks = [kitchen.ask("a"), kitchen.ask("a")]
    await settle()
    kitchen.open.set()
    await asyncio.gather(*tasks)
    assert kitchen.made == ["a"]
    assert len(kitchen.cache) == kitchen.cache.nbytes == 0


@given(
    asked=st.lists(st.tuples(st.sampled_from("abcdefgh"), st.booleans()), max_size=60),
    sizes=st.fixed_dictionaries({name: st.integers(0, 40) for name in "abcdefgh"}),
    max_bytes=st.integers(0, 100),
)
@settings(deadline=None)
def test_bytes_stay_within_the_bound_and_every_image_served_is_counted_once(
    asked: list[tuple[str, bool]], sizes: dict[str, int], max_bytes: int
) -> None:
    async def main() -> None:
        kitchen = Kitchen(max_bytes)
        kitchen.open.set()
        for name, together in asked:
            tasks = [kitchen.ask(name, sizes[name]) for _ in range(2 if together else 1)]
            assert {(await task).name for task in tasks} == {name}
            held = [other for other in "abcdefgh" if other in kitchen.cache]
            assert kitchen.cache.nbytes == sum(sizes[other] for other in held) <= max_bytes
        assert len(kitchen.served) == sum(2 if together else 1 for _, together in asked)
        assert kitchen.served.count("decoded") == len(kitchen.made)

    asyncio.run(main())


@pytest.mark.parametrize("leavers", [1, 2])
async def test_leaving_never_disturbs_those_who_stay(leavers: int) -> None:
    kitchen = Kitchen()
    tasks = [kitchen.ask("a") for _ in range(4)]
    await settle()
    for task in tasks[:leavers]:
        task.cancel()
    await settle()
    kitchen.open.set()
    await settle()
    assert [task.cancelled() for task in tasks] == [True] * leavers + [False] * (4 - leavers)


async def test_what_is_lent_stays_and_displaces_what_is_not() -> None:
    kitchen = Kitchen(max_bytes=30)
    kitchen.open.set()
    await kitchen.ask("a")
    with kitchen.cache.loan("request", NEVER) as loan:
        assert kitchen.cache.reserve(loan, "a")
        for name in ("b", "c", "d", "e"):
            await kitchen.ask(name)
        assert [name for name in "abcde" if name in kitchen.cache] == ["a", "d", "e"]
        kitchen.cache.shelf().shrink(0)
        assert loan.features["a"].name == "a"
    await kitchen.ask("f")
    assert [name for name in "abcdef" if name in kitchen.cache] == ["a", "f"]


async def test_what_something_else_takes_for_a_while_is_not_held() -> None:
    kitchen = Kitchen(max_bytes=30)
    kitchen.cache.shelf().most_bytes = 30
    kitchen.open.set()
    for name in "abc":
        await kitchen.ask(name)
    with kitchen.cache.shelf().displaced(15):
        assert [name for name in "abc" if name in kitchen.cache] == ["c"]
        await kitchen.ask("d")
        assert len(kitchen.cache) == 1
    await kitchen.ask("e")
    assert len(kitchen.cache) == 2


async def test_what_is_lent_displaces_what_is_held_even_where_it_is_too_large_to_be_held() -> None:
    kitchen = Kitchen(max_bytes=30)
    kitchen.cache.shelf().most_bytes = 30
    kitchen.open.set()
    await kitchen.ask("a")
    with kitchen.cache.loan("request", NEVER) as loan:

        async def make(_: Flight[Blob]) -> Blob:
            return Blob("huge", 31)

        await kitchen.cache.fetch(loan, "huge", make)
        assert (kitchen.cache.nbytes, kitchen.cache.lent_nbytes) == (0, 31)
        assert (await kitchen.ask("huge")).nbytes == 31, "others borrow it too"
        assert kitchen.cache.lent_nbytes == 31
    assert (kitchen.cache.nbytes, kitchen.cache.lent_nbytes) == (0, 0)
    assert "huge" not in kitchen.cache


async def test_who_joins_a_flight_brings_it_to_their_own_turn_until_they_leave() -> None:
    kitchen = Kitchen()
    tasks = [kitchen.ask("a") for _ in range(3)]
    await settle()
    [flight] = kitchen.flights
    assert len(list(flight.claims)) == 3
    tasks[0].cancel()
    await settle()
    assert len(list(flight.claims)) == 2
    kitchen.open.set()
    await asyncio.gather(*tasks[1:])
