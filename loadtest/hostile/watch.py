"""Watching a service from a process of its own: how long `/healthz` takes, and what memory all its processes hold.

    python -m loadtest.hostile.watch PORT PID FILE

Writes a line each 100 ms until it is ended: when (monotonic clock), seconds of `/healthz`, bytes. It loads nothing but
the standard library, so that it gets its turn of the processor at once.
"""

import http.client
import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

from loadtest.hostile.processes import processes_of

EVERY_SECONDS = 0.1
LONGEST_SECONDS = 10.0  # of one request


class Sample(NamedTuple):
    """What was seen at one moment."""

    when: float  # of the monotonic clock, when the request was sent
    healthz_seconds: float
    memory_bytes: int  # what all processes hold, each shared page counted once


class Watch:
    """A watching process, and what it has seen."""

    def __init__(self, port: int, pid: int, file: Path) -> None:
        self._file = file
        self._file.unlink(missing_ok=True)
        self._process = subprocess.Popen([sys.executable, "-m", "loadtest.hostile.watch", str(port), str(pid), file])

    def between(self, start: float, end: float) -> list[Sample]:
        """The samples of a time, once there is one of after its end; none where the watching process has ended."""
        while self._process.poll() is None:
            samples = self._read()
            if samples and samples[-1].when >= end:
                return [
                    sample for sample in samples if start <= sample.when + sample.healthz_seconds and sample.when <= end
                ]
            time.sleep(EVERY_SECONDS / 2)  # another process is what is waited for
        return []

    def close(self) -> None:
        self._process.kill()
        self._process.wait()

    def _read(self) -> list[Sample]:
        if not self._file.exists():
            return []
        lines = self._file.read_text().splitlines(keepends=True)
        return [
            Sample(float(when), float(seconds), int(memory))
            for when, seconds, memory in (line.split() for line in lines if line.endswith("\n"))
        ]


def watch(port: int, pid: int, file: Path) -> None:
    """Write samples until the service's process is gone."""
    with file.open("w", buffering=1) as lines:
        while Path(f"/proc/{pid}").exists():
            started = time.monotonic()
            seconds = _healthz(port)
            lines.write(f"{started:.4f} {seconds:.4f} {_memory(pid)}\n")
            time.sleep(max(started + EVERY_SECONDS - time.monotonic(), 0.0))


def _healthz(port: int) -> float:
    """Seconds of one request, on a new connection; a refused one counts as nothing, for the service is not there."""
    started = time.monotonic()
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=LONGEST_SECONDS)
    try:
        connection.request("GET", "/healthz")
        connection.getresponse().read()
    except ConnectionError:
        return 0.0
    except OSError:
        return LONGEST_SECONDS
    finally:
        connection.close()
    return time.monotonic() - started


def _memory(pid: int) -> int:
    held = 0
    for process in processes_of(pid):
        try:
            rollup = Path(f"/proc/{process}/smaps_rollup").read_text()
        except OSError:  # it has ended meanwhile
            continue
        held += next((int(line.split()[1]) for line in rollup.splitlines() if line.startswith("Pss:")), 0)
    return held * 1024


if __name__ == "__main__":
    watch(int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3]))
