"""Who may open a session: its tenant's keys and whoever has its token; to all others there is no such session."""

import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from statistics import median
from typing import Any

import pytest
from litestar.testing import TestClient

from clpips.service.admission.access import Access
from clpips.service.admission.keys import KeyScope, hash_of, new_key
from clpips.service.storage.database import Database
from clpips.service.storage.errors import SessionMissingError
from clpips.service.storage.sessions import SessionStore
from tests.support.colours import ColourEngine, flat
from tests.support.services import assert_problem, base64_of, serving
from tests.support.sessions import Made, add, make

TARGET, CANDIDATES = (200, 30, 30), [(30, 60, 200), (230, 120, 30)]
ADA: tuple[KeyScope, ...] = ("score", "teach")
KEYS = {
    "ada": new_key("ada", "a", ADA),
    "alan": new_key("alan", "a", ("score",)),
    "eve": new_key("eve", "b", ("score", "teach", "admin")),
}
ORDER = {"order": [0, 1]}


def bearer(name: str) -> dict[str, str]:
    return {"authorization": f"Bearer {KEYS[name][0]}"}


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("sessions") / "clpips.db"


@pytest.fixture(scope="module")
def client(database: Path) -> Iterator[TestClient[Any]]:
    keys = "\n".join(line for _, line in KEYS.values())
    with serving(ColourEngine(), api_keys=keys, database_url=f"sqlite:///{database}") as client:
        assert client.post("/profiles", json={"name": "hers"}, headers=bearer("ada")).status_code == 201
        yield client


@pytest.fixture
def session(client: TestClient[Any]) -> Made:
    session = make(client, TARGET, bearer("ada"), profile="hers")
    add(client, session, CANDIDATES, bearer("ada"))
    return session


def every_request(session: Made) -> list[tuple[str, str, Any]]:
    candidates = {"candidates": [base64_of(flat(CANDIDATES[0]))], "target": base64_of(flat(TARGET))}
    return [
        ("GET", session.path, None),
        ("GET", f"{session.path}/events", None),
        ("GET", f"{session.path}/images/target", None),
        ("GET", f"{session.path}/images/0", None),
        ("GET", f"{session.path}/heatmap?candidate=0", None),
        ("GET", f"{session.path}/suggest", None),
        ("POST", f"{session.path}/candidates", candidates),
        ("PUT", f"{session.path}/order", ORDER),
        ("DELETE", f"{session.path}/order", None),
        ("DELETE", session.path, None),
    ]


def test_all_keys_of_the_tenant_open_it(client: TestClient[Any], session: Made) -> None:
    for name in ("ada", "alan"):
        assert client.get(session.path, headers=bearer(name)).status_code == 200


@pytest.mark.parametrize("place", range(10))
def test_another_tenants_session_is_answered_as_one_that_never_was(
    client: TestClient[Any], session: Made, place: int
) -> None:
    answers = []
    for one in (session, Made("A" * len(session.id), "")):
        method, path, body = every_request(one)[place]
        answer = client.request(method, path, json=body, headers=bearer("eve"))
        problem = assert_problem(answer, 404, "session-not-found")
        answers.append((problem["detail"].replace(one.id, "…"), sorted(answer.headers)))
    assert answers[0] == answers[1]
    assert client.get(session.path, headers=bearer("ada")).json()["revision"] == 2


def test_another_tenants_session_is_answered_in_the_same_time(client: TestClient[Any], session: Made) -> None:
    seconds: dict[str, list[float]] = {"theirs": [], "nobody's": []}
    for _ in range(60):  # by turns: what else the machine does strikes both
        for name, path in (("theirs", session.path), ("nobody's", f"/sessions/{'A' * len(session.id)}")):
            started = time.perf_counter()
            client.get(path, headers=bearer("eve"))
            seconds[name].append(time.perf_counter() - started)
    theirs, nobodys = median(seconds["theirs"]), median(seconds["nobody's"])
    assert abs(theirs - nobodys) < 0.25 * nobodys


@pytest.mark.parametrize("place", range(10))
def test_without_key_and_token_nothing_opens(client: TestClient[Any], session: Made, place: int) -> None:
    method, path, body = every_request(session)[place]
    assert_problem(client.request(method, path, json=body), 401, "unauthenticated")


def test_the_token_opens_the_session_in_place_of_a_key(client: TestClient[Any], session: Made) -> None:
    for method, path, body in every_request(session):
        if path.endswith("/events"):
            continue  # it goes on: tests/test_service_session_events.py
        if (method, path) == ("DELETE", session.path):
            continue  # it is its tenant's: below
        answer = client.request(method, path, json=body, headers=session.with_token)
        assert answer.status_code in {200, 204}, answer.text


def test_the_token_does_not_delete_the_session_and_a_key_of_the_tenant_does(
    client: TestClient[Any], session: Made
) -> None:
    for params in ({}, {"forget": True}):
        problem = assert_problem(
            client.delete(session.path, params=params, headers=session.with_token), 403, "forbidden"
        )
        assert "an API key of its tenant, without X-Session-Token" in problem["detail"]
    assert client.get(session.path, headers=bearer("ada")).json()["candidates"]
    assert client.delete(session.path, headers=bearer("alan")).status_code == 204


def test_in_an_open_service_a_session_is_deleted_without_its_token() -> None:
    with serving(ColourEngine()) as client:
        session = make(client, TARGET)
        assert_problem(client.delete(session.path, headers=session.with_token), 403, "forbidden")
        assert client.delete(session.path).status_code == 204


