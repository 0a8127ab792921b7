"""Server-sent events of sessions: every change is told, nothing is missed, and nobody who watches costs anything."""

from collections.abc import Iterator

import httpx
import pytest

from tests.support.colours import ColourEngine
from tests.support.services import listening
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
