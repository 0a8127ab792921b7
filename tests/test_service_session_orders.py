"""A person's order of a session's candidates: kept, taught, replaced, taken back; lost by no restart."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from litestar.testing import TestClient

from tests.support.colours import ColourEngine, flat
from tests.support.services import assert_problem, base64_of, pointers, serving
from tests.support.sessions import Made, add, make

TARGET = (200, 30, 30)
CANDIDATES = [(30, 60, 200), (230, 120, 30), (205, 35, 28), (90, 90, 90)]


@pytest.fixture
def session(ada: TestClient[Any]) -> Made:
    session = make(ada, TARGET, profile="ada")
    add(ada, session, CANDIDATES)
    return session


def say(client: TestClient[Any], session: Made, **said: Any) -> Any:
    answer = client.put(f"{session.path}/order", json=said)
    assert answer.status_code == 200, answer.text
    return answer.json()


def rankings(client: TestClient[Any]) -> list[tuple[int, list[int]]]:
    """The rankings that the profile `ada` keeps: of how many candidates, and their ranks."""
    lines = client.get("/profiles/ada/rankings").text.splitlines()
    return [(len(one["candidates"]), one["ranks"]) for one in map(json.loads, lines)]


@pytest.mark.parametrize(
    ("said", "ranks", "taught"),
    [
        ({"order": [3, [0, 2], 1]}, {"3": 1, "0": 2, "2": 2, "1": 4}, (4, [1, 2, 2, 4])),
        ({"order": [2, 1]}, {"2": 1, "1": 2}, (2, [1, 2])),  # the others are left out
        ({"order": [[1, 2], 0]}, {"1": 1, "2": 1, "0": 3}, (3, [1, 1, 3])),
        ({"best": 3}, {"0": 2, "1": 2, "2": 2, "3": 1}, (4, [2, 2, 2, 1])),
        ({"top": [3, 0]}, {"0": 2, "1": 3, "2": 3, "3": 1}, (4, [2, 3, 3, 1])),
    ],
)
def test_what_is_said_is_kept_and_taught(
    ada: TestClient[Any], session: Made, said: dict[str, Any], ranks: dict[str, int], taught: tuple[int, list[int]]
) -> None:
    answer = say(ada, session, **said)
    assert answer["state"]["order"]["ranks"] == ranks
    assert answer["state"]["order"]["kind"] == next(iter(said))
    assert (answer["reason"], answer["taught"]["rankings"]) == (None, 1)
    assert rankings(ada) == [taught]
    assert ada.get(session.path).json()["order"] == answer["state"]["order"]


def test_another_order_replaces_the_one_before(ada: TestClient[Any], session: Made) -> None:
    for said in ({"order": [0, 1, 2, 3]}, {"best": 2}, {"order": [0, 1]}, {"order": [2, 3]}, {"top": [1]}):
        assert say(ada, session, **said)["taught"]["rankings"] == 1
    assert rankings(ada) == [(4, [2, 1, 2, 2])]


def test_the_same_order_again_is_the_same_ranking(ada: TestClient[Any], session: Made) -> None:
    first = say(ada, session, order=[0, 1, 2])["taught"]["ranking"]
    assert say(ada, session, order=[0, 1, 2])["taught"]["ranking"] == first


def test_sessions_are_rankings_of_their_own(ada: TestClient[Any], session: Made) -> None:
    say(ada, session, order=[0, 1])
    other = make(ada, TARGET, profile="ada")
    add(ada, other, CANDIDATES)
    assert say(ada, other, order=[0, 1])["taught"]["rankings"] == 2


def test_an_order_taken_back_is_forgotten_by_the_profile_too(ada: TestClient[Any], session: Made) -> None:
    number = say(ada, session, order=[0, 1, 2])["taught"]["ranking"]
    answer = ada.delete(f"{session.path}/order").json()
    assert (answer["state"]["order"], answer["state"]["agreement"]) == (None, None)
    assert (answer["forgotten"]["forgotten"], answer["forgotten"]["rankings"]) == (number, 0)
    assert rankings(ada) == []
    again = ada.delete(f"{session.path}/order").json()
    assert (again["forgotten"], again["reason"]) == (None, "the profile keeps no ranking of this session")


def test_a_deleted_session_leaves_what_it_taught_unless_that_is_to_be_forgotten(ada: TestClient[Any]) -> None:
    for forget, left in (("false", 1), ("true", 1)):
        session = make(ada, TARGET, profile="ada")
        add(ada, session, CANDIDATES)
        say(ada, session, order=[0, 1])
        assert ada.delete(session.path, params={"forget": forget}).status_code == 204
        assert len(rankings(ada)) == left


def test_what_ships_with_the_service_is_not_taught_and_the_order_is_kept(ada: TestClient[Any]) -> None:
    session = make(ada, TARGET)
    add(ada, session, CANDIDATES)
    answer = say(ada, session, order=[2, 1, 0])
    assert (answer["taught"], answer["state"]["order"]["ranks"]) == (None, {"2": 1, "1": 2, "0": 3})
    assert "ships with the service" in answer["reason"]
    assert answer["state"]["agreement"] == 1.0
    assert say(ada, session, order=[0, 1, 2])["state"]["agreement"] == -1.0


def test_later_candidates_leave_the_order_as_it_is(ada: TestClient[Any], session: Made) -> None:
    say(ada, session, best=1)
    state = add(ada, session, [TARGET])
    assert state["order"]["ranks"] == {"0": 2, "1": 1, "2": 2, "3": 2}


@pytest.mark.parametrize(
    "said",
    [
        {},
        {"order": [0, 1], "best": 0},
        {"order": []},
        {"order": [0]},
        {"order": [[0, 1]]},
        {"order": [0, 0]},
        {"order": [0, [1, 0]]},
        {"order": [0, 4]},
        {"order": [0, -1]},
        {"order": [0, []]},
        {"order": [0, [[1]]]},
        {"order": [0, 1.5]},
        {"best": 4},
        {"top": []},
        {"top": [1, 1]},
        {"ranks": [1, 2]},
    ],
)
def test_what_is_no_order_is_refused_and_changes_nothing(
    ada: TestClient[Any], session: Made, said: dict[str, Any]
) -> None:
    before = ada.get(session.path).json()
    problem = assert_problem(ada.put(f"{session.path}/order", json=said), 422, "invalid-request")
    assert pointers(problem)[0].startswith(tuple(f"/{name}" for name in said) if len(said) == 1 else "")
    assert ada.get(session.path).json() == before


def test_an_order_of_a_session_without_candidates_is_refused(ada: TestClient[Any]) -> None:
    session = make(ada, TARGET, profile="ada")
    assert_problem(ada.put(f"{session.path}/order", json={"best": 0}), 422, "invalid-request")


def test_a_profile_that_is_deleted_meanwhile_says_so(ada: TestClient[Any], session: Made) -> None:
    assert ada.delete("/profiles/ada").status_code == 200
    assert_problem(ada.get(session.path), 422, "unknown-profile")
    assert ada.get(session.path, params={"profile": "lpips"}).status_code == 200


def test_of_orders_at_once_the_session_and_the_profile_keep_the_same(ada: TestClient[Any], session: Made) -> None:
    orders = [[a, b] for a in range(4) for b in range(4) if a != b]
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda order: say(ada, session, order=order), orders))
    kept = ada.get(session.path).json()
    (line,) = ada.get("/profiles/ada/rankings").text.splitlines()
    taught = json.loads(line)
    assert taught["candidates"] == [kept["candidates"][int(index)]["sha256"] for index in kept["order"]["ranks"]]
    assert taught["ranks"] == list(kept["order"]["ranks"].values())


def test_a_service_that_is_started_again_goes_on(database_url: str) -> None:
    with serving(ColourEngine(), database_url=database_url) as client:
        client.post("/profiles", json={"name": "ada"})
        session = make(client, TARGET, profile="ada", title="Red")
        add(client, session, CANDIDATES[:3], prompts=["a", "b", None], steps=[1, 2, None])
        before = say(client, session, order=[2, [0, 1]])["state"]
    with serving(ColourEngine(), database_url=database_url) as client:
        after = client.get(session.path, headers=session.with_token).json()
        gone = {**before, "target": {**before["target"], "thumbnail": False}}
        gone["candidates"] = [{**one, "thumbnail": False} for one in before["candidates"]]
        assert after == gone
        assert_problem(client.get(f"{session.path}/images/0"), 404, "thumbnail-gone")
        body = {"candidates": [base64_of(flat(CANDIDATES[3]))]}
        assert_problem(client.post(f"{session.path}/candidates", json=body), 409, "images-not-held")
        state = client.post(f"{session.path}/candidates", json={**body, "target": base64_of(flat(TARGET))}).json()
        assert ([one["index"] for one in state["candidates"]], state["target"]["thumbnail"]) == ([0, 1, 2, 3], True)
        assert say(client, session, best=0)["taught"]["rankings"] == 1  # in place of the order before the restart
