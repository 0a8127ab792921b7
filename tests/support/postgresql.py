"""A PostgreSQL server of a test's own, which may be stopped, paused and shut in its face."""

import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest


def binaries() -> Path:
    """The folder of PostgreSQL's programs; the test skips where there are none, or none that may run."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))
    if not found:
        pytest.skip("needs PostgreSQL's server (apt-get install postgresql)")
    if os.geteuid() != 0 or shutil.which("runuser") is None:
        pytest.skip("starts a server as the user postgres, which root alone may do")
    return found[-1].parent


class Server:
    """A running server; `url` is of a database on it, as a role that is no superuser."""

    def __init__(self, folder: Path) -> None:
        self._bin = binaries()
        self._folder = folder
        with socket.create_server(("127.0.0.1", 0)) as probe:
            self.port = probe.getsockname()[1]
        self.url = f"postgresql://service@127.0.0.1:{self.port}/clpips"

    def _run(self, *command: str) -> str:
        done = subprocess.run(
            ["runuser", "-u", "postgres", "--", *command], cwd=self._folder, capture_output=True, text=True, check=True
        )
        return done.stdout

    def create(self) -> None:
        shutil.chown(self._folder, "postgres")
        self._run(f"{self._bin}/initdb", "--pgdata", f"{self._folder}/db", "--username", "admin", "--auth", "trust")
        self.start()
        self.sql("CREATE ROLE service LOGIN")
        self.sql("CREATE DATABASE clpips OWNER service")

    def start(self) -> None:
        options = f"-p {self.port} -k {self._folder} -c listen_addresses=127.0.0.1 -c fsync=off"
        log = f"{self._folder}/log"
        control = ["--pgdata", f"{self._folder}/db", "--log", log, "--wait", "--options", options, "start"]
        with Path(os.devnull).open("w") as nothing:
            subprocess.run(
                ["runuser", "-u", "postgres", "--", f"{self._bin}/pg_ctl", *control],
                cwd=self._folder,
                stdout=nothing,
                stderr=nothing,
                check=True,
            )

    def stop(self) -> None:
        self.resume()
        self._run(f"{self._bin}/pg_ctl", "--pgdata", f"{self._folder}/db", "--mode", "immediate", "--wait", "stop")

    def sql(self, statement: str, database: str = "postgres") -> str:
        address = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "admin", "-d", database]
        return self._run("psql", *address, "-Atc", statement)

    def close_to(self, how: str) -> None:
        """Change the service's role, and end its connections: `NOLOGIN`, `CONNECTION LIMIT 0`."""
        self.sql(f"ALTER ROLE service {how}")
        self.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'service'")

    def pause(self) -> None:
        """Let every process of the server hang."""
        self._signal(signal.SIGSTOP)

    def resume(self) -> None:
        self._signal(signal.SIGCONT)

    def _signal(self, how: signal.Signals) -> None:
        first = (self._folder / "db" / "postmaster.pid").read_text().splitlines()[0]
        children = subprocess.run(["pgrep", "-P", first], capture_output=True, text=True, check=False).stdout.split()
        for pid in [first, *children]:
            os.kill(int(pid), how)


@contextmanager
def private_server() -> Iterator[Server]:
    """A server that runs until the context ends."""
    with tempfile.TemporaryDirectory() as folder:
        server = Server(Path(folder))
        server.create()
        try:
            yield server
        finally:
            server.stop()
