"""Sessions on two replicas, and after a crash: real processes on one database."""

import json
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.support.colours import flat
from tests.support.databases import KINDS, fresh_database
from tests.support.processes import environment, wait_for_url
from tests.support.services import base64_of
from tests.support.sessions import Event, Made, add, make, watching

TARGET, CANDIDATES = (200, 30, 30), [(30, 60, 200), (230, 120, 30), (205, 35, 28)]
SERVE = """
import sys
from clpips.service.server import serve
from clpips.service.settings import Settings
from tests.support.colours import ColourEngine

if __name__ == "__main__":
    serve(Settings(port=0, database_url=sys.argv[1], profile_refresh_seconds=0.2, drain_seconds=0,
                   request_seconds=100, log_format="json", decode_processes=0),
          ColourEngine())
"""


class Process:
    """A service of its own, and its client."""

    def __init__(self, url: str, log: Path) -> None:
        with log.open("w") as errors:
            self.process = subprocess.Popen([sys.executable, "-c", SERVE, url], stderr=errors, env=environment())
        self.log = log
        self.client = httpx.Client(timeout=60)

    @property
    def url(self) -> str:
        return str(self.client.base_url).rstrip("/")

    def wait(self) -> None:
        self.client.base_url = httpx.URL(wait_for_url(self.process, self.log))

    def end(self, how: signal.Signals) -> int:
        self.process.send_signal(how)
        return self.process.wait(30)


@contextmanager
def started(url: str, folder: Path, count: int) -> Iterator[list[Process]]:
    processes = [Process(url, folder / f"{number}.log") for number in range(count)]
    try:
        for process in processes:
            process.wait()
        yield processes
    finally:
        for process in processes:
            process.process.kill()
            process.process.wait()
            process.client.close()


@pytest.fixture(params=KINDS)
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    with fresh_database(request.param, tmp_path) as url:
        yield url


class Watch:
    """Watches a session in a thread, and notes when each event came."""

    def __init__(self, url: str, session: Made) -> None:
        self.seen: list[tuple[Event, float]] = []
        self._url, self._session = url, session
        self._came = threading.Condition()
        self.thread = threading.Thread(target=self._watch)
        self.thread.start()
        self.wait(1)

    def _watch(self) -> None:
        with suppress(httpx.TransportError), watching(self._url, self._session) as stream:  # the service may be killed
            for event in stream:
                with self._came:
                    self.seen.append((event, time.monotonic()))
                    self._came.notify_all()

    def wait(self, revision: int) -> float:
        """When the event of this revision, or a later one, came."""
        with self._came:
            assert self._came.wait_for(lambda: any(event.id >= revision for event, _ in self.seen), 10), self.seen
            return next(when for event, when in self.seen if event.id >= revision)


def test_a_change_on_one_replica_is_told_on_the_other_within_a_second_and_both_go_on(url: str, tmp_path: Path) -> None:
    with started(url, tmp_path, 2) as (one, other):
        session = make(one.client, TARGET)
        add(one.client, session, CANDIDATES[:1])
        watch = Watch(other.url, session)
        delays = []
        body = {"candidates": [base64_of(flat(CANDIDATES[1]))], "target": base64_of(flat(TARGET))}
        changes: list[Callable[[], Any]] = [
            lambda: add(one.client, session, CANDIDATES[2:]),
            lambda: one.client.put(f"{session.path}/order", json={"best": 0}),
            lambda: other.client.post(f"{session.path}/candidates", json=body),
        ]
        for revision, change in enumerate(changes, start=3):
            change()
            began = time.monotonic()
            delays.append(watch.wait(revision) - began)
        assert max(delays) < 1.0, delays
        states = [process.client.get(session.path, headers=session.with_token).json() for process in (one, other)]
        for state in states:  # pictures are each replica's own
            state["target"].pop("thumbnail")
            for candidate in state["candidates"]:
                candidate.pop("thumbnail")
        assert states[0] == states[1]
        assert [len(states[0]["candidates"]), states[0]["order"]["kind"]] == [3, "best"]
        began = time.monotonic()
        assert one.client.delete(session.path).status_code == 204
        watch.thread.join(10)
        assert (watch.seen[-1][0].name, watch.seen[-1][1] - began < 1.0) == ("deleted", True)


def test_a_killed_service_loses_no_order(url: str, tmp_path: Path) -> None:
    with started(url, tmp_path, 1) as (first,):
        first.client.post("/profiles", json={"name": "ada"})
        session = make(first.client, TARGET, profile="ada")
        add(first.client, session, CANDIDATES)
        said = first.client.put(f"{session.path}/order", json={"order": [2, 1, 0]}).json()
        first.end(signal.SIGKILL)
    with started(url, tmp_path, 1) as (second,):
        state = second.client.get(session.path, headers=session.with_token).json()
        assert state["order"] == said["state"]["order"]
        assert state["ranking"] == said["state"]["ranking"]
        kept = [json.loads(line) for line in second.client.get("/profiles/ada/rankings").text.splitlines()]
        assert [ranking["ranks"] for ranking in kept] == [[1, 2, 3]]


def test_a_service_that_is_killed_between_the_order_and_the_lesson_has_the_order(url: str, tmp_path: Path) -> None:
    with started(url, tmp_path, 1) as (first,):
        first.client.post("/profiles", json={"name": "ada"})
        session = make(first.client, TARGET, profile="ada")
        add(first.client, session, CANDIDATES)
        watch = Watch(first.url, session)
        ordering = threading.Thread(target=_order_and_lose_the_answer, args=(first.url, session))
        ordering.start()
        watch.wait(3)  # it is kept: the lesson is on its way
        first.end(signal.SIGKILL)
        ordering.join(10)
        watch.thread.join(10)
    with started(url, tmp_path, 1) as (second,):
        assert second.client.get(session.path).json()["order"]["ranks"] == {"0": 1, "1": 2, "2": 3}
        again = second.client.put(f"{session.path}/order", json={"order": [0, 1, 2]}).json()
        assert (again["taught"]["rankings"], again["reason"]) == (1, None)


def _order_and_lose_the_answer(url: str, session: Made) -> None:
    with suppress(httpx.TransportError):
        httpx.put(f"{url}{session.path}/order", json={"order": [0, 1, 2]}, timeout=30)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
def test_streams_end_soon_when_the_service_stops(tmp_path: Path, how: signal.Signals) -> None:
    with started(f"sqlite:///{tmp_path}/clpips.db", tmp_path, 1) as (service,):
        session = make(service.client, TARGET)
        watches = [Watch(service.url, session) for _ in range(3)]
        began = time.monotonic()
        assert service.end(how) == 0
        assert time.monotonic() - began < 10  # of thirty that answers in flight would have
        for watch in watches:
            watch.thread.join(5)
            assert not watch.thread.is_alive()
