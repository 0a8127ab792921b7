"""Who is at fault: an image at which a sound engine fails is refused and kept out; a broken engine is dead."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from litestar.testing import TestClient
from numpy.typing import NDArray

from clpips.models.engines.contract import Images
from clpips.models.metric.families import ALEXNET, Families
from clpips.service.scoring.quarantine import Quarantine
from tests.support.pictures import npy, picture
from tests.support.services import (
    FakeEngine,
    FakeFeatures,
    assert_problem,
    distance_body,
    pointers,
    post,
    rank_body,
    serving,
)

IMAGES = [npy(picture(seed, 40)) for seed in range(8)]
RED = npy(np.full((40, 40, 3), (255, 0, 0), np.uint8))


class Picky(FakeEngine):
    """It fails on red images: to embed them, to compare them, or it computes no numbers for them."""

    def __init__(self, way: str) -> None:
        super().__init__()
        self.way = way
        self.broken = False  # whether it fails on all images in that way
        self.tried = 0  # red images, or all where it is broken

    def embed(self, images: Images, *, more: bool = False, network: str = ALEXNET) -> list[FakeFeatures]:
        features = super().embed(images, more=more, network=network)
        if self.way == "embed" and any(self._fails(one) for one in features):
            raise RuntimeError("no kernel for this image")
        return features

    def compare(
        self, targets: Sequence[Any], candidates: Sequence[Any], families: Families | None = None
    ) -> NDArray[np.float32]:
        z = super().compare(targets, candidates, families)
        failing = [self._fails(a) or self._fails(b) for a, b in zip(targets, candidates, strict=True)]
        if self.way == "compare" and any(failing):
            raise RuntimeError("no kernel for this pair")
        z[np.array(failing)] = np.nan if self.way == "nan" else z[np.array(failing)]
        return z

    def _fails(self, features: FakeFeatures) -> bool:
        fails = self.broken or bool(np.allclose(features.colour, (1, 0, 0)))
        self.tried += fails
        return fails


WAYS = ("embed", "compare", "nan")


def metric(client: TestClient[Any], name: str) -> float:
    lines = client.get("/metrics").text.splitlines()
    return sum(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


@pytest.mark.parametrize("way", WAYS)
def test_an_image_that_makes_a_sound_engine_fail_is_refused_by_its_place_and_not_tried_again(way: str) -> None:
    engine = Picky(way)
    with serving(engine) as client:
        tried = 0
        for attempt in range(3):
            problem = assert_problem(
                post(client, rank_body("multipart", IMAGES[0], [IMAGES[1], RED, IMAGES[2]])), 422, "bad-images"
            )
            assert pointers(problem) == ["/candidates/1"]
            assert "the engine fails on this image" in problem["errors"][0]["detail"]
            tried = engine.tried if not attempt else tried
            assert client.get("/readyz").status_code == 200
        assert engine.tried == tried
        assert post(client, rank_body("multipart", IMAGES[0], IMAGES[1:3])).status_code == 200
        assert metric(client, "clpips_quarantined_images") == 1
        assert metric(client, "clpips_engine_failures_total") == 0
        stage = "embed" if way == "embed" else "compare"
        assert metric(client, f'clpips_failures_total{{fault="input",stage="{stage}"}}') >= 1
        assert metric(client, f'clpips_failures_total{{fault="service",stage="{stage}"}}') == 0


@pytest.mark.parametrize("way", WAYS)
def test_more_such_images_than_an_engine_may_fail_leave_the_replica_ready(way: str) -> None:
    with serving(Picky(way), max_engine_failures=3, max_batch=1) as client:
        for brightness in range(8):
            red = npy(np.full((40 + brightness, 40, 3), (255, 0, 0), np.uint8))
            assert_problem(
                post(client, distance_body("json", [(red, IMAGES[brightness])]), "/distance"), 422, "bad-images"
            )
            assert client.get("/readyz").status_code == 200
        assert metric(client, "clpips_quarantined_images") == 8


@pytest.mark.parametrize("way", WAYS)
def test_an_engine_that_fails_on_all_images_is_unready_and_keeps_none_of_them_out(way: str) -> None:
    engine = Picky(way)
    with serving(engine) as client:
        engine.broken = True
        assert_problem(post(client, rank_body("multipart", IMAGES[0], IMAGES[1:3])), 500)
        assert_problem(client.get("/readyz"), 503, "not-ready")
        assert metric(client, "clpips_quarantined_images") == 0
        stage = "embed" if way == "embed" else "compare"
        assert metric(client, f'clpips_engine_failures_total{{stage="{stage}"}}') >= 1
        engine.broken = False
        while client.get("/readyz").status_code != 200:  # it is tried every second
            time.sleep(0.02)
        assert post(client, rank_body("multipart", IMAGES[0], IMAGES[1:3])).status_code == 200


def test_a_broken_comparison_is_dead_though_images_are_embedded() -> None:
    engine = Picky("compare")
    with serving(engine, max_engine_failures=3) as client:
        engine.broken = True
        health = client.app.state.engine_health
        for number in range(3):
            assert_problem(post(client, rank_body("multipart", IMAGES[number], [IMAGES[number + 1]])), 500)
        assert health.dead


def test_an_image_without_memory_for_it_is_at_no_fault() -> None:
    class Full(FakeEngine):
        full = False

        def embed(self, images: Images, *, more: bool = False, network: str = ALEXNET) -> list[FakeFeatures]:
            if self.full:
                raise MemoryError
            return super().embed(images, more=more, network=network)

    engine = Full()
    with serving(engine) as client:
        engine.full = True
        refused = post(client, rank_body("multipart", IMAGES[0], [IMAGES[1]]))
        assert_problem(refused, 503, "overloaded")
        assert refused.headers["retry-after"] == "1"
        assert client.get("/readyz").status_code == 200
        engine.full = False
        assert post(client, rank_body("multipart", IMAGES[0], [IMAGES[1]])).status_code == 200


def test_the_quarantine_ends_and_is_bounded() -> None:
    now = 0.0
    quarantine = Quarantine(most=2, seconds=10.0, clock=lambda: now)
    quarantine.add("a")
    now = 5.0
    quarantine.add("b")
    assert "a" in quarantine
    quarantine.add("c")
    assert [name for name in "abc" if name in quarantine] == ["b", "c"]
    now = 15.0
    assert len(quarantine) == 0
