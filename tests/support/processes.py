"""Services in processes of their own: what they inherit, and when they listen."""

import json
import os
import time
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