def test_a_wrong_token_opens_nothing_whatever_key_comes_with_it(client: TestClient[Any], session: Made) -> None:
    other = make(client, TARGET, bearer("ada"))
    for token in ("", "x", other.token, session.token[:-1], hash_of(session.token), "é"):
        sent = {"x-session-token": token, **bearer("ada")}
        headers = {name.encode(): value.encode() for name, value in sent.items()}
        answer = client.get(session.path, headers=headers)
        assert_problem(answer, 404, "session-not-found")


def test_the_token_opens_nothing_else(client: TestClient[Any], session: Made) -> None:
    other = make(client, TARGET, bearer("ada"))
    for method, path in (
        ("GET", "/profiles"),
        ("GET", "/profiles/hers"),
        ("DELETE", "/profiles/hers/rankings/1"),
        ("POST", "/rank"),
        ("POST", "/sessions"),
    ):
        assert_problem(client.request(method, path, headers=session.with_token), 401, "unauthenticated")
        as_key = {"authorization": f"Bearer {session.token}"}
        assert_problem(client.request(method, path, headers=as_key), 401, "unauthenticated")
    assert_problem(client.get(other.path, headers=session.with_token), 404, "session-not-found")


def test_the_token_ranks_by_the_sessions_profile_and_shipped_ones(client: TestClient[Any], session: Made) -> None:
    client.post("/profiles", json={"name": "private"}, headers=bearer("ada"))
    for profile, status in (("hers", 200), ("lpips", 200), ("private", 422), ("nobody", 422)):
        answer = client.get(session.path, params={"profile": profile}, headers=session.with_token)
        assert answer.status_code == status
    answers = [
        client.get(session.path, params={"profile": one}, headers=session.with_token).json()
        for one in ("private", "nobody")
    ]
    assert answers[0] == answers[1]
    assert client.get(session.path, params={"profile": "private"}, headers=bearer("ada")).status_code == 200


def test_a_token_may_do_what_its_makers_key_could(client: TestClient[Any]) -> None:
    session = make(client, TARGET, bearer("alan"), profile="hers")
    add(client, session, CANDIDATES, session.with_token)
    for headers in (session.with_token, bearer("alan")):
        taught = client.put(f"{session.path}/order", json=ORDER, headers=headers)
        assert taught.status_code == 200
        assert (taught.json()["taught"], taught.json()["state"]["order"]["kind"]) == (None, "order")
        assert "scope 'teach'" in taught.json()["reason"]
        assert_problem(client.delete(session.path, params={"forget": True}, headers=headers), 403, "forbidden")
    assert client.put(f"{session.path}/order", json=ORDER, headers=bearer("ada")).json()["taught"] is not None


def test_the_database_has_a_hash_in_place_of_the_token(client: TestClient[Any], session: Made, database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection:
        ((kept,),) = connection.execute("SELECT token FROM sessions WHERE id = ?", (session.id,)).fetchall()
    assert kept == hash_of(session.token)
    content = b"".join(path.read_bytes() for path in database.parent.iterdir())
    assert session.token.encode() not in content


def test_a_token_is_long_and_never_the_same(client: TestClient[Any]) -> None:
    tokens = {make(client, TARGET, bearer("ada")).token for _ in range(5)}
    assert len(tokens) == 5
    assert min(map(len, tokens)) >= 43


def test_a_token_ends_with_the_key_that_made_it(client: TestClient[Any], session: Made) -> None:
    access: Access = client.app.state.access
    known = access._keys
    try:
        access.replace([key for key in known if key.name != "ada"])
        assert_problem(client.get(session.path, headers=session.with_token), 404, "session-not-found")
        assert client.get(session.path, headers=bearer("alan")).status_code == 200  # the session itself stays
        access.replace([key._replace(expires=datetime.now(UTC)) if key.name == "ada" else key for key in known])
        assert_problem(client.get(session.path, headers=session.with_token), 404, "session-not-found")
    finally:
        access.replace(known)
    assert client.get(session.path, headers=session.with_token).status_code == 200


async def test_a_session_and_its_token_expire_together(client: TestClient[Any], session: Made, database: Path) -> None:
    ends = datetime.fromisoformat(client.get(session.path, headers=bearer("ada")).json()["expires"])
    opened = Database(f"sqlite:///{database}")

    def store_at(moment: datetime) -> SessionStore:
        return SessionStore(opened, 10, 10, lambda: moment)

    before, after = (store_at(ends + timedelta(seconds=seconds)) for seconds in (-1, 1))
    try:
        assert (await before.find_session(session.id, tenant="a")).id == session.id
        assert (await before.find_session(session.id, token=hash_of(session.token))).id == session.id
        with pytest.raises(SessionMissingError):
            await after.find_session(session.id, tenant="a")
        with pytest.raises(SessionMissingError):
            await after.find_session(session.id, token=hash_of(session.token))
    finally:
        await opened.close()


def test_a_token_counts_against_the_rate_of_its_makers_key() -> None:
    with serving(ColourEngine(), api_keys=KEYS["ada"][1], rate_limit=4) as client:
        session = make(client, TARGET, bearer("ada"))
        statuses = [client.get(session.path, headers=session.with_token).status_code for _ in range(5)]
        assert statuses == [200, 200, 200, 429, 429]


def test_in_an_open_service_whoever_has_the_id_has_the_session_as_with_profiles() -> None:
    with serving(ColourEngine()) as client:
        session = make(client, TARGET)
        assert client.get(session.path).status_code == 200
        assert client.get(session.path, headers=session.with_token).status_code == 200
        assert_problem(client.get(session.path, headers={"x-session-token": "x"}), 404, "session-not-found")


def test_a_page_of_another_site_neither_reads_nor_changes_a_session(client: TestClient[Any], session: Made) -> None:
    for method, path, body in every_request(session):
        headers = {**session.with_token, "origin": "https://evil.example"}
        assert_problem(client.request(method, path, json=body, headers=headers), 403, "origin-refused")
