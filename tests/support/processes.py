"""Processes of their own: what services inherit, when they listen, and which processes a process has started."""

import json
import os
import time
from contextlib import suppress
from pathlib import Path
from subprocess import Popen
from typing import Any


def environment(**variables: str) -> dict[str, str]:
    """This process's environment without the settings of whoever runs the tests, and with these variables.

    Its services convolve directly: they need not measure at their start which way is faster, which takes a second.
    """
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("CLPIPS_")}
    return inherited | {"CLPIPS_CONVOLUTION": "direct"} | variables


def wait_for_url(process: Popen[Any], log: Path) -> str:
    """The URL that a starting service writes to its log, in JSON; the process must not end before."""
    while process.poll() is None:
        for line in log.read_text().splitlines():
            if '"listening"' in line and line.endswith("}"):
                url: str = json.loads(line)["url"]
                return url
        time.sleep(0.02)  # another process is what is waited for
    raise AssertionError(f"the service stopped with {process.returncode}: {log.read_text()}")


def children(process: int, *, ended: bool = False) -> set[int]:
    """The processes that a process has started; also those that have ended and that nobody has waited for, if asked."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with suppress(OSError):  # it has ended meanwhile
            fields = stat.read_text().rpartition(")")[2].split()
            if int(fields[1]) == process and (ended or fields[0] != "Z"):
                found.add(int(stat.parent.name))
    return found
