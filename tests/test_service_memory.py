"""The bargain over memory between the service, which keeps features, and the engine, whose memory they take."""

from typing import Any

import pytest
from litestar.testing import TestClient
from prometheus_client.parser import text_string_to_metric_families

from clpips.models.engines.contract import Images
from clpips.models.metric.families import ALEXNET
from tests.support.pictures import encode, picture
from tests.support.services import FakeEngine, FakeFeatures, distance_body, serving

IMAGES = [encode(picture(seed, 40)) for seed in range(8)]
BYTES = 12  # that a fake engine's features take


class SmallEngine(FakeEngine):
    """An engine that can keep the features of `room` images, and whose memory runs out when it is told to."""

    def __init__(self, room: int) -> None:
        super().__init__()
        self.room = room
        self.asked: list[tuple[int, int, int | None]] = []
        self.full = False

    def prepare(self, side: int, largest: int, feature_bytes: int | None = None) -> int:
        super().prepare(side, largest, feature_bytes)
        self.asked.append((side, largest, feature_bytes))
        return self.room * BYTES

    def embed(self, images: Images, *, more: bool = False, network: str = ALEXNET) -> list[FakeFeatures]:
        if self.full:
            self.on_memory_pressure()
            self.full = False
        return super().embed(images, more=more, network=network)


def held(client: TestClient[Any]) -> int:
    """Images whose features the service holds."""
    families = text_string_to_metric_families(client.get("/metrics").text)
    (sample,) = (one for family in families for one in family.samples if one.name == "clpips_feature_cache_bytes")
    return int(sample.value / BYTES)


def score(client: TestClient[Any], target: int, candidate: int) -> Any:
    body, content_type = distance_body("json", [(IMAGES[target], IMAGES[candidate])])
    return client.post("/distance", content=body, headers={"content-type": content_type})


def test_the_engine_is_told_what_comes_before_the_service_is_ready() -> None:
    engine = SmallEngine(room=4)
    with serving(engine, max_batch=16, feature_cache_bytes=1_000_000):
        assert engine.asked == [(256, 16, 1_000_000)]


def test_the_engine_chooses_the_cache_where_no_setting_does() -> None:
    engine = SmallEngine(room=4)
    with serving(engine):
        assert engine.asked[0][2] is None


def test_no_more_features_are_kept_than_the_engine_can_keep() -> None:
    with serving(SmallEngine(room=4), content=False) as client:
        for image in range(0, 8, 2):
            assert score(client, image, image + 1).status_code == 200
        assert held(client) == 4


def test_when_memory_runs_out_half_of_what_is_kept_goes_and_the_request_is_answered() -> None:
    engine = SmallEngine(room=8)
    with serving(engine, content=False) as client:
        for image in range(0, 6, 2):
            score(client, image, image + 1)
        assert held(client) == 6
        engine.full = True
        reply = score(client, 6, 7)
        assert reply.status_code == 200
        assert reply.json()["distances"][0] > 0
        assert held(client) == 3 + 2


def test_features_that_were_dropped_are_computed_again() -> None:
    engine = SmallEngine(room=8)
    with serving(engine, content=False) as client:
        first = score(client, 0, 1).json()["distances"]
        score(client, 2, 3)
        engine.full = True
        score(client, 4, 5)
        before = engine.embedded
        assert score(client, 0, 1).json()["distances"] == pytest.approx(first)
        assert engine.embedded == before + 2
