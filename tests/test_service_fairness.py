"""What small requests get while a large one is being decoded and scored."""

import asyncio
import statistics
import threading
import time
from collections.abc import Sequence
from typing import Any

import httpx
import numpy as np
import pytest
from numpy.typing import NDArray

from clpips.models.engines.contract import Images
from clpips.service.batching import batcher as batching
from tests.support.gated import files
from tests.support.pictures import encode, picture
from tests.support.services import FakeEngine, FakeFeatures, listening


class Diary(FakeEngine):
    """A slow engine that writes down what it did: how many images it embedded in each batch, and each comparison."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.works = threading.Event()

    def embed(self, images: Images, *, more: bool = False) -> list[FakeFeatures]:
        bright = sum(int(np.asarray(image).min()) == 255 for image in images)
        self.calls.append(f"embed {bright} of the pair" if bright else "embed")
        self.works.set()
        time.sleep(0.02)  # the engine's own work
        return super().embed(images, more=more)

    def compare(self, targets: Sequence[Any], candidates: Sequence[Any]) -> NDArray[np.float32]:
        self.calls.append("compare")
        return super().compare(targets, candidates)


async def test_a_pair_is_compared_before_the_next_images_of_a_large_request_are_embedded(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(batching, "COURTESY_SECONDS", 10.0)  # however busy the machine is that the test runs on
    engine = Diary()
    large = [encode(picture(seed, 40)) for seed in range(40)]
    white = [encode(np.full((40, 40, 3), 255, np.uint8), "PNG", compress_level=level) for level in (0, 9)]
    with listening(engine, max_batch=4) as url:
        async with httpx.AsyncClient(base_url=url, timeout=60) as http:
            engine.calls.clear()
            engine.works.clear()
            ranked = asyncio.create_task(http.post("/rank", files=files(large)))
            await asyncio.to_thread(engine.works.wait)
            pair = await http.post("/distance", files=[("target", ("t", white[0])), ("candidate", ("c", white[1]))])
            assert pair.json()["distances"] == [0.0]
            assert (await ranked).status_code == 200
    last = max(place for place, call in enumerate(engine.calls) if "of the pair" in call)
    assert engine.calls[last + 1 :].count("embed") > 1, "the large request was over too soon to tell"
    assert engine.calls[last + 1] == "compare"


async def test_healthz_answers_at_once_while_two_hundred_images_are_decoded_and_scored() -> None:
    drawn = [encode(picture(seed, 512), "PNG", compress_level=1) for seed in range(4)]
    images = [drawn[number % 4] + bytes([number]) for number in range(201)]  # unique by a byte after the end
    engine = Diary()
    seconds: list[float] = []
    with listening(engine, max_images=256) as url:
        async with httpx.AsyncClient(base_url=url, timeout=60) as http:
            engine.works.clear()
            ranked = asyncio.create_task(http.post("/rank", files=files(images)))
            await asyncio.to_thread(engine.works.wait)
            while not ranked.done():
                started = time.perf_counter()
                assert (await http.get("/healthz")).status_code == 200
                seconds.append(time.perf_counter() - started)
            assert len((await ranked).json()["ranking"]) == 200
    assert len(seconds) > 20
    assert statistics.median(seconds) < 0.05
