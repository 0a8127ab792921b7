"""What is held of sessions: less is read, and nobody is told anything else than the database has."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import pytest_asyncio

from clpips.models.fitting.suggesting import prior_deviations, suggest_pair
from clpips.models.images.decoding import EncodedImage
from clpips.models.metric.families import ALEXNET, FAMILIES, Z_LENGTH
from clpips.models.metric.packing import unpack_z, width_of
from clpips.models.metric.weights_files import load_weights
from clpips.service.profiles.named_weights import NamedWeights
from clpips.service.sessions.held import HeldSessions
from clpips.service.sessions.states import weighed
from clpips.service.storage.database import Database
from clpips.service.storage.errors import SessionMissingError, StorageError
from clpips.service.storage.records import SessionCandidate
from clpips.service.storage.sessions import SessionStore
from tests.support import clocks, databases
from tests.support.clocks import Clock
from tests.support.colours import ColourEngine, flat
from tests.support.pictures import encode, picture
from tests.support.services import assert_problem, base64_of, multipart, post, serving
from tests.support.sessions import add, make

SESSION = replace(databases.SESSION, scopes=frozenset({"score"}), title="", resolution=256)

clock = clocks.clock


class CountingStore(SessionStore):
    """Counts the candidates that are read."""

    read = 0

    async def read_session(self, name: str, held: int = 0) -> Any:
        now, candidates = await super().read_session(name, held)
        self.read += len(candidates)
        return now, candidates

    async def candidates_between(self, name: str, start: int, end: int) -> Any:
        candidates = await super().candidates_between(name, start, end)
        self.read += len(candidates)
        return candidates


@pytest_asyncio.fixture
async def store(database_url: str, clock: Clock) -> AsyncIterator[CountingStore]:
    database = Database(database_url)
    store = CountingStore(database, most_sessions=9, most_candidates=100, clock=clock)
    await store.create_session(SESSION)
    yield store
    await database.close()


def candidate(seed: int, width: int = Z_LENGTH) -> SessionCandidate:
    z = np.random.default_rng(seed).random(width).astype(np.float16)
    return SessionCandidate(0, f"{seed:064x}", f"prompt {seed}", seed, z)


def steps(candidates: Any) -> list[int | None]:
    return [one.step for one in candidates]


async def test_who_adds_reads_nothing_of_what_it_holds(store: CountingStore, clock: Clock) -> None:
    held = HeldSessions(store, clock=clock)
    for seed in range(5):
        now, candidates = await held.add("one", [candidate(seed)])
    assert (now.candidates, steps(candidates), [one.index for one in candidates]) == (
        5,
        [0, 1, 2, 3, 4],
        [0, 1, 2, 3, 4],
    )
    assert steps((await held.read("one"))[1]) == [0, 1, 2, 3, 4]
    assert store.read == 0


async def test_what_another_replica_adds_is_read_once(store: CountingStore, clock: Clock) -> None:
    here, there = HeldSessions(store, clock=clock), HeldSessions(store, clock=clock)
    await here.add("one", [candidate(0)])
    await there.add("one", [candidate(1), candidate(2)])
    assert steps((await there.add("one", [candidate(3)]))[1]) == [0, 1, 2, 3]
    assert store.read == 1
    assert steps((await here.add("one", [candidate(4)]))[1]) == [0, 1, 2, 3, 4]
    assert store.read == 4
    for held in (here, there):
        now, kept = await held.read("one")
        assert steps(kept) == steps((await store.read_session("one"))[1])
        assert [one.index for one in kept] == list(range(now.candidates))


async def test_writers_on_two_replicas_at_once_see_one_order(store: CountingStore, clock: Clock) -> None:
    replicas = [HeldSessions(store, clock=clock) for _ in range(2)]
    seen = await asyncio.gather(*(replicas[seed % 2].add("one", [candidate(seed)]) for seed in range(20)))
    _, kept = await store.read_session("one")
    for now, candidates in seen:
        assert steps(candidates) == steps(kept[: now.candidates])
    for held in replicas:
        assert steps((await held.read("one"))[1]) == steps(kept)


async def test_a_session_that_another_replica_deletes_is_gone_for_whoever_holds_it(
    store: CountingStore, clock: Clock
) -> None:
    held = HeldSessions(store, clock=clock)
    await held.add("one", [candidate(0)])
    await store.delete_session("one")
    assert (await held.recall("one", tenant="studio")).id == "one"  # not known yet
    with pytest.raises(SessionMissingError):
        await held.add("one", [candidate(1)])
    assert held.nbytes == 0
    for attempt in (held.recall("one", tenant="studio"), held.read("one"), held.find("one", token="f" * 64)):
        with pytest.raises(SessionMissingError):
            await attempt


@pytest.mark.parametrize("how", [{"tenant": "rivals"}, {"token": "e" * 64}, {"tenant": "studio", "token": "e" * 64}])
async def test_what_is_held_opens_for_its_own_alone(store: CountingStore, clock: Clock, how: dict[str, str]) -> None:
    held = HeldSessions(store, clock=clock)
    await held.find("one", tenant="studio")
    with pytest.raises(SessionMissingError):
        await held.recall("one", **how)
    assert await held.recall("one", tenant="studio") == SESSION  # a stranger's attempt changes nothing


async def test_what_has_expired_is_not_recalled(store: CountingStore, clock: Clock) -> None:
    held = HeldSessions(store, clock=clock)
    await held.add("one", [candidate(0)])
    clock.now = SESSION.expires_at
    with pytest.raises(SessionMissingError):
        await held.recall("one", tenant="studio")
    held.expire()
    assert held.nbytes == 0


async def test_the_least_used_leave_and_are_read_again(store: CountingStore, clock: Clock) -> None:
    held = HeldSessions(store, most_bytes=60_000, clock=clock)  # four candidates of 12 KB each
    await store.create_session(replace(SESSION, id="two"))
    for seed in range(3):
        await held.add("one", [candidate(seed)])
    for seed in range(6):
        assert steps((await held.add("two", [candidate(seed)]))[1]) == list(range(seed + 1))
        assert held.nbytes <= 60_000
    assert steps((await held.read("one"))[1]) == [0, 1, 2]


async def test_a_mask_is_read_once_and_counts_among_the_bytes(store: CountingStore, clock: Clock) -> None:
    held = HeldSessions(store, clock=clock)
    masked = replace(SESSION, id="masked", mask="a" * 64)
    await store.create_session(masked, b"grey" * 1000)
    held.note(masked)
    before = held.nbytes
    assert await held.mask_of(masked) == b"grey" * 1000
    assert held.nbytes == before + 4000
    await store.delete_session("masked")
    assert await held.mask_of(masked) == b"grey" * 1000
    held.forget("masked")
    assert held.nbytes == before - 1024
    with pytest.raises(SessionMissingError):
        await held.mask_of(masked)


async def test_a_database_that_has_gone_back_is_believed(store: CountingStore, clock: Clock) -> None:
    held = HeldSessions(store, clock=clock)
    for seed in range(3):
        await held.add("one", [candidate(seed)])
    await store.delete_session("one")  # as if from a backup of before
    await store.create_session(SESSION)
    await store.add_candidates("one", [candidate(9)])
    assert steps((await held.read("one"))[1]) == [9]
    assert steps((await held.add("one", [candidate(8)]))[1]) == [9, 8]


async def test_candidates_that_cannot_be_kept_leave_the_session_as_it_was(store: CountingStore) -> None:
    nothing: Any = None
    broken = replace(candidate(2), image=nothing)  # the table refuses it, after the session has been counted on
    with pytest.raises(StorageError):
        await store.add_candidates("one", [candidate(1), broken])
    now, kept = await store.read_session("one")
    assert (now.candidates, now.revision, list(kept)) == (0, 1, [])


def test_weighing_what_is_new_gives_what_weighing_all_gives() -> None:
    profile = NamedWeights.of("lpips", 1, load_weights("lpips"))
    narrow = width_of(frozenset({ALEXNET}))
    candidates = [candidate(seed, narrow if seed % 3 == 0 else Z_LENGTH) for seed in range(150)]
    whole = weighed(candidates, profile)
    assert whole.shape == (150, len(FAMILIES))
    np.testing.assert_array_equal(weighed(candidates, profile, whole[:77]), whole)
    one = unpack_z(candidates[100].channel_distances[np.newaxis])[0].astype(np.float64)
    assert whole[100].sum() == pytest.approx(float(one @ profile.weights.values), rel=1e-6)
    np.testing.assert_array_equal(weighed([candidates[5], candidates[5]], profile)[1], whole[5])  # to the last bit


def test_the_same_image_twice_is_two_candidates_equally_far_in_the_order_they_came() -> None:
    with serving(ColourEngine()) as client:
        session = make(client, (200, 30, 30))
        state = add(client, session, [(30, 60, 200)] * 2)
        state = add(client, session, [(205, 35, 28), (30, 60, 200)])
        assert state["ranking"] == [2, 0, 1, 3]
        assert len({state["candidates"][index]["distance"] for index in (0, 1, 3)}) == 1
        assert all(one["thumbnail"] for one in state["candidates"])
        order = client.put(f"{session.path}/order", json={"order": [2, [0, 1, 3]]}).json()["state"]
        assert order["order"]["ranks"] == {"2": 1, "0": 2, "1": 2, "3": 2}


def test_a_thumbnail_costs_no_second_decoding(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[int] = []
    stored = EncodedImage.stored

    def counted(image: EncodedImage) -> Any:
        decoded.append(image.width)
        return stored(image)

    monkeypatch.setattr(EncodedImage, "stored", counted)
    with serving(ColourEngine()) as client:
        session = make(client)
        decoded.clear()
        body = multipart([("candidates", encode(picture(seed, 300, 500))) for seed in range(3)], {})
        state = post(client, body, f"{session.path}/candidates").json()
        assert all(one["thumbnail"] for one in state["candidates"])
        assert decoded == [500] * 3


def test_an_image_that_was_scored_before_gets_its_thumbnail_all_the_same() -> None:
    with serving(ColourEngine()) as client:
        candidates = [base64_of(flat((30, 60, 200)))]
        assert client.post("/rank", json={"target": base64_of(flat((1, 2, 3))), "candidates": candidates}).is_success
        assert add(client, make(client), [(30, 60, 200)])["candidates"][0]["thumbnail"]


def test_without_the_content_network_sessions_go_on() -> None:
    with serving(ColourEngine(), content=False) as client:
        session = make(client, (200, 30, 30))
        assert add(client, session, [(30, 60, 200), (205, 35, 28)])["ranking"] == [1, 0]
        answer = client.get(session.path, params={"profile": "balanced"})
        assert answer.status_code in {409, 422}
        assert_problem(answer, answer.status_code, answer.json()["type"].rpartition(":")[2])
        assert client.get(f"{session.path}/suggest").json()["pair"] == [0, 1]


def test_five_hundred_candidates_are_ranked_and_asked_about() -> None:
    with serving(ColourEngine()) as client:
        session = make(client, (0, 0, 0))
        for start in range(0, 500, 50):
            state = add(client, session, [(n % 250, 5 * (n // 250), 3) for n in range(start, start + 50)])
        assert sorted(state["ranking"]) == list(range(500))
        distances = [state["candidates"][index]["distance"] for index in state["ranking"]]
        assert distances == sorted(distances)
        first, second = client.get(f"{session.path}/suggest").json()["pair"]
        assert 0 <= first < second < 500
        said = client.put(f"{session.path}/order", json={"order": state["ranking"]}).json()["state"]
        assert said["agreement"] == pytest.approx(1, abs=0.01)
        assert client.get(f"{session.path}/suggest").json()["pair"] is None


@pytest.mark.parametrize("seed", range(6))
def test_the_pair_is_that_which_comparing_each_pair_finds(seed: int) -> None:
    rng = np.random.default_rng(seed)
    z = rng.gamma(0.7, 0.01, (30, Z_LENGTH)).astype(np.float32)
    z[rng.integers(30, size=10)] = z[0]  # copies
    known = rng.random((30, 30)) < seed / 6
    scaled = (z * prior_deviations()).astype(np.float32)
    spreads = {
        (a, b): float(np.square(scaled[b] - scaled[a]).sum())
        for a in range(30)
        for b in range(a + 1, 30)
        if not (known[a, b] or known[b, a])
    }
    expected = max(spreads, key=spreads.__getitem__)  # the first of equal ones
    assert suggest_pair(z, known) == expected
