"""Server-sent events of sessions: every change is told, nothing is missed, and nobody who watches costs anything."""

import asyncio
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime
from typing import Any

import httpx
import pytest

from clpips.service.problems import NotReady
from clpips.service.routes.event_stream import EventStream, events_of
from clpips.service.sessions.streams import Sign, Streams, Watcher
from clpips.service.storage.errors import StorageError
from clpips.service.storage.records import Revision, Session
from tests.support.colours import ColourEngine
from tests.support.services import assert_problem, listening
from tests.support.sessions import Event, add, make, watching

TARGET = (200, 30, 30)
CANDIDATES = [(30, 60, 200), (230, 120, 30)]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with listening(ColourEngine(), session_streams=30) as url:
        yield url


@pytest.fixture
def client(url: str) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=url, timeout=60) as client:
        yield client


def names(events: list[Event]) -> list[tuple[int, str]]:
    return [(event.id, event.name) for event in events]


def test_every_change_is_told(client: httpx.Client, url: str) -> None:
    session = make(client, TARGET)
    with watching(url, session) as stream:
        events = iter(stream)
        seen = [next(events)]
        add(client, session, CANDIDATES)
        seen.append(next(events))
        client.put(f"{session.path}/order", json={"order": [0, 1]})
        seen.append(next(events))
        client.delete(session.path)
        seen += list(events)
    assert names(seen) == [(1, "created"), (2, "candidates"), (3, "order"), (4, "deleted")]
    assert seen[1].data == {"session": session.id, "revision": 2, "change": "candidates"}
    assert stream.retry == 1000


def test_who_comes_back_is_told_of_what_is_later_and_of_nothing_else(client: httpx.Client, url: str) -> None:
    session = make(client, TARGET)
    add(client, session, CANDIDATES[:1])
    with watching(url, session, **{"last-event-id": "1"}) as stream:
        events = iter(stream)
        assert names([next(events)]) == [(2, "candidates")]
    with watching(url, session, **{"last-event-id": "2"}) as stream:
        events = iter(stream)
        add(client, session, CANDIDATES[1:])
        assert names([next(events)]) == [(3, "candidates")]


def test_an_id_of_a_time_that_has_not_come_misses_nothing(client: httpx.Client, url: str) -> None:
    session = make(client, TARGET)
    with watching(url, session, **{"last-event-id": "77"}) as stream:  # of a database that was restored from a backup
        assert names([next(iter(stream))]) == [(1, "created")]


def test_the_last_event_may_stand_in_the_query(client: httpx.Client, url: str) -> None:
    session = make(client, TARGET)
    add(client, session, CANDIDATES)
    with client.stream("GET", f"{session.path}/events", params={"after": 1}) as response:
        assert next(line for line in response.iter_lines() if line.startswith("id")) == "id: 2"


@pytest.mark.parametrize("last", ["x", "-1", "1.5", "9" * 11])
def test_an_id_that_no_event_has_is_refused(client: httpx.Client, last: str) -> None:
    session = make(client, TARGET)
    answer = client.get(f"{session.path}/events", headers={"last-event-id": last})
    assert "Last-Event-ID" in assert_problem(answer, 422, "invalid-request")["detail"]


def test_the_token_opens_the_stream_and_another_does_not(client: httpx.Client, url: str) -> None:
    session = make(client, TARGET)
    with watching(url, session, **session.with_token) as stream:
        assert next(iter(stream)).id == 1
    answer = client.get(f"{session.path}/events", headers={"x-session-token": "x"})
    assert_problem(answer, 404, "session-not-found")


def test_a_new_version_of_the_profile_is_an_event(client: httpx.Client, url: str) -> None:
    client.post("/profiles", json={"name": "bob"})
    session = make(client, TARGET, profile="bob")
    with watching(url, session) as stream:
        events = iter(stream)
        next(events)
        client.post("/profiles/bob/reset")  # by another route, and so for another session
        event = next(events)
    assert (event.id, event.name) == (2, "profile")
    assert client.get(session.path).json()["profile"]["version"] == 2


def test_no_proxy_keeps_events_to_itself(client: httpx.Client) -> None:
    session = make(client, TARGET)
    with client.stream("GET", f"{session.path}/events") as response:
        assert response.headers["cache-control"] == "no-store"
        assert response.headers["x-accel-buffering"] == "no"
        assert "content-length" not in response.headers


def streams(client: httpx.Client) -> int:
    lines = client.get("/metrics").text.splitlines()
    return int(float(next(line for line in lines if line.startswith("clpips_session_streams ")).split()[1]))


def wait_for_streams(client: httpx.Client, count: int) -> None:
    deadline = time.monotonic() + 10
    while streams(client) != count:
        assert time.monotonic() < deadline, f"there are {streams(client)} streams, not {count}"
        time.sleep(0.02)  # the service notices in its own time


def test_a_client_that_goes_leaves_nothing(client: httpx.Client, url: str) -> None:
    session = make(client, TARGET)
    host, port = url.removeprefix("http://").split(":")
    for goes in ("closes", "resets"):
        connection = socket.create_connection((host, int(port)))
        connection.sendall(f"GET {session.path}/events HTTP/1.1\r\nhost: {host}:{port}\r\n\r\n".encode())
        assert connection.recv(15) == b"HTTP/1.1 200 OK"
        wait_for_streams(client, 1)
        if goes == "resets":
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        connection.close()
        wait_for_streams(client, 0)


