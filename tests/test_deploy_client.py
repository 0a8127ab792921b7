"""The client's session while the service is restarted replica by replica, and while one of them is killed.

Replicas share what they have compared by PostgreSQL; on SQLite, where no PostgreSQL is there for the tests, each knows
its own, and people only look.
"""

import threading
import zlib
from collections import Counter
from collections.abc import Iterator

import pytest
from clpips_client import Client, ClpipsError

from tests.support.databases import SERVER, fresh_database
from tests.support.manifests import tool
from tests.support.pictures import picture, variation
from tests.support.replicas import REPLICAS, Proxy, Replica, killed_at_the_end, restarted, wait_until_ready

PEOPLE = 3
STEPS = 5  # candidates of a session


class Person(threading.Thread):
    """Refines again and again through the proxy, and teaches the order of some sessions, until told to stop."""

    def __init__(self, url: str, name: str, stop: threading.Event) -> None:
        super().__init__()
        self.name = name
        self._url = url
        self._stopped = stop
        self._sessions_to_teach = 2 if SERVER else 0  # more of them would make this a test of fitting
        self.seen: Counter[str] = Counter()
        self.taught = 0

    def run(self) -> None:
        with Client(self._url, timeout=90) as client:
            client.profiles.create(self.name, exist_ok=True)
            turn = 0
            while not self._stopped.is_set():
                turn += 1
                try:
                    self._refine(client, turn)
                except (ClpipsError, AssertionError) as error:
                    self.seen[repr(error)] += 1

    def _refine(self, client: Client, turn: int) -> None:
        target = picture(zlib.crc32(f"{self.name} {turn}".encode()), 96)
        session = client.session(target, profile=self.name, resolution=64)
        for step in range(STEPS):  # the last is the target itself
            ranking = session.add(target if step == STEPS - 1 else variation(target, step, 0.5))
            assert sorted(ranking.order) == list(range(step + 1)), ranking.order
            assert (ranking.best.distance == 0) == (step == STEPS - 1), ranking.best
            self.seen["right"] += 1
        if turn <= self._sessions_to_teach:
            session.order([4, 3, 2, 1, 0])
            self.taught += 1


@pytest.fixture(scope="module")
def replicas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[dict[str, Replica], Proxy]]:
    tool("haproxy", "haproxy")
    folder = tmp_path_factory.mktemp("replicas")
    with fresh_database("postgresql" if SERVER else "sqlite", folder) as url, killed_at_the_end() as processes:
        started = {name: Replica(folder / f"{name}.log", CLPIPS_DATABASE_URL=url) for name in REPLICAS}
        processes += started.values()
        for replica in started.values():
            wait_until_ready(replica.url)
        proxy = Proxy(folder, {name: replica.port for name, replica in started.items()})
        processes.append(proxy)
        wait_until_ready(proxy.url)
        yield started, proxy


@pytest.mark.timeout(400)
@pytest.mark.parametrize("how", ["one after the other", "killed"])
def test_sessions_lose_nothing(replicas: tuple[dict[str, Replica], Proxy], how: str) -> None:
    started, proxy = replicas
    stop = threading.Event()
    people = [Person(proxy.url, f"{how[0]}{number}", stop) for number in range(PEOPLE)]
    for person in people:
        person.start()
    try:
        for name, replica in started.items():
            before = sum(person.seen["right"] for person in people)
            if how == "killed":
                replica.crash()
                wait_until_ready(replica.url)
            else:
                assert restarted(replica, name, proxy) == 0
            while sum(person.seen["right"] for person in people) < before + 2 * STEPS:
                assert all(person.is_alive() for person in people)
                stop.wait(0.05)
    finally:
        stop.set()
        for person in people:
            person.join()
    assert {answer for person in people for answer in person.seen} == {"right"}, [person.seen for person in people]
    with Client(proxy.url) as client:
        for person in people:
            assert (person.taught > 0) == (SERVER is not None)
            assert client.profiles.get(person.name).rankings == person.taught  # each once
