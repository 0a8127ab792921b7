"""A service in 2 GiB: requests of all sizes at once neither end its process nor take more in all of its processes."""

import asyncio
import base64
import io
import json
import resource
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from clpips.models.engines.contract import Images
from clpips.models.metric.families import ALEXNET
from clpips.service.server import serve
from clpips.service.settings import Settings
from loadtest.hostile.making import many_restarts
from tests.support.pictures import npy, picture
from tests.support.processes import environment
from tests.support.services import FakeEngine, distance_body, rank_body

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


class Sum(threading.Thread):
    """Looks at what all processes of a tree hold together, each shared page counted once, and keeps the most."""

    def __init__(self, process: int) -> None:
        super().__init__(daemon=True)
        self.most = 0
        self._process = process
        self._done = threading.Event()

    def run(self) -> None:
        while not self._done.wait(0.05):
            self.most = max(self.most, sum(map(_proportional_bytes, _tree(self._process))))

    def stop(self) -> None:
        self._done.set()
        self.join()


def _tree(process: int) -> list[int]:
    found, tree = [process], []
    while found:
        tree.append(found.pop())
        for children in Path(f"/proc/{tree[-1]}/task").glob("*/children"):
            with suppress(OSError):  # it has ended
                found += map(int, children.read_text().split())
    return tree


def _proportional_bytes(process: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{process}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return 0


def _blocks(side: int, name: str, **options: Any) -> bytes:
    """A picture of so many pixels a side, in blocks of a colour, as a file."""
    colours = np.random.default_rng(side).integers(0, 255, (side // 32 + 1, side // 32 + 1, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(colours.repeat(32, 0).repeat(32, 1)[:side, :side]).save(file, name, **options)
    return file.getvalue()


def _padded_pair(one: bytes, other: bytes) -> tuple[bytes, str]:
    """A body of 61 MiB in JSON: a picture with 45 MB behind it, and another."""
    images = [base64.b64encode(image).decode() for image in (one + bytes(45_000_000), other)]
    pair = {"target": images[0], "candidate": images[1]}
    return json.dumps({"pairs": [pair]}).encode(), "application/json"


@contextmanager
def as_in_a_pod(folder: Path) -> Iterator[Service]:
    """The service as it is deployed, told that it has so much memory."""
    settings = {"MEMORY_BYTES": str(LIMIT), "REQUEST_SECONDS": "300", "STALL_SECONDS": "300", "LOG_FORMAT": "json"}
    settings["DATABASE_URL"] = f"sqlite:///{folder}/clpips.db"
    told = environment() | {f"CLPIPS_{name}": value for name, value in settings.items()}
    command = [sys.executable, "-m", "clpips.service.cli", "serve", "--port", "0"]
    with subprocess.Popen(command, env=told, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            url = next(json.loads(line)["url"] for line in process.stderr if '"listening"' in line)
            reading = threading.Thread(target=process.stderr.read, daemon=True)  # a full pipe would stop it
            reading.start()
            yield Service(process, url)
        finally:
            process.terminate()
            process.wait(30)


@pytest.mark.skipif(sys.platform != "linux", reason="what processes hold is told by Linux: run this on Linux")
async def test_the_most_of_everything_at_once_stays_within_a_small_pod(tmp_path: Path) -> None:
    usual = [_blocks(256 + number, "JPEG") for number in range(100)]
    largest = _blocks(4096, "JPEG")
    hungry = [_blocks(5760, "JPEG", progressive=True, subsampling=0) + bytes([n]) for n in range(2)]
    hungry += [_blocks(5760, "WEBP", method=0), many_restarts(12)]
    with as_in_a_pod(tmp_path) as service:
        watch = Sum(service.process.pid)
        async with httpx.AsyncClient(base_url=service.url, timeout=400) as http:

            async def post(path: str, body: tuple[bytes, str]) -> httpx.Response:
                return await http.post(path, content=body[0], headers={"content-type": body[1]})

            assert (await http.post("/profiles", json={"name": "ada"})).status_code == 201
            for start in (0, 50):  # until the cache is full
                body = rank_body("msgpack", usual[start], usual[start + 1 : start + 50], resolution=384)
                assert (await post("/rank", body)).status_code == 200
            ranked = await post("/rank", rank_body("msgpack", usual[0], usual[1:41], profile="ada"))
            taught = {"comparison": ranked.json()["comparison"], "order": list(range(40))}
            watch.start()
            work = [post("/distance", distance_body("msgpack", [(largest, largest)], resolution=None))]
            work += [post("/distance", distance_body("msgpack", [(one, usual[0])])) for one in hungry]
            work += [post("/distance", _padded_pair(*usual[start : start + 2])) for start in (60, 70)]
            work += [post("/rank", rank_body("msgpack", usual[80], usual[81:89], resolution=1024))]
            work += [http.post("/profiles/ada/rankings", json=taught) for _ in range(2)]
            large = [asyncio.create_task(one) for one in work]
            while not all(one.done() for one in large):
                small = await post("/distance", distance_body("msgpack", [(usual[3], usual[4])]))
                assert small.status_code == 200
                await asyncio.sleep(0.2)
            answers = [await one for one in large]
            watch.stop()
            assert {answer.status_code for answer in answers} <= {200, 201, 503}
            assert [answer.status_code for answer in answers[: 1 + len(hungry)]] == [200] * (1 + len(hungry))
            assert (await http.get("/readyz")).status_code == 200
        assert watch.most < LIMIT


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
