"""Replicas of the service behind HAProxy, configured as the ingress controller would from our Service."""

import secrets
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx

from tests.support.manifests import DEPLOY, read_yaml, tool
from tests.support.processes import environment

REPLICAS = ("a", "b")
ENDPOINTS_SECONDS = 0.5  # that it takes until the proxy has heard that a pod ends
PRE_STOP_SECONDS = 1.5  # that the pod goes on serving meanwhile: shorter than in the manifest, longer than the above


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

    def __init__(self, log: Path, **settings: str) -> None:
        self._settings = settings
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
            **self._settings,
        }
        with self._log.open("ab") as log:
            return subprocess.Popen(
                [sys.executable, "-m", "clpips.service.cli", "serve"],
                env=environment(**settings),
                cwd=self._log.parent,
                stderr=log,
            )

    def crash(self) -> None:
        """End it at once, whatever it is doing, and start its successor, as a kubelet does."""
        self.process.kill()
        self.process.wait()
        self.process = self._start()

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


def restarted(replica: Replica, name: str, proxy: Proxy) -> int:
    """A pod's whole replacement: the end is announced, the old one drains, a new one comes. Returns the exit code."""
    # The cluster tells kubelet and ingress controller at the same time; the latter takes a while to act.
    time.sleep(ENDPOINTS_SECONDS)
    proxy.set(name, "maint")
    time.sleep(PRE_STOP_SECONDS - ENDPOINTS_SECONDS)
    code = replica.replace()
    proxy.set(name, "ready")
    return code


@contextmanager
def killed_at_the_end() -> Iterator[list[Replica | Proxy]]:
    """Processes that are put into this list do not outlive the block."""
    owners: list[Replica | Proxy] = []
    try:
        yield owners
    finally:
        for owner in owners:
            owner.process.kill()
            owner.process.wait()
