"""`client.share(target)`: a session that the service keeps, with a link for a person."""

from collections.abc import Iterator
from contextlib import contextmanager

import anyio
import pytest
from clpips_client import (
    AsyncClient,
    Client,
    ConnectionLostError,
    InvalidRequestError,
    SessionNotFoundError,
    UnauthenticatedError,
)

from clpips.service.admission.keys import new_key
from tests.support import client_service
from tests.support.client_service import CANDIDATES, TARGET
from tests.support.colours import ColourEngine
from tests.support.faulty import Recording, losing_line
from tests.support.services import listening

url = client_service.url


def test_a_tool_adds_candidates_and_a_person_orders_them_by_the_link(url: str) -> None:
    with Client(url) as client, Client(url) as person:
        client.profiles.create("ada")
        session = client.share(TARGET, profile="ada", title="Red bridge")
        assert session.url.startswith(f"{url}/studio#session={session.id}&token=")
        session.add(CANDIDATES[0], prompts=["a red bridge"], steps=[20])
        state = session.add(CANDIDATES[1:])
        expected = client.rank(TARGET, CANDIDATES, profile="ada")
        assert list(state.ranking) == expected.order
        assert [state.candidates[one.index].distance for one in expected] == pytest.approx(
            [one.distance for one in expected], rel=1e-3
        )
        assert (state.candidates[0].prompt, state.candidates[0].step, state.title) == ("a red bridge", 20, "Red bridge")

        theirs = person.shared(session.url)
        done = theirs.order([5, [3, 4], 0])
        assert done.taught is not None
        assert client.profiles.get("ada").rankings == 1
        seen = session.state()
        assert seen.order is not None
        assert seen.order.ranks == {"5": 1, "3": 2, "4": 2, "0": 4}
        assert session.state(profile="lpips").profile.name == "lpips"
        with pytest.raises(ValueError, match="one of order, best and top"):
            theirs.order()
        session.delete(forget=True)
        assert client.profiles.get("ada").rankings == 0
        with pytest.raises(SessionNotFoundError):
            theirs.state()


def test_the_target_goes_again_where_the_service_has_given_it_up() -> None:
    wire = Recording()
    with listening(ColourEngine(), feature_cache_bytes=24) as url, Client(url, transport=wire) as client:
        session = client.share(TARGET)
        session.add(CANDIDATES[0])
        client.rank(CANDIDATES[0], CANDIDATES[1:])  # there is room for two images
        before = len(wire.sent)
        state = session.add(CANDIDATES[1])
        assert list(state.ranking) == client.rank(TARGET, CANDIDATES[:2]).order
    assert [sent.path for sent in wire.sent[before : before + 2]] == [f"/sessions/{session.id}/candidates"] * 2


def test_a_candidate_is_not_sent_twice_where_its_answer_was_lost(url: str) -> None:
    with losing_line(url) as line, Client(line.url) as client:
        session = client.share(TARGET)
        line.losses = 1
        with pytest.raises(ConnectionLostError) as caught:
            session.add(CANDIDATES[0])
        assert caught.value.sent
        assert [one.rpartition(" ")[2] for one in line.carried] == ["201", "200"]
        assert len(session.state().candidates) == 1


def test_a_tool_asks_about_two_and_the_answer_can_be_taken_back(url: str) -> None:
    with Client(url) as client:
        client.profiles.create("kim")
        session = client.share(TARGET, profile="kim")
        assert session.suggest().pair is None
        session.add(CANDIDATES)
        asked = session.suggest()
        assert asked.pair is not None, asked.reason
        nearer, other = asked.pair
        session.order([nearer, other])
        assert client.profiles.get("kim").rankings == 1
        assert session.suggest().pair != asked.pair
        for _ in range(2):  # twice is the same as once
            back = session.take_back()
            assert back.state.order is None
        assert client.profiles.get("kim").rankings == 0
        assert session.suggest().pair == asked.pair
        session.order([other, nearer])
        first = session.take_back().forgotten
        assert first is not None
        assert first.forgotten


@contextmanager
def maker_and_person() -> Iterator[tuple[Client, Client]]:
    """A client that has a key of a service, and one of somebody who has none."""
    key, line = new_key("ada", "a", ("score", "teach"))
    with (
        listening(ColourEngine(), api_keys=line) as url,
        Client(url, key=key) as client,
        Client(url, key="") as person,
    ):
        yield client, person


def test_whoever_has_the_link_alone_does_not_delete_the_session_and_its_maker_does() -> None:
    with maker_and_person() as (client, person):
        session = client.share(TARGET)
        with pytest.raises(UnauthenticatedError):
            person.shared(session.url).delete()
        assert person.shared(session.url).state().session == session.id
        client.shared(session.url).delete()
        with pytest.raises(SessionNotFoundError):
            session.state()


def test_the_link_alone_draws_a_heat_map_of_a_candidate() -> None:
    with maker_and_person() as (client, person):
        session = client.share(TARGET)
        session.add(CANDIDATES)
        theirs = person.shared(session.url)
        drawn = theirs.heatmap(2, format="npy", upsample="bilinear", layer=1)
        assert drawn.to_numpy().shape == (256, 256)
        assert drawn.distance == pytest.approx(theirs.state().candidates[2].distance, rel=2e-3)
        same = client.heatmap(TARGET, CANDIDATES[2])
        assert theirs.heatmap(2).content == same.content
        with pytest.raises(InvalidRequestError, match="no candidate 6"):
            theirs.heatmap(6)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_awaited_one_does_the_same(url: str, backend: str) -> None:
    async def refine() -> None:
        async with AsyncClient(url) as client:
            session = await client.share(TARGET)
            state = await session.add(CANDIDATES)
            assert len(state.candidates) == 6
            taught = await client.shared(session.url).order(best=2)
            assert taught.taught is None
            assert taught.reason
            assert (await session.take_back()).state.order is None
            assert (await session.suggest()).session == session.id
            await session.delete()

    anyio.run(refine, backend=backend)
