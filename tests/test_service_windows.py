"""Large requests: a window of their images at a time, with the same answers; what is needed stays."""

import asyncio
import gc
import math
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, ClassVar

import numpy as np
import pytest
from numpy.typing import NDArray

from clpips.models.engines.contract import Engine, Images
from clpips.models.metric.families import ALEXNET, FAMILIES_OF
from clpips.service.admission.access import Access
from clpips.service.admission.door import Door
from clpips.service.admission.room import Need, Room
from clpips.service.admission.throughput import Throughput
from clpips.service.ops.telemetry import Telemetry
from clpips.service.problems import BadImages, ImagesNotHeld
from clpips.service.scoring.comparer import Comparer
from clpips.service.scoring.decoder import Decoder
from clpips.service.scoring.lanes.engine_threads import EngineThreads
from clpips.service.scoring.pipeline import Pipeline
from clpips.service.wire.schemas import HeldImage, SentImage, Slot
from tests.support.pictures import npy, picture
from tests.support.services import FakeEngine, FakeFeatures

PIXELS = 64 * 64
FEATURE_BYTES = 42 * PIXELS


class Heavy(FakeFeatures):
    """Features that cost what real ones do, and that count how many of them there are."""

    alive: ClassVar[set[int]] = set()
    most_alive: ClassVar[int] = 0

    @property
    def nbytes(self) -> int:
        return FEATURE_BYTES

    def __del__(self) -> None:
        Heavy.alive.discard(id(self))


class HeavyEngine(FakeEngine):
    def embed(self, images: Images, *, more: bool = False, network: str = ALEXNET) -> list[FakeFeatures]:
        features = [Heavy(one.colour) for one in super().embed(images, more=more, network=network)]
        Heavy.alive.update(map(id, features))
        Heavy.most_alive = max(Heavy.most_alive, len(Heavy.alive))
        return list(features)


@asynccontextmanager
async def comparer_with_room_for(images: int, engine: Engine, cached: int = 0) -> AsyncIterator[Comparer]:
    """A comparer where the features of so many images are a request's share, and so many may be kept."""
    telemetry, throughput = Telemetry(), Throughput()
    door, room = Door(512, throughput, telemetry), Room(Need(10**9, 0), telemetry)
    decoder, threads = Decoder(2), EngineThreads(engine, telemetry, max_failures=5)
    pipeline = Pipeline(
        decoder,
        [threads],
        throughput,
        telemetry,
        max_batch=1,
        max_delay=0.0,
        max_queue=512,
        max_pixels=10**6,
        cache_bytes=cached * FEATURE_BYTES,
        networks=frozenset({ALEXNET}),
    )
    room.most = Need(10**9, math.ceil(await pipeline.warm_up(math.ceil(images * FEATURE_BYTES * 8 / 3))))
    yield Comparer(pipeline, Access(()), door, room, telemetry, max_pixels=10**6, max_scored_pixels=10**8)
    await pipeline.close()
    decoder.close()
    threads.close()


def slot(place: int, content: bytes) -> Slot:
    return Slot(f"/{place}", sent(content))


def sent(content: bytes) -> SentImage:
    return SentImage(content, str(hash(content)))


async def compare(comparer: Comparer, pairs: Sequence[tuple[Slot, Slot]], resolution: int | None = 64) -> Any:
    with comparer._door.admit(math.inf) as ticket:
        return await comparer.compare("tenant", pairs, resolution, ticket, FAMILIES_OF[ALEXNET])


IMAGES = [npy(picture(seed, 64)) for seed in range(20)]
RANKING = [(slot(0, IMAGES[0]), slot(place, image)) for place, image in enumerate(IMAGES[1:], start=1)]
DISJOINT = [(slot(place, IMAGES[place]), slot(place + 1, IMAGES[place + 1])) for place in range(0, 20, 2)]
CHAIN = [(slot(place, IMAGES[place]), slot(place + 1, IMAGES[place + 1])) for place in range(19)]
SAME = [(slot(place, IMAGES[place]), slot(20 + place, IMAGES[place])) for place in range(10)]


@pytest.mark.parametrize("pairs", [RANKING, DISJOINT, CHAIN, SAME], ids=["ranking", "disjoint", "chain", "same"])
@pytest.mark.parametrize("resolution", [64, None])
async def test_a_window_gives_the_same_distances_with_less_memory(
    pairs: Sequence[tuple[Slot, Slot]], resolution: int | None
) -> None:
    async with comparer_with_room_for(1000, HeavyEngine()) as comparer:
        expected: NDArray[np.float32] = await compare(comparer, pairs, resolution)
    assert Heavy.most_alive >= 10, "all at once"
    gc.collect()
    Heavy.alive.clear()
    Heavy.most_alive = 0
    async with comparer_with_room_for(5, HeavyEngine()) as comparer:
        found = await compare(comparer, pairs, resolution)
    assert np.array_equal(found, expected)
    assert Heavy.most_alive <= 7  # five, and what is on its way between two stages


