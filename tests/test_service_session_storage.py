"""What the database keeps of sessions: on both kinds, whoever writes at the same time."""

import asyncio
from dataclasses import replace
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
import pytest_asyncio

from clpips.models.metric.families import ALEXNET, Z_LENGTH
from clpips.models.metric.packing import width_of
from clpips.service.storage.database import Database
from clpips.service.storage.errors import QuotaReachedError, SessionFullError, SessionMissingError, StorageError
from clpips.service.storage.records import Revision, SessionCandidate, SessionOrder
from clpips.service.storage.sessions import SessionStore
from tests.support import clocks, databases
from tests.support.clocks import NOW, Clock
from tests.support.databases import SESSION

clock = clocks.clock
database = databases.database


@pytest_asyncio.fixture
async def store(database: Database, clock: Clock) -> SessionStore:
    store = SessionStore(database, most_sessions=3, most_candidates=40, clock=clock)
    await store.create_session(SESSION)
    return store


def candidate(seed: int, width: int = Z_LENGTH) -> SessionCandidate:
    z = np.random.default_rng(seed).random(width).astype(np.float16)
    return SessionCandidate(0, f"{seed:064x}", f"prompt {seed} ü\n<", seed, z)


async def test_a_session_comes_back_as_it_was(store: SessionStore) -> None:
    assert await store.find_session("one", tenant="studio") == SESSION
    assert await store.find_session("one", token="f" * 64) == SESSION


@pytest.mark.parametrize("how", [{"tenant": "rivals"}, {"token": "e" * 64}, {"tenant": "studio", "token": "e" * 64}])
async def test_what_is_somebody_elses_is_not_found(store: SessionStore, how: dict[str, str]) -> None:
    with pytest.raises(SessionMissingError):
        await store.find_session("one", **how)


async def test_candidates_come_back_in_their_order_whatever_networks_saw_them(store: SessionStore) -> None:
    given = [candidate(1), candidate(2, width_of(frozenset({ALEXNET}))), replace(candidate(3), prompt=None, step=None)]
    await store.add_candidates("one", given[:2])
    session, added = await store.add_candidates("one", given[2:])
    assert [one.index for one in added] == [2]
    assert (session.candidates, session.revision, session.change) == (3, 3, "candidates")
    now, kept = await store.read_session("one")
    assert now == session
    assert [one.index for one in kept] == [0, 1, 2]
    for one, other in zip(kept, given, strict=True):
        assert (one.image, one.prompt, one.step) == (other.image, other.prompt, other.step)
        np.testing.assert_array_equal(one.channel_distances, other.channel_distances)
    assert await store.image_of("one", 1) == given[1].image
    assert await store.image_of("one", 3) is None


async def test_candidates_that_are_added_at_once_have_places_of_their_own(store: SessionStore) -> None:
    await asyncio.gather(*(store.add_candidates("one", [candidate(seed), candidate(seed + 100)]) for seed in range(15)))
    session, kept = await store.read_session("one")
    assert [one.index for one in kept] == list(range(30))
    assert (session.candidates, session.revision) == (30, 16)
    assert {(one.step or 0) % 100 for one in kept[::2]} == set(range(15))
    assert all((b.step or 0) - (a.step or 0) == 100 for a, b in zip(kept[::2], kept[1::2], strict=True))


async def test_what_a_full_session_does_not_take_is_not_kept_in_part(store: SessionStore) -> None:
    await store.add_candidates("one", [candidate(seed) for seed in range(39)])
    with pytest.raises(SessionFullError):
        await store.add_candidates("one", [candidate(1), candidate(2)])
    assert (await store.read_session("one"))[0].candidates == 39


async def test_what_is_sent_again_with_the_number_that_is_known_is_added_once(store: SessionStore) -> None:
    old, new = candidate(1), candidate(2)
    await store.add_candidates("one", [old])
    twice = [new, old, new]  # the same image twice in one request is two; the one of before is not of this request
    first, _ = await store.add_candidates("one", twice, since=1)
    assert await store.add_candidates("one", twice, since=1) == (first, [])
    more, added = await store.add_candidates("one", [new, candidate(3)], since=1)
    assert [one.index for one in added] == [4]
    assert (more.candidates, more.revision) == (5, first.revision + 1)
    assert [one.image for one in (await store.read_session("one"))[1]] == [
        one.image for one in (old, *twice, candidate(3))
    ]


async def test_requests_that_come_twice_at_once_are_added_once(store: SessionStore) -> None:
    both = [candidate(1), candidate(2)]
    await asyncio.gather(*(store.add_candidates("one", both, since=0) for _ in range(8)))
    assert (await store.read_session("one"))[0].candidates == 2


