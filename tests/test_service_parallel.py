"""An engine that is used from several threads at a time, as a CPU's cores are."""

import threading
import time

import pytest
from prometheus_client import generate_latest

from clpips.models.engines.contract import Images
from clpips.models.metric.families import ALEXNET
from clpips.service.batching.batch import BatchReport
from clpips.service.ops.telemetry import Telemetry
from clpips.service.scoring.lanes.engine_threads import EngineThreads
from tests.support.pictures import encode, picture
from tests.support.services import FakeEngine, FakeFeatures, assert_problem, post, rank_body, serving

IMAGES = [encode(picture(seed, 40)) for seed in range(8)]


class Meeting(FakeEngine):
    """Two calls of `embed` wait for each other, but for the service's own (more images than one, to see it run)."""

    parallel = 2
    batch = 1

    def __init__(self) -> None:
        super().__init__()
        self.both = threading.Barrier(2, timeout=30)
        self.broken = False
        self.seconds: list[float] = []

    def embed(self, images: Images, *, more: bool = False, network: str = ALEXNET) -> list[FakeFeatures]:
        if self.broken:
            raise RuntimeError("the device is gone")
        if len(images) == 1:
            started = time.perf_counter()
            self.both.wait()
            time.sleep(0.02)  # work, of which the metrics tell
            self.seconds.append(time.perf_counter() - started)
        return super().embed(images, more=more, network=network)


def busy_seconds(metrics: str) -> float:
    """The engine's busy time in the text of `/metrics`."""
    lines = metrics.splitlines()
    (busy,) = (float(line.split()[1]) for line in lines if line.startswith("clpips_engine_busy_seconds_total "))
    return busy


def test_as_many_batches_run_at_a_time_as_the_engine_takes() -> None:
    engine = Meeting()
    with serving(engine) as client:
        assert post(client, rank_body("multipart", IMAGES[0], IMAGES[1:])).status_code == 200
    assert not engine.both.broken


def test_its_busy_time_is_a_share_of_each_of_its_threads_times() -> None:
    telemetry = Telemetry()
    threads = EngineThreads(Meeting(), telemetry, max_failures=5)
    for seconds in (0.3, 0.1):
        threads.embedded(BatchReport(items=1, errors=(), waited=(0.0,), ran=seconds))
    threads.compared(BatchReport(items=1, errors=(), waited=(0.0,), ran=5.0))  # in a thread beside these
    threads.close()
    assert busy_seconds(generate_latest(telemetry.registry).decode()) == pytest.approx(0.4 / 2)


def test_its_busy_time_is_no_more_than_the_clocks() -> None:
    engine = Meeting()
    with serving(engine) as client:
        started = time.perf_counter()
        assert post(client, rank_body("multipart", IMAGES[0], IMAGES[1:])).status_code == 200
        passed = time.perf_counter() - started
        busy = busy_seconds(client.get("/metrics").text)
    assert sum(engine.seconds) / 2 <= busy <= passed


def test_it_is_used_again_after_all_of_its_threads_have_failed() -> None:
    engine = Meeting()
    with serving(engine) as client:
        engine.broken = True
        assert_problem(post(client, rank_body("multipart", IMAGES[0], IMAGES[1:2])), 500)
        engine.broken = False
        assert post(client, rank_body("multipart", IMAGES[2], IMAGES[3:4])).status_code == 200


class Listener(FakeEngine):
    """It writes down whether it was told that more images come."""

    parallel = 2
    batch = 1

    def __init__(self) -> None:
        super().__init__()
        self.told: list[bool] = []

    def embed(self, images: Images, *, more: bool = False, network: str = ALEXNET) -> list[FakeFeatures]:
        self.told.append(more)
        return super().embed(images, more=more, network=network)


def test_it_hears_whether_more_images_are_on_their_way() -> None:
    engine = Listener()
    with serving(engine) as client:
        engine.told.clear()
        assert post(client, rank_body("multipart", IMAGES[0], [IMAGES[0]])).status_code == 200
        assert engine.told == [False]
        assert post(client, rank_body("multipart", IMAGES[1], IMAGES[2:5])).status_code == 200
        assert engine.told[1] is True
