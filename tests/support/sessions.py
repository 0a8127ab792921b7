"""Refinement sessions as a tool, a person and their pages use them."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import httpx

from tests.support.colours import flat
from tests.support.services import base64_of


class Made(NamedTuple):
    """A session that was made."""

    id: str
    token: str

    @property
    def path(self) -> str:
        return f"/sessions/{self.id}"

    @property
    def with_token(self) -> dict[str, str]:
        return {"x-session-token": self.token}


def make(
    client: Any, target: Sequence[int] = (128, 128, 128), headers: dict[str, str] | None = None, **fields: Any
) -> Made:
    """A new session whose target is of one colour."""
    answer = client.post("/sessions", json={"target": base64_of(flat(target)), **fields}, headers=headers)
    assert answer.status_code == 201, answer.text
    return Made(answer.json()["session"], answer.json()["token"])


def add(
    client: Any, session: Made, colours: Sequence[Sequence[int]], headers: dict[str, str] | None = None, **fields: Any
) -> Any:
    """The state of a session after further candidates of one colour each."""
    body = {"candidates": [base64_of(flat(colour)) for colour in colours], **fields}
    answer = client.post(f"{session.path}/candidates", json=body, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer.json()


class Event(NamedTuple):
    """A server-sent event."""

    id: int
    name: str
    data: dict[str, Any]


class Events:
    """The events of a stream, one after the other; `comments` counts what keeps it alive."""

    def __init__(self, response: httpx.Response) -> None:
        self._lines = response.iter_lines()
        self.comments = 0
        self.retry: int | None = None

    def __iter__(self) -> Iterator[Event]:
        fields: dict[str, str] = {}
        for line in self._lines:
            name, _, value = line.partition(": ")
            if line.startswith(":"):
                self.comments += 1
            elif name == "retry":
                self.retry = int(value)
            elif line:
                fields[name] = value
            elif fields:
                yield Event(int(fields["id"]), fields["event"], json.loads(fields["data"]))
                fields = {}


@contextmanager
def watching(url: str, session: Made, **headers: str) -> Iterator[Events]:
    """The events of a session of the service at `url`."""
    with (
        httpx.Client(base_url=url, timeout=20) as client,
        client.stream("GET", f"{session.path}/events", headers=headers) as response,
    ):
        assert response.status_code == 200, response.read()
        assert response.headers["content-type"].startswith("text/event-stream")
        yield Events(response)
