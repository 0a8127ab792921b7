"""PostgreSQL fails in every way it knows: what does not need it goes on, what does is told so, and all recovers."""

import gc
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import pytest
from litestar.testing import TestClient

from tests.support.colours import ColourEngine, bluest, order_of, rank, teach
from tests.support.databases import _migrated
from tests.support.postgresql import Server, private_server
from tests.support.services import assert_problem, serving

# Connections that hang are left to the garbage collector, which says so.
pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]
SECONDS = 3.0  # that nobody who needs no database may wait, on a busy machine


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with private_server() as server:
        _migrated(server.url)
        yield server


@pytest.fixture
def client(server: Server) -> Iterator[TestClient[Any]]:
    """A service that knows a profile `ada`, and has answered by it."""
    with serving(ColourEngine(), database_url=server.url, profile_refresh_seconds=0.0) as client:
        client.delete("/profiles/ada")
        assert client.post("/profiles", json={"name": "ada"}).status_code == 201
        rank(client, 1)
        yield client
    gc.collect()  # here, where the warnings of hung connections are expected


def within(seconds: float, ask: Callable[[], Any]) -> Any:
    started = time.monotonic()
    answer = ask()
    assert time.monotonic() - started < seconds
    return answer


def up(client: TestClient[Any]) -> bool:
    return "clpips_db_up 1.0" in client.get("/metrics").text


def recovers(client: TestClient[Any]) -> None:
    """The database is found again without a request, and everything works."""
    give_up = time.monotonic() + 20
    while not up(client):
        assert time.monotonic() < give_up
        time.sleep(0.05)  # the service finds out by itself
    assert client.post("/profiles/ada/reset").status_code == 200
    teach(client, 7)


def goes_on(client: TestClient[Any], seed: int) -> None:
    """Scoring goes on, by LPIPS and by what is held; what needs the database is told that it is away."""
    for profile in ("lpips", "ada"):
        assert order_of(within(SECONDS, partial(rank, client, seed, profile)))
    for method, path in (("POST", "/profiles/ada/reset"), ("POST", "/profiles/ada/fit"), ("GET", "/profiles")):
        answer = within(SECONDS, partial(client.request, method, path))
        assert_problem(answer, 503, "storage-unavailable")
        assert int(answer.headers["retry-after"]) > 0
    assert within(0.5, lambda: client.get("/healthz")).status_code == 200
    assert within(0.5, lambda: client.get("/readyz")).status_code == 200


def test_a_server_that_is_stopped_and_started(client: TestClient[Any], server: Server) -> None:
    server.stop()
    try:
        goes_on(client, 2)
        assert not up(client)
        unknown = client.post("/rank", json={"target": "eA==", "candidates": ["eA=="], "profile": "nobody"})
        assert_problem(unknown, 503, "storage-unavailable")  # nobody can tell whether it is there
    finally:
        server.start()
    recovers(client)


@pytest.mark.parametrize("how", ["NOLOGIN", "CONNECTION LIMIT 0"])
def test_a_role_that_may_not_come_in(client: TestClient[Any], server: Server, how: str) -> None:
    server.close_to(how)
    try:
        goes_on(client, 3)
    finally:
        server.close_to("LOGIN CONNECTION LIMIT -1")
    recovers(client)


def test_a_server_that_hangs_stops_nothing_that_does_not_need_it(client: TestClient[Any], server: Server) -> None:
    server.pause()
    try:
        within(SECONDS, lambda: rank(client, 4, "ada"))
        within(SECONDS, lambda: rank(client, 4, "lpips"))
        goes_on(client, 5)
        started = time.monotonic()
        for seed in range(10, 20):
            rank(client, seed, "ada")
        assert time.monotonic() - started < SECONDS  # who comes later does not wait for it once more
    finally:
        server.resume()
    recovers(client)


def test_a_table_that_is_locked_holds_up_nobody_with_weights_in_memory(client: TestClient[Any], server: Server) -> None:
    address = ["-h", "127.0.0.1", "-p", str(server.port), "-U", "admin", "-d", "clpips"]
    with subprocess.Popen(["psql", *address, "-At"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as psql:
        assert psql.stdin is not None
        assert psql.stdout is not None
        psql.stdin.write("BEGIN; LOCK TABLE profiles IN ACCESS EXCLUSIVE MODE; SELECT 'locked';\n")
        psql.stdin.flush()
        while psql.stdout.readline() != "locked\n":
            pass
        within(SECONDS, lambda: rank(client, 6, "ada"))
        within(SECONDS, lambda: rank(client, 6, "lpips"))
        psql.stdin.close()
    recovers(client)


def test_writers_that_wait_hold_up_no_reader(client: TestClient[Any], server: Server) -> None:
    address = ["-h", "127.0.0.1", "-p", str(server.port), "-U", "admin", "-d", "clpips"]
    with (
        ThreadPoolExecutor(20) as threads,
        subprocess.Popen(["psql", *address, "-At"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as psql,
    ):
        assert psql.stdin is not None
        assert psql.stdout is not None
        psql.stdin.write("BEGIN; SELECT 'locked' FROM profiles FOR UPDATE;\n")
        psql.stdin.flush()
        while psql.stdout.readline() != "locked\n":
            pass
        writing = [threads.submit(client.post, "/profiles/ada/reset") for _ in range(20)]
        time.sleep(0.3)  # they are at the lock
        assert within(SECONDS, lambda: client.get("/profiles/ada")).status_code == 200
        within(SECONDS, lambda: rank(client, 8, "ada"))
        psql.stdin.close()
        assert {one.result().status_code for one in writing} <= {200, 503}
    recovers(client)


def test_a_ranking_that_is_answered_for_is_kept_whatever_happens_to_the_fit(
    client: TestClient[Any], server: Server
) -> None:
    shown = rank(client, 9)
    answer = client.post("/profiles/ada/rankings", json={"comparison": shown["comparison"], "order": bluest(9)})
    assert answer.status_code == 201
    server.stop()
    server.start()
    recovers(client)


def test_operations_are_timed_by_name(client: TestClient[Any]) -> None:
    metrics = client.get("/metrics").text
    for name in ("find", "create", "put", "version"):
        assert f'clpips_db_seconds_count{{operation="{name}"}}' in metrics
