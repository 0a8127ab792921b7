"""A real service process whose engine runs a batch only when the test lets it."""

import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import httpx

from clpips.models.engines.contract import Images
from clpips.models.metric.families import ALEXNET
from clpips.service.server import serve
from clpips.service.settings import Settings
from tests.support.services import FakeEngine, FakeFeatures

RUN, FAIL = b"r", b"f"


class GatedEngine(FakeEngine):
    """Reads one byte from a pipe before each batch of images: `RUN` lets it run, `FAIL` makes it fail."""

    def __init__(self, gate: int) -> None:
        super().__init__()
        self._gate = gate

    def embed(self, images: Images, *, more: bool = False, network: str = ALEXNET) -> list[FakeFeatures]:
        if os.read(self._gate, 1) != RUN:
            raise RuntimeError("the device is gone")
        return super().embed(images, more=more, network=network)


class Gated:
    """The process, and the other end of its engine's pipe."""

    def __init__(self, process: "subprocess.Popen[str]", url: str, gate: int) -> None:
        self.process = process
        self.url = url
        self._gate = gate

    def allow(self, batches: int = 1) -> None:
        os.write(self._gate, RUN * batches)

    def fail(self, batches: int = 1) -> None:
        os.write(self._gate, FAIL * batches)

    def metric(self, name: str, **labels: str) -> float:
        """The value of a metric, 0 where it is not there."""
        pairs = ",".join(f'{key}="{value}"' for key, value in labels.items())
        wanted = f"{name}{{{pairs}}}" if labels else name
        for line in httpx.get(f"{self.url}/metrics", timeout=30).text.splitlines():
            if line.startswith(f"{wanted} "):
                return float(line.rpartition(" ")[2])
        return 0.0


@contextmanager
def gated(**settings: Any) -> Iterator[Gated]:
    """A service with a gated engine, warm and listening."""
    inner, outer = os.pipe()
    code = f"from tests.support.gated import main; main({inner}, {settings!r})"
    with subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True, pass_fds=[inner]) as process:
        try:
            os.close(inner)
            os.write(outer, RUN)  # the warm-up
            assert process.stderr is not None
            for line in process.stderr:
                if "listening" in line:
                    yield Gated(process, line.partition('"url": "')[2].partition('"')[0], outer)
                    break
            else:
                raise AssertionError(f"the service stopped with {process.wait()}")
        finally:
            process.kill()
            os.close(outer)


def main(gate: int, settings: dict[str, Any]) -> None:
    """The process's own code."""
    serve(Settings(port=0, log_format="json", **settings), GatedEngine(gate))


def files(images: Sequence[bytes]) -> list[tuple[str, tuple[str, bytes]]]:
    """A `/rank` form as httpx sends it: the first image is the target."""
    return [("target", ("t", images[0])), *(("candidates", ("c", image)) for image in images[1:])]
