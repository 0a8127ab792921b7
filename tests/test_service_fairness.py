"""What small requests get while a large one is being decoded and scored."""

import asyncio
import hashlib
import math
import statistics
import threading
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from clpips.models.engines.contract import Engine, Images
from clpips.models.metric.families import ALEXNET, ALL_NETWORKS, FAMILIES_OF, Z_LENGTH, Families
from clpips.service.admission.access import Access
from clpips.service.admission.door import Door
from clpips.service.admission.room import Need, Room
from clpips.service.admission.throughput import Throughput
from clpips.service.ops.telemetry import Telemetry
from clpips.service.scoring.comparer import Comparer
from clpips.service.scoring.decoder import Decoder
from clpips.service.scoring.lanes.engine_threads import EngineThreads
from clpips.service.scoring.pipeline import Pipeline
from clpips.service.wire.schemas import SentImage, Slot
from tests.support.gated import files
from tests.support.pictures import encode, picture
from tests.support.services import FakeEngine, FakeFeatures, listening


class Diary(FakeEngine):
    """A slow engine that writes down what it did: how many images it embedded in each batch, and each comparison."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.works = threading.Event()

    def embed(self, images: Images, *, more: bool = False, network: str = ALEXNET) -> list[FakeFeatures]:
        bright = sum(int(np.asarray(image).min()) == 255 for image in images)
        self.calls.append(f"embed {bright} of the pair" if bright else "embed")
        self.works.set()
        time.sleep(0.02)  # the engine's own work
        return super().embed(images, more=more, network=network)

    def compare(
        self, targets: Sequence[Any], candidates: Sequence[Any], families: Families | None = None
    ) -> NDArray[np.float32]:
        self.calls.append("compare")
        return super().compare(targets, candidates, families)


async def until_it_works(engine: Diary, request: asyncio.Task[Any]) -> None:
    """Wait until the engine embeds images of the request, which must not be over by then."""
    while not engine.works.is_set():
        assert not request.done(), request.result()
        await asyncio.sleep(0.001)


@asynccontextmanager
async def comparer_of(engine: Engine, max_batch: int, yield_seconds: float) -> AsyncIterator[tuple[Door, Comparer]]:
    """What compares the images of requests on this engine, and the door that gives them tickets."""
    telemetry, throughput = Telemetry(), Throughput()
    door = Door(512, throughput, telemetry)
    decoder, threads = Decoder(2), EngineThreads(engine, telemetry, max_failures=5)
    pipeline = Pipeline(
        decoder,
        [threads],
        throughput,
        telemetry,
        max_batch=max_batch,
        max_delay=0.0,
        max_queue=512,
        max_pixels=10**6,
        cache_bytes=None,
        networks=ALL_NETWORKS,
        yield_seconds=yield_seconds,
    )
    room = Room(Need(10**9, await pipeline.warm_up()), telemetry)
    yield door, Comparer(pipeline, Access(()), door, room, Telemetry(), max_pixels=10**6, max_scored_pixels=10**8)
    await pipeline.close()
    decoder.close()
    threads.close()


def slots(images: Sequence[bytes]) -> list[Slot]:
    return [
        Slot(f"/{place}", SentImage(image, hashlib.sha256(image).hexdigest())) for place, image in enumerate(images)
    ]


async def test_a_pair_is_compared_before_the_next_images_of_a_large_request_are_embedded() -> None:
    engine = Diary()
    large = [encode(picture(seed, 40)) for seed in range(40)]
    white = [encode(np.full((40, 40, 3), 255, np.uint8), "PNG", compress_level=level) for level in (0, 9)]
    # The seconds bound the pause on a busy loop; with so many, ten turns of the loop must do on any machine.
    async with comparer_of(engine, max_batch=4, yield_seconds=10.0) as (door, comparer):

        async def compare(images: Sequence[bytes]) -> NDArray[np.float32]:
            target, *candidates = slots(images)
            with door.admit(math.inf) as ticket:
                pairs = [(target, candidate) for candidate in candidates]
                return await comparer.compare("a", pairs, 256, ticket, FAMILIES_OF[ALEXNET])

        engine.calls.clear()
        engine.works.clear()
        ranked = asyncio.create_task(compare(large))
        await until_it_works(engine, ranked)
        assert not (await compare(white)).any()
        assert (await ranked).shape == (39, Z_LENGTH)
    last = max(place for place, call in enumerate(engine.calls) if "of the pair" in call)
    assert engine.calls[last + 1 :].count("embed") > 1, "the large request was over too soon to tell"
    assert engine.calls[last + 1] == "compare"


async def test_healthz_answers_at_once_while_two_hundred_images_are_decoded_and_scored() -> None:
    drawn = [encode(picture(seed, 512), "PNG", compress_level=1) for seed in range(4)]
    images = [drawn[number % 4] + bytes([number]) for number in range(201)]  # unique by a byte after the end
    engine = Diary()
    busy: list[float] = []
    idle: list[float] = []  # of a service beside it that has nothing to do: what a question takes on this machine
    with listening(engine, max_images=256) as url, listening() as other:
        async with httpx.AsyncClient(timeout=100) as http:
            engine.works.clear()
            ranked = asyncio.create_task(http.post(f"{url}/rank", files=files(images)))
            await until_it_works(engine, ranked)
            while not ranked.done():
                busy.append(await seconds_of_healthz(http, url))
                idle.append(await seconds_of_healthz(http, other))
            assert len((await ranked).json()["ranking"]) == 200
    assert len(busy) > 20
    assert statistics.median(busy) < statistics.median(idle) + 0.05


async def seconds_of_healthz(http: httpx.AsyncClient, url: str) -> float:
    started = time.perf_counter()
    assert (await http.get(f"{url}/healthz")).status_code == 200
    return time.perf_counter() - started