def test_streams_are_bounded_in_all_and_for_a_session(client: httpx.Client, url: str) -> None:
    first, second, third = (make(client, TARGET) for _ in range(3))
    with ExitStack() as stack:
        for _ in range(20):
            stack.enter_context(watching(url, first))
        refused = client.get(f"{first.path}/events")
        assert int(refused.headers["retry-after"]) > 0
        assert_problem(refused, 503, "overloaded")
        for _ in range(10):
            stack.enter_context(watching(url, second))
        assert_problem(client.get(f"{third.path}/events"), 503, "overloaded")
        add(client, first, CANDIDATES)  # all other requests go on
    wait_for_streams(client, 0)
    with watching(url, third) as stream:
        assert next(iter(stream)).id == 1


def test_many_who_watch_hold_no_connection_to_the_database(database_url: str) -> None:
    # There are ten connections in all: with one of each, the last requests would wait for one in vain.
    with listening(ColourEngine(), database_url=database_url) as url, httpx.Client(base_url=url, timeout=20) as client:
        session, other = make(client, TARGET), make(client, TARGET)
        with ExitStack() as stack:
            for one in (session, other):
                for _ in range(20):
                    stack.enter_context(watching(url, one))
            assert len(add(client, session, CANDIDATES)["candidates"]) == 2


# --- the parts --------------------------------------------------------------------------------------------------------


def session_at(revision: int) -> Session:
    now = datetime.now(UTC)
    return Session(
        id="s",
        tenant="t",
        key="k",
        scopes=frozenset(),
        token="",
        title="",
        profile="lpips",
        profile_version=1,
        resolution=256,
        backbone="b",
        target="0" * 64,
        candidates=0,
        revision=revision,
        change="candidates",
        created_at=now,
        expires_at=now,
        order=None,
    )


async def test_a_stream_lives_on_comments_and_ends_after_its_time() -> None:
    watcher = Watcher(session_at(1))
    events = [event async for event in events_of(watcher, 1, heartbeat_seconds=0.02, longest_seconds=0.1)]
    assert events[0] == b"retry: 1000\n\n"
    assert set(events[1:]) == {b": still here\n\n"}
    assert 2 <= len(events) <= 7


async def test_changes_that_come_faster_than_they_are_read_are_one_event() -> None:
    watcher = Watcher(session_at(1))
    told = watcher.told(after=1)
    for number in (2, 4, 3):
        watcher.tell(Revision(number, "order"))
    assert await anext(told) == Revision(4, "order")
    watcher.tell(Revision(4, "order"))  # as polling finds it again
    watcher.tell(None)
    assert await anext(told) is Sign.DELETED
    with pytest.raises(StopAsyncIteration):
        await anext(told)


class SlowStore:
    """A store whose sessions are as they are set."""

    def __init__(self) -> None:
        self.found: dict[str, Revision] = {}
        self.asked = 0
        self.failure: StorageError | None = None

    async def revisions(self, _: Any) -> tuple[dict[str, Revision], dict[str, int]]:
        self.asked += 1
        if self.failure is not None:
            raise self.failure
        return self.found, {}


async def test_the_database_is_asked_while_somebody_watches_and_only_then() -> None:
    store = SlowStore()
    streams = Streams(store, 10, lambda: False, poll_seconds=0.001)  # type: ignore[arg-type]
    store.found = {"s": Revision(1, "created")}
    with streams.watch(session_at(1)) as watcher:
        store.found = {"s": Revision(2, "order")}
        assert await anext(watcher.told(after=1)) == Revision(2, "order")
        store.failure = StorageError("away")
        asked = store.asked
        await asyncio.sleep(0.05)  # in which it is asked some fifty times
        assert store.asked > asked
        store.failure, store.found = None, {"s": Revision(3, "order")}
        assert await anext(watcher.told(after=2)) == Revision(3, "order")
    await asyncio.sleep(0.05)
    asked = store.asked
    await asyncio.sleep(0.05)
    assert store.asked == asked


async def test_a_session_that_is_gone_on_another_replica_ends_its_streams() -> None:
    store = SlowStore()
    streams = Streams(store, 10, lambda: False, poll_seconds=0.001)  # type: ignore[arg-type]
    with streams.watch(session_at(1)) as watcher:
        assert await anext(watcher.told(after=1)) is Sign.DELETED


async def test_a_service_that_stops_ends_all_streams_and_takes_no_more() -> None:
    stops = False
    store = SlowStore()
    store.found = {"s": Revision(1, "created")}
    streams = Streams(store, 10, lambda: stops, poll_seconds=0.001)  # type: ignore[arg-type]
    with streams.watch(session_at(1)) as watcher:
        stops = True
        assert [told async for told in watcher.told(after=1)] == []
        with pytest.raises(NotReady):
            streams.require_room("s")
    await streams.close()


async def test_a_client_that_reads_nothing_is_left() -> None:
    store = SlowStore()
    store.found = {"s": Revision(1, "created")}
    streams = Streams(store, 10, lambda: False)  # type: ignore[arg-type]
    response = EventStream(lambda: streams.watch(session_at(1)), after=0, send_seconds=0.02).to_asgi_response(
        None, None
    )

    async def never(*_: Any) -> Any:
        await asyncio.Event().wait()

    await asyncio.wait_for(response.send_body(never, never), 5)
    assert len(streams) == 0
