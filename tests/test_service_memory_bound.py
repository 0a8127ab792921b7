"""A service in 2 GiB, and its process gets no more from the kernel: requests of all sizes at once do not end it."""

import asyncio
import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from clpips.models.engines.contract import Images
from clpips.models.metric.families import ALEXNET
from clpips.service.server import serve
from clpips.service.settings import Settings
from tests.support.pictures import npy, picture
from tests.support.processes import environment
from tests.support.services import FakeEngine, rank_body

LIMIT = 2 * 2**30
FEATURE_BYTES = 42  # for each pixel, as of the default engine; as many again while an image is embedded


class Features(NamedTuple):
    colour: NDArray[np.float32]  # (3,)
    network: str
    maps: NDArray[np.uint8]

    @property
    def nbytes(self) -> int:
        return self.maps.nbytes


class Hungry(FakeEngine):
    """It computes mean colours, and AlexNet takes the memory that it takes in the real engine."""

    parallel = 2
    batch = 1

    def embed(self, images: Images, *, more: bool = False, network: str = ALEXNET) -> list[Any]:
        made = []
        for one in super().embed(images, more=more, network=network):
            pixels = images[0].shape[0] * images[0].shape[1] if network == ALEXNET else 1
            layers = np.ones(FEATURE_BYTES * pixels, np.uint8)
            made.append(Features(one.colour, one.network, np.ones_like(layers)))
        return made


def main(database: str) -> None:
    """The process's own code."""
    resource.setrlimit(resource.RLIMIT_DATA, (LIMIT, LIMIT))  # memory of its own, in the heap or beside it
    serve(Settings(port=0, log_format="json", request_seconds=120.0, database_url=database), Hungry())


class Service(NamedTuple):
    process: "subprocess.Popen[str]"
    url: str

    def peak_bytes(self) -> int:
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) * 1024


@contextmanager
def hungry(folder: Path) -> Iterator[Service]:
    code = f"from tests.test_service_memory_bound import main; main('sqlite:///{folder}/clpips.db')"
    with subprocess.Popen(
        [sys.executable, "-c", code], env=environment(), stderr=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stderr is not None
            for line in process.stderr:
                if '"listening"' in line:
                    yield Service(process, json.loads(line)["url"])
                    break
            else:
                raise AssertionError(f"the service stopped with {process.wait()}")
        finally:
            process.kill()


@pytest.mark.skipif(sys.platform != "linux", reason="the limit and the peak are Linux's: run this on Linux")
async def test_sizes_of_all_kinds_at_once_stay_within_the_memory_of_a_small_pod(tmp_path: Path) -> None:
    small = [npy(picture(seed, 64)) for seed in range(60)]
    native = [npy(np.full((2000, 2000, 3), shade, np.uint8)) for shade in range(4)]
    largest = [npy(np.full((2890, 2890, 3), shade, np.uint8)) for shade in range(2)]
    bodies = [
        *(
            rank_body("multipart", small[start], small[start + 1 : start + 16], resolution=1024)
            for start in (0, 16, 32)
        ),
        *(rank_body("multipart", native[start], [native[start + 1]], resolution=None) for start in (0, 2)),
        rank_body("multipart", largest[0], largest[1:], resolution=None),
        *(rank_body("multipart", small[start], small[start + 1 : start + 60]) for start in (0,)),
    ]
    with hungry(tmp_path) as service:
        host, port = service.url.removeprefix("http://").split(":")
        unfinished = [await asyncio.open_connection(host, int(port)) for _ in range(8)]
        filling = [asyncio.create_task(_fill(writer)) for _, writer in unfinished]
        async with httpx.AsyncClient(timeout=120) as http:
            for _ in range(2):
                answers = await asyncio.gather(*(_post(http, service, body) for body in bodies), return_exceptions=True)
                # A refused client that goes on sending for long is cut off.
                others = [one for one in answers if not isinstance(one, httpx.Response | httpx.TransportError)]
                assert others == []
                found = {answer.status_code for answer in answers if isinstance(answer, httpx.Response)}
                assert 200 in found
                assert found <= {200, 503}
                assert (await _post(http, service, rank_body("multipart", small[0], small[1:2]))).status_code == 200
            assert (await http.get(f"{service.url}/readyz")).status_code == 200
        for task in filling:
            task.cancel()
        await asyncio.gather(*filling, return_exceptions=True)
        for _, writer in unfinished:
            writer.close()
        assert service.process.poll() is None
        assert service.peak_bytes() < LIMIT * 0.85  # its decoders and fits have a part of the pod too


async def _post(http: httpx.AsyncClient, service: Service, body: tuple[bytes, str]) -> httpx.Response:
    return await http.post(f"{service.url}/rank", content=body[0], headers={"content-type": body[1]})


async def _fill(writer: asyncio.StreamWriter) -> None:
    """Most of a body of 100 MB, and never its end."""
    writer.write(
        b"POST /rank HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100000000\r\n\r\n"
    )
    for _ in range(97):
        writer.write(b" " * 1_000_000)
        try:
            await writer.drain()
        except ConnectionError:  # it was given up, for others to have room
            return