async def test_sessions_that_are_added_to_at_once_share_a_transaction_and_no_fate(store: SessionStore) -> None:
    nothing: Any = None
    await store.create_session(replace(SESSION, id="two"))
    await store.add_candidates("two", [candidate(seed) for seed in range(39)])
    broken = replace(candidate(9), image=nothing)  # the table refuses it
    outcomes = await asyncio.gather(
        store.add_candidates("one", [candidate(1)]),  # in a transaction of its own, while the others wait
        store.add_candidates("two", [candidate(2), candidate(3)]),
        store.add_candidates("one", [candidate(4), candidate(5)]),
        store.add_candidates("three", [candidate(6)]),
        store.add_candidates("one", [broken]),
        store.add_candidates("two", [candidate(7)]),
        store.add_candidates("one", [candidate(4), candidate(8)], since=0),
        return_exceptions=True,
    )
    errors = {place: type(one) for place, one in enumerate(outcomes) if isinstance(one, BaseException)}
    assert errors == {1: SessionFullError, 3: SessionMissingError, 4: StorageError}
    session, kept = await store.read_session("one")
    assert [one.step for one in kept] == [1, 4, 5, 8]
    assert [one.index for one in kept] == [0, 1, 2, 3]
    assert (session.candidates, session.revision) == (4, 4)
    assert (await store.read_session("two"))[0].candidates == 40


async def test_two_stores_that_add_to_the_same_sessions_at_once_lose_nothing(
    store: SessionStore, database: Database, clock: Clock
) -> None:
    await store.create_session(replace(SESSION, id="two"))
    other_replica = SessionStore(database, most_sessions=3, most_candidates=100, clock=clock)
    await asyncio.gather(
        *(
            one.add_candidates(name, [candidate(seed)])
            for seed in range(10)
            for one, names in ((store, ("one", "two")), (other_replica, ("two", "one")))
            for name in names
        )
    )
    for name in ("one", "two"):
        session, kept = await store.read_session(name)
        assert (session.candidates, session.revision) == (20, 21)
        assert [one.index for one in kept] == list(range(20))


async def test_an_order_comes_back_and_goes(store: SessionStore) -> None:
    await store.add_candidates("one", [candidate(1), candidate(2)])
    order = SessionOrder({1: 1, 0: 2}, "order", NOW)
    assert (await store.keep_order("one", order)).order == order
    found = await store.find_session("one", tenant="studio")
    assert found.order is not None
    assert (found.order, list(found.order.ranks)) == (order, [1, 0])
    assert (await store.keep_order("one", None)).order is None
    assert (await store.find_session("one", tenant="studio")).revision == 4


async def test_another_version_of_the_profile_is_noted_once(store: SessionStore) -> None:
    changed = await asyncio.gather(*(store.note_version("one", 2) for _ in range(8)))  # as many replicas notice
    assert {session.revision for session in changed} == {2}
    assert (await store.revisions(["one", "two"]))[0] == {"one": Revision(2, "profile")}


async def test_expired_sessions_are_as_good_as_gone_and_are_removed(store: SessionStore, clock: Clock) -> None:
    await store.create_session(replace(SESSION, id="two", expires_at=NOW + timedelta(days=2)))
    await store.add_candidates("one", [candidate(1)])
    clock.now = NOW + timedelta(days=1)
    for attempt in (
        store.find_session("one", tenant="studio"),
        store.read_session("one"),
        store.add_candidates("one", [candidate(2)]),
        store.keep_order("one", None),
        store.note_version("one", 3),
        store.delete_session("one"),
    ):
        with pytest.raises(SessionMissingError):
            await attempt
    assert (await store.revisions(["one", "two"]))[0].keys() == {"two"}
    assert await asyncio.gather(*(store.count_sessions() for _ in range(3))) == [1, 1, 1]
    assert await store.image_of("one", 0) is None  # its candidates have gone with it


async def test_a_tenant_has_so_many_and_what_has_expired_does_not_count(store: SessionStore, clock: Clock) -> None:
    for name in ("two", "three"):
        await store.create_session(replace(SESSION, id=name))
    with pytest.raises(QuotaReachedError):
        await store.create_session(replace(SESSION, id="four"))
    await store.create_session(replace(SESSION, id="other", tenant="rivals"))
    clock.now = NOW + timedelta(days=2)
    await store.create_session(replace(SESSION, id="four", expires_at=NOW + timedelta(days=3)))


async def test_of_sessions_that_are_made_at_once_no_more_are_kept_than_may(store: SessionStore) -> None:
    made = await asyncio.gather(
        *(store.create_session(replace(SESSION, id=f"more{number}")) for number in range(6)), return_exceptions=True
    )
    assert sum(one is None for one in made) == 2
    assert await store.count_sessions() == 3


@pytest.mark.parametrize("name", ["", "x" * 33, "a b", "\0", "é", "a\n"])
async def test_what_can_be_no_id_is_not_asked_for(store: SessionStore, name: str) -> None:
    with pytest.raises(SessionMissingError):
        await store.find_session(name, tenant="studio")
