"""A rolling restart behind HAProxy, configured as the ingress controller would from our Service, under load."""

import itertools
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.support.manifests import DEPLOY, read_yaml, tool
from tests.support.pictures import encode, picture
from tests.support.processes import environment
from tests.support.services import rank_body

REPLICAS = ("a", "b")
CLIENTS = 4
ENDPOINTS_SECONDS = 0.5  # that it takes until the proxy has heard that a pod ends
PRE_STOP_SECONDS = 1.5  # that the pod goes on serving meanwhile: shorter than in the manifest, longer than the above
IMAGES = [encode(picture(seed, 96)) for seed in range(6)]


def free_port() -> int:
    """A port of those that the system gives to nobody who has not asked for them: free until it is bound again."""
    while True:
        port = 20_000 + secrets.randbelow(10_000)
        try:
            socket.create_server(("127.0.0.1", port)).close()
        except OSError:
            continue
        return port


def wait_until_ready(url: str) -> None:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            if httpx.get(f"{url}/readyz", timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    raise AssertionError(f"{url} is not ready after a minute")


class Replica:
    """One `clpips serve` on a port of its own, as a pod would run it."""

    def __init__(self, log: Path) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self._log = log
        self.process = self._start()  # it is on its way: `wait_until_ready`

    def _start(self) -> subprocess.Popen[bytes]:
        settings = {
            "CLPIPS_PORT": str(self.port),
            "CLPIPS_ENGINE": "onnx",
            "CLPIPS_THREADS": "1",
            "CLPIPS_DECODE_THREADS": "1",
        }
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "clpips.service.cli", "serve"],
                env=environment(**settings),
                cwd=self._log.parent,
                stderr=log,
            )

    def replace(self) -> int:
        """Stop it as a kubelet does, after the pause of preStop, and start its successor. Returns the exit code."""
        self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(timeout=60)
        self.process = self._start()
        wait_until_ready(self.url)
        return code


class Proxy:
    """HAProxy in front of the replicas."""

    def __init__(self, folder: Path, ports: dict[str, int]) -> None:
        self.url = f"http://127.0.0.1:{free_port()}"
        self._admin = folder / "admin"
        configuration = folder / "haproxy.cfg"
        configuration.write_text(_configuration(self._admin, self.url.rpartition(":")[2], ports))
        self.process = subprocess.Popen([tool("haproxy", "haproxy"), "-db", "-f", configuration])

    def set(self, replica: str, state: str) -> None:
        """What the ingress controller does when an endpoint comes (`ready`) or goes (`maint`)."""
        self.ask(f"set server clpips/{replica} state {state}")

    def requests(self) -> dict[str, int]:
        """How many requests each replica has been sent."""
        header, *rows = self.ask("show stat").lstrip("# ").splitlines()
        columns = header.split(",")
        stats = [dict(zip(columns, row.split(","), strict=False)) for row in rows if row.startswith("clpips,")]
        return {row["svname"]: int(row["stot"]) for row in stats if row["svname"] in REPLICAS}

    def ask(self, command: str) -> str:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(str(self._admin))
            connection.sendall(command.encode() + b"\n")
            return b"".join(iter(lambda: connection.recv(65536), b"")).decode()


def _configuration(admin: Path, port: str, replicas: dict[str, int]) -> str:
    """What the HAProxy ingress controller makes of the annotations of our Service."""
    annotations = read_yaml(DEPLOY / "kubernetes" / "base" / "service.yaml")["metadata"]["annotations"]
    snippet = annotations["haproxy.org/backend-config-snippet"].splitlines()
    return "\n".join(
        [
            "global",
            f"  stats socket {admin} level admin",
            "defaults",
            "  mode http",
            "  timeout connect 5s",
            "  timeout client 50s",
            "  timeout server 50s",
            "frontend http",
            f"  bind 127.0.0.1:{port}",
            "  default_backend clpips",
            "backend clpips",
            f"  balance {annotations['haproxy.org/load-balance']}",
            *(f"  {line}" for line in snippet),
            *(f"  server {name} 127.0.0.1:{own}" for name, own in replicas.items()),
            "",
        ]
    )


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
    with _killed_at_the_end() as processes:
        started = {name: Replica(folder / f"{name}.log") for name in REPLICAS}
        processes += started.values()
        for replica in started.values():
            wait_until_ready(replica.url)
        yield started


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory, replicas: dict[str, Replica]) -> Iterator[Proxy]:
    with _killed_at_the_end() as processes:
        folder = tmp_path_factory.mktemp("proxy")
        proxy = Proxy(folder, {name: replica.port for name, replica in replicas.items()})
        processes.append(proxy)
        wait_until_ready(proxy.url)
        yield proxy


@contextmanager
def _killed_at_the_end() -> Iterator[list[Replica | Proxy]]:
    owners: list[Replica | Proxy] = []
    try:
        yield owners
    finally:
        for owner in owners:
            owner.process.kill()
            owner.process.wait()


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
            # The cluster tells kubelet and ingress controller at the same time; the latter takes a while to act.
            time.sleep(ENDPOINTS_SECONDS)
            proxy.set(name, "maint")
            time.sleep(PRE_STOP_SECONDS - ENDPOINTS_SECONDS)
            assert replica.replace() == 0
            proxy.set(name, "ready")
            others = {other: count - before[other] for other, count in proxy.requests().items() if other != name}
            assert min(others.values()) > 0  # they carried the load meanwhile
    assert set(load.answers) == {"right"}, load.answers
    assert load.answers["right"] > 4 * CLIENTS