async def test_an_image_of_many_pairs_is_asked_for_once() -> None:
    async with comparer_with_room_for(5, HeavyEngine()) as comparer:
        await compare(comparer, RANKING)
        (images,) = comparer._pairs._telemetry.images.collect()
    counted = {sample.labels["source"]: sample.value for sample in images.samples if sample.name.endswith("_total")}
    assert counted == {"decoded": len(IMAGES), "cache": 0, "inflight": 0}


async def test_all_images_that_are_faulty_are_named_though_only_some_are_there_at_a_time() -> None:
    bad = {7: b"no image", 15: b""}
    pairs = [(target, slot(place, bad.get(place, IMAGES[place]))) for place, (target, _) in enumerate(RANKING, start=1)]
    async with comparer_with_room_for(4, HeavyEngine()) as comparer:
        with pytest.raises(BadImages) as problem:
            await compare(comparer, pairs)
    assert [fault.pointer for fault in problem.value.errors] == ["/7", "/15"]


async def test_sizes_that_differ_are_named_though_only_some_images_are_there_at_a_time() -> None:
    pairs = [*RANKING[:10], (RANKING[0][0], slot(50, npy(picture(1, 65)))), *RANKING[10:]]
    async with comparer_with_room_for(4, HeavyEngine()) as comparer:
        with pytest.raises(BadImages) as problem:
            await compare(comparer, pairs, None)
    assert [fault.pointer for fault in problem.value.errors] == ["/50"]


async def test_a_request_that_is_cancelled_in_a_window_leaves_nothing_behind() -> None:
    async with comparer_with_room_for(4, HeavyEngine()) as comparer:
        task = asyncio.create_task(compare(comparer, RANKING))
        while comparer._pipeline._cache.lent_nbytes == 0:  # noqa: ASYNC110 - until it has begun
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await asyncio.sleep(0)
        assert comparer._pipeline._cache.lent_nbytes == 0
        assert not comparer._pipeline._cache._flights
        assert len(comparer._door) == 0
        assert (await compare(comparer, RANKING)).shape[0] == 19


async def test_a_named_image_stays_while_its_request_needs_it() -> None:
    async with comparer_with_room_for(1000, HeavyEngine(), cached=2) as comparer:
        await compare(comparer, RANKING[:1])
        names = [Slot(f"/{place}", HeldImage(sent(IMAGES[place]).sha256)) for place in (0, 1)]
        pairs = [*((names[0], candidate) for _, candidate in RANKING[3:]), (names[0], names[1])]
        assert (await compare(comparer, pairs))[
            -1
        ].sum() > 0  # images that came before these would have pushed them out


async def test_a_named_image_whose_flight_ends_without_features_must_be_sent() -> None:
    """Somebody else had begun it and goes away between the look and the wait."""
    async with comparer_with_room_for(1000, HeavyEngine()) as comparer:
        pipeline = comparer._pipeline
        with comparer._door.admit(math.inf) as ticket, pipeline.borrow("tenant", ticket) as loan:
            flight = asyncio.create_task(pipeline.embed(sent(IMAGES[0]), 64, frozenset({ALEXNET}), loan))
            await asyncio.sleep(0)
            named = Slot("/0", HeldImage(sent(IMAGES[0]).sha256))
            assert pipeline.may_name("tenant", named.sha256, 64)
            second = asyncio.create_task(_compare_after(flight, comparer, named))
            with pytest.raises(ImagesNotHeld):
                await second


async def _compare_after(flight: "asyncio.Task[Any]", comparer: Comparer, named: Slot) -> None:
    """Compare a named image that is on its way, and whose flight is given up before it is joined."""
    with comparer._door.admit(math.inf) as ticket:
        comparing = asyncio.create_task(
            comparer.compare("tenant", [(named, slot(1, IMAGES[1]))], 64, ticket, FAMILIES_OF[ALEXNET])
        )
        flight.cancel()
        await comparing


async def test_a_pair_that_shares_an_image_with_a_large_ranking_does_not_wait_for_all_of_it() -> None:
    class Counting(FakeEngine):
        def __init__(self) -> None:
            super().__init__()
            self.order: list[float] = []

        def embed(self, images: Images, *, more: bool = False, network: str = ALEXNET) -> list[FakeFeatures]:
            features = super().embed(images, more=more, network=network)
            self.order += [round(float(one.colour.sum()), 4) for one in features]
            return features

    engine = Counting()
    async with comparer_with_room_for(10**6, engine) as comparer:
        large = [(slot(0, IMAGES[0]), slot(place, npy(picture(place, 64)))) for place in range(1, 120)]
        ranking = asyncio.create_task(compare(comparer, large))
        while len(engine.order) < 10:  # noqa: ASYNC110 - until it is well under way
            await asyncio.sleep(0)
        last = large[-1][1]
        before = len(engine.order)
        await compare(comparer, [(slot(0, npy(picture(500, 64))), last)])
        assert not ranking.done()
        assert len(engine.order) - before < 40
        await ranking
    assert len(engine.order) - len(set(engine.order)) <= 4  # none twice, but for the warm-up's
