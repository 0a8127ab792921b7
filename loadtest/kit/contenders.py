"""The servers that the benchmark runs side by side, each in processes of its own; who does not run is frozen."""

import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

START_SECONDS = 90.0
LOGS = Path("reports") / "loadtest"


@dataclass
class Server:
    """A server in a process group of its own, frozen (SIGSTOP) except when it is its turn."""

    name: str
    module: list[str]  # after `python -m`; {port} stands for the port
    environment: dict[str, str] = field(default_factory=dict)
    ready: str = "/readyz"
    takes_names: bool = False  # whether an image sent before may be named by its hash
    port: int = 0

    def start(self) -> None:
        """Start and wait until it is ready. Raises `RuntimeError` with the end of its log where it is not."""
        self.launch()
        self.wait_until_ready()

    def launch(self) -> None:
        """Start, and do not wait: several servers can get ready side by side."""
        signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # whoever ends us early ends the servers too
        self.port = _free_port()
        LOGS.mkdir(parents=True, exist_ok=True)
        self._log = LOGS / f"{self.name}.log"
        with self._log.open("wb") as log:
            self.process = subprocess.Popen(
                [sys.executable, "-m", *(part.format(port=self.port) for part in self.module)],
                env={**os.environ, **self.environment},
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_until_ready(self) -> None:
        """Raises `RuntimeError` with the end of its log where it ends, or is not ready in `START_SECONDS`."""
        limit = time.monotonic() + START_SECONDS
        while time.monotonic() < limit and self.process.poll() is None:
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.port}{self.ready}", timeout=2):
                    return
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                time.sleep(0.1)
        tail = self._log.read_text(errors="replace")[-2000:]
        self.stop()
        raise RuntimeError(f"{self.name} did not start; its log ends with:\n{tail}")

    def freeze(self) -> None:
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        self._signal(signal.SIGCONT)

    def stop(self) -> None:
        self.thaw()
        self.process.terminate()
        try:
            self.process.wait(20)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self.process.wait()
        self._signal(signal.SIGKILL)  # its children, if any are left

    def kill(self) -> None:
        """End at once, whatever it is at."""
        self._signal(signal.SIGKILL)
        self.process.wait()

    def resident_bytes(self) -> int:
        """Memory that the server's first process holds, in bytes."""
        return int(Path(f"/proc/{self.process.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    def processor_seconds(self) -> float:
        """Time on the processors that the server's first process has had."""
        return _processor_seconds(_fields(Path(f"/proc/{self.process.pid}/stat")))

    def group_seconds(self) -> float:
        """Time on the processors of all the server's processes: of those that have ended, as their parents know it."""
        seconds = 0.0
        for stat in Path("/proc").glob("[0-9]*/stat"):
            try:
                fields = _fields(stat)
            except (FileNotFoundError, ProcessLookupError):  # it has ended
                continue
            if int(fields[2]) == self.process.pid:  # the group, which is named for its first process
                seconds += _processor_seconds(fields, ended_children=True)
        return seconds

    def _signal(self, number: int) -> None:
        try:
            os.killpg(self.process.pid, number)
        except ProcessLookupError:
            return


def clpips(name: str = "clpips", **settings: str | int | float) -> Server:
    """This service; `settings` are its own, by the names of `CLPIPS_*`."""
    environment = {f"CLPIPS_{setting.upper()}": str(value) for setting, value in settings.items()}
    return Server(
        name,
        ["clpips.service.cli", "serve", "--port", "{port}"],
        {"CLPIPS_LOG_LEVEL": "warning", "CLPIPS_DATABASE_URL": f"sqlite:///{LOGS / name}.db", **environment},
        takes_names=True,
    )


def plain(device: str = "cpu") -> Server:
    return Server("plain Litestar", ["loadtest.kit.plain", "{port}", device])


def litserve(device: str = "cpu") -> Server:
    return Server("LitServe", ["loadtest.kit.lit", "{port}", device], ready="/health")


def _fields(stat: Path) -> list[str]:
    """The fields of a process's `/proc/PID/stat` that follow its name."""
    return stat.read_text().rpartition(")")[2].split()


def _processor_seconds(fields: list[str], *, ended_children: bool = False) -> float:
    return sum(map(int, fields[11 : 15 if ended_children else 13])) / os.sysconf("SC_CLK_TCK")


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
