"""`client.session(target)`: candidates as they come, all ranked each time, and a person's order of them."""

import asyncio
import threading

import anyio
import httpx
import numpy as np
import pytest
from clpips_client import AsyncClient, BadImagesError, Client, Limits, OutOfTimeError, ProblemError
from PIL import Image

from tests.support import client_service
from tests.support.client_service import CANDIDATES, TARGET
from tests.support.colours import ColourEngine
from tests.support.faulty import Recording, losing_line
from tests.support.gated import gated
from tests.support.services import listening

url = client_service.url
client = client_service.client


def test_candidates_are_ranked_as_they_come_by_the_order_of_their_arrival(client: Client) -> None:
    session = client.session(TARGET)
    assert (len(session), session.ranking, bool(session)) == (0, None, True)
    for count, candidate in enumerate(CANDIDATES, 1):
        ranking = session.add(candidate)
        assert ranking.ranking == client.rank(TARGET, CANDIDATES[:count]).ranking
        assert session.ranking is ranking
    assert len(session) == 6
    assert session.ranking is not None
    assert session.target == session.ranking.target
    assert session._repr_html_().count("data:image/png;base64,") == 7


def test_several_may_be_added_at_once(client: Client) -> None:
    session = client.session(TARGET)
    session.add(np.stack(CANDIDATES[:3]))
    assert session.add(CANDIDATES[3:]).ranking == client.rank(TARGET, CANDIDATES).ranking


async def test_what_is_added_at_the_same_time_is_all_there(client: Client, url: str) -> None:
    session = client.session(TARGET)
    threads = [threading.Thread(target=session.add, args=[each]) for each in CANDIDATES]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    async with AsyncClient(url) as awaited:
        tasks = awaited.session(TARGET)
        await asyncio.gather(*(tasks.add(each) for each in CANDIDATES))
    expected = sorted(one.distance for one in client.rank(TARGET, CANDIDATES))
    for ranking in (session.ranking, tasks.ranking):
        assert ranking is not None
        assert [one.distance for one in ranking] == expected


def test_an_image_is_prepared_once_and_what_becomes_of_it_later_is_its_owners_business(url: str) -> None:
    wire = Recording()
    buffer = Image.fromarray(np.array(CANDIDATES[0]))
    with Client(url, transport=wire) as client:
        session = client.session(TARGET, resolution=32)
        first = session.add(buffer)
        buffer.paste((255, 0, 0), (0, 0, 64, 64))  # the generator draws into the same buffer again
        second = session.add(buffer)
    assert [one.candidate for one in first] == [one.candidate for one in second if one.index == 0]
    assert len({one.candidate for one in second}) == 2
    assert [sent.nbytes < 2 * 32 * 32 * 3 for sent in wire.sent] == [False, True]  # the new one's bytes alone


def test_what_cannot_be_used_is_not_added(client: Client) -> None:
    session = client.session(TARGET)
    session.add(CANDIDATES[0])
    with pytest.raises(BadImagesError) as caught:
        session.add([CANDIDATES[1], CANDIDATES[2] / 7.0])
    assert caught.value.indices == [1]
    with pytest.raises(BadImagesError) as caught:
        session.add(b"no image")
    assert caught.value.indices == [1]  # its place in the session
    assert len(session) == 1
    assert session.add(CANDIDATES[1]).ranking == client.rank(TARGET, CANDIDATES[:2]).ranking
    with pytest.raises(BadImagesError):
        client.session(TARGET / 7.0)


def test_after_an_error_a_candidate_can_be_added_again() -> None:
    with gated(decode_processes=0) as service, Client(service.url) as client:
        hasty = client.within(0.3).session(TARGET)
        with pytest.raises(OutOfTimeError):
            hasty.add(CANDIDATES[0])
        service.allow(50)
        assert len(hasty) == 0
        patient = client.session(TARGET)
        assert len(patient.add(CANDIDATES[0])) == 1


def test_a_persons_order_teaches_the_profile_once(url: str) -> None:
    with losing_line(url) as line, Client(line.url) as client:
        client.profiles.create("ada", exist_ok=True)
        session = client.session(TARGET, profile="ada")
        with pytest.raises(ValueError, match="no candidates yet"):
            session.order([0])
        session.add(CANDIDATES)
        asked = session.suggest()
        assert asked.pair is not None
        line.losses = 1
        first = session.order(best=2)
        second = session.order([5, 4, 3, 2, 1, 0])  # a second thought, which replaces the first
        assert (first.ranking, first.rankings, second.ranking, second.rankings) == (1, 1, 2, 1)
        assert session.profile == "ada"


def test_a_comparison_that_the_service_has_forgotten_is_made_again() -> None:
    with listening(ColourEngine(), comparison_bytes=200_000) as url, Client(url) as client:
        client.profiles.create("ada")
        session = client.session(TARGET, profile="ada")
        before = session.add(CANDIDATES)
        for other in CANDIDATES:  # there is room for a few comparisons alone
            client.rank(other, CANDIDATES, profile="ada")
        taught = session.order([5, 4, 3, 2, 1, 0])
        assert (taught.rankings, taught.ranking) == (1, 1)
        assert session.ranking is not None
        assert session.ranking.comparison != before.comparison


def test_what_ships_with_the_service_is_not_taught(client: Client) -> None:
    session = client.session(TARGET)
    session.add(CANDIDATES)
    with pytest.raises(ProblemError, match="lpips"):
        session.order(best=0)


def test_more_candidates_than_a_request_may_have_are_ranked_all_the_same(url: str) -> None:
    with Client(url, limits=Limits(images=4)) as client, Client(url) as whole:
        session = client.session(TARGET)
        for candidate in CANDIDATES:
            session.add(candidate)
        assert session.ranking is not None
        assert session.ranking.ranking == whole.rank(TARGET, CANDIDATES).ranking
        with pytest.raises(ValueError, match="no comparison"):
            session.order(best=0)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_the_awaited_session_does_the_same_on_asyncio_and_on_trio(url: str, backend: str) -> None:
    async def refine() -> None:
        async with AsyncClient(url) as client:
            await client.profiles.create("joe", exist_ok=True)
            session = client.session(TARGET, profile="joe")
            for candidate in CANDIDATES:
                ranking = await session.add(candidate)
            assert ranking.order == session.ranking.order if session.ranking else False
            assert (await session.order(best=1)).profile == "joe"
            assert (await session.suggest()).pair is not None

    anyio.run(refine, backend=backend)


@pytest.mark.parametrize("backend", ["asyncio", "trio"])
def test_a_cancelled_scope_ends_its_request_on_asyncio_and_on_trio(backend: str) -> None:
    async def give_up(url: str) -> None:
        async with AsyncClient(url) as client:
            with anyio.move_on_after(0.3) as scope:
                await client.rank(TARGET, CANDIDATES)
            assert scope.cancelled_caught

    with gated(decode_processes=0) as service:
        anyio.run(give_up, service.url, backend=backend)
        while not service.metric("clpips_rejected_total", reason="client_gone"):
            pass
        service.allow(50)
        assert httpx.get(f"{service.url}/readyz", timeout=30).status_code == 200
