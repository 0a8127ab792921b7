"""A rolling restart behind HAProxy, configured as the ingress controller would from our Service, under load."""

import itertools
import socket
import threading
from collections import Counter
from collections.abc import Iterator

import httpx
import pytest

from tests.support.manifests import tool
from tests.support.pictures import encode, picture
from tests.support.replicas import REPLICAS, Proxy, Replica, killed_at_the_end, restarted, wait_until_ready
from tests.support.services import rank_body

CLIENTS = 4
IMAGES = [encode(picture(seed, 96)) for seed in range(6)]


class Load:
    """Clients that rank through the proxy, one request after the other, until told to stop."""

    def __init__(self, url: str) -> None:
        self._url = url
        self._stop = threading.Event()
        self.answers: Counter[str] = Counter()
        self._threads = [threading.Thread(target=self._client, args=(number,)) for number in range(CLIENTS)]

    def _client(self, number: int) -> None:
        with httpx.Client(timeout=60) as client:
            for turn in itertools.count():
                if self._stop.is_set():
                    return
                body, content_type = rank_body("multipart", IMAGES[turn % 3], IMAGES)
                headers = {"content-type": content_type}
                if number % 2:
                    headers["x-target-hash"] = f"{turn % 7:064x}"
                try:
                    reply = client.post(f"{self._url}/rank", content=body, headers=headers)
                    first = reply.json().get("ranking", [{}])[0].get("index")
                    self.answers["right" if first == turn % 3 else f"{reply.status_code} {reply.text[:200]}"] += 1
                except httpx.HTTPError as error:
                    self.answers[repr(error)] += 1

    def __enter__(self) -> "Load":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join()


@pytest.fixture(scope="module")
def replicas(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Replica]]:
    tool("haproxy", "haproxy")
    folder = tmp_path_factory.mktemp("replicas")
    with killed_at_the_end() as processes:
        started = {name: Replica(folder / f"{name}.log") for name in REPLICAS}
        processes += started.values()
        for replica in started.values():
            wait_until_ready(replica.url)
        yield started


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory, replicas: dict[str, Replica]) -> Iterator[Proxy]:
    with killed_at_the_end() as processes:
        folder = tmp_path_factory.mktemp("proxy")
        proxy = Proxy(folder, {name: replica.port for name, replica in replicas.items()})
        processes.append(proxy)
        wait_until_ready(proxy.url)
        yield proxy


def test_a_target_stays_on_one_replica_and_all_have_a_share(proxy: Proxy) -> None:
    body, content_type = rank_body("multipart", IMAGES[0], IMAGES[:2])
    went: dict[str, set[str]] = {}
    for turn in range(24):
        target = f"{turn % 8:064x}"
        before = proxy.requests()
        headers = {"content-type": content_type, "x-target-hash": target}
        assert httpx.post(f"{proxy.url}/rank", content=body, headers=headers, timeout=60).status_code == 200
        went.setdefault(target, set()).update(name for name, count in proxy.requests().items() if count > before[name])
    assert {len(names) for names in went.values()} == {1}
    assert set().union(*went.values()) == set(REPLICAS)


def test_requests_that_name_no_target_are_spread(proxy: Proxy) -> None:
    body, content_type = rank_body("multipart", IMAGES[0], IMAGES[:1])
    before = proxy.requests()
    for _ in range(40):
        reply = httpx.post(f"{proxy.url}/rank", content=body, headers={"content-type": content_type}, timeout=60)
        assert reply.status_code == 200
    after = proxy.requests()
    assert all(after[name] - before[name] >= 10 for name in REPLICAS), (before, after)


def test_a_body_that_is_too_large_is_refused_at_the_proxy(proxy: Proxy) -> None:
    limit = 128 * 2**20
    with socket.create_connection(("127.0.0.1", int(proxy.url.rpartition(":")[2]))) as connection:
        connection.sendall(f"POST /rank HTTP/1.1\r\nhost: x\r\ncontent-length: {limit + 1}\r\n\r\n".encode())
        assert connection.recv(64).startswith(b"HTTP/1.1 413 ")


@pytest.mark.timeout(300)
def test_a_rolling_restart_loses_not_one_request(replicas: dict[str, Replica], proxy: Proxy) -> None:
    with Load(proxy.url) as load:
        for name, replica in replicas.items():
            before = proxy.requests()
            assert restarted(replica, name, proxy) == 0
            others = {other: count - before[other] for other, count in proxy.requests().items() if other != name}
            assert min(others.values()) > 0  # they carried the load meanwhile
    assert set(load.answers) == {"right"}, load.answers
    assert load.answers["right"] > 4 * CLIENTS
