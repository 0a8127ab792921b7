"""Pairs that have been compared before: the same bits come back, and the engine compares what is new alone."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from litestar.testing import TestClient

from clpips.models.metric.families import ALEX_LAYOUT
from clpips.service.ops.telemetry import Telemetry
from clpips.service.scoring import pairs
from clpips.service.scoring.pairs import PairName, Pairs
from tests.support.pictures import encode, npy, picture
from tests.support.services import FakeEngine, post, rank_body, serving

TARGET, *CANDIDATES = [encode(picture(seed, 70)) for seed in range(8)]
ALIGNED = frozenset({"aligned"})


class Asked:
    """A service, and how many pairs its engine has compared since it was asked last."""

    def __init__(self, client: TestClient[Any], engine: FakeEngine) -> None:
        self._client = client
        self._engine = engine
        self._seen = sum(engine.compared)

    def rank(self, candidates: list[bytes], target: bytes = TARGET, **options: Any) -> list[float]:
        """Distances in the order in which the candidates were sent."""
        reply = post(self._client, rank_body("msgpack", target, candidates, **options))
        assert reply.status_code == 200, reply.text
        ranking = sorted(reply.json()["ranking"], key=lambda one: one["index"])
        return [one["distance"] for one in ranking]

    def compared(self) -> int:
        before, self._seen = self._seen, sum(self._engine.compared)
        return self._seen - before


@pytest.fixture
def asked() -> Iterator[Asked]:
    engine = FakeEngine()
    with serving(engine) as client:
        yield Asked(client, engine)


def test_a_list_that_grows_has_its_new_pair_compared_alone(asked: Asked) -> None:
    found: list[float] = []
    for count in range(1, len(CANDIDATES) + 1):
        *before, _ = distances = asked.rank(CANDIDATES[:count])
        assert before == found
        assert asked.compared() == 1
        found = distances


def test_the_same_pictures_by_the_same_families_are_not_compared_again(asked: Asked) -> None:
    first = asked.rank(CANDIDATES, profile="balanced")
    assert asked.compared() > 0
    assert asked.rank(CANDIDATES[::-1], profile="balanced") == first[::-1]
    assert asked.compared() == 0


@pytest.mark.parametrize(
    "other",
    [
        {"profile": "balanced"},  # other families
        {"resolution": 128},
        {"target": CANDIDATES[0]},
        {"mask": npy(np.arange(70 * 70, dtype=np.uint8).reshape(70, 70))},
    ],
)
def test_what_a_distance_depends_on_is_compared_anew(asked: Asked, other: dict[str, Any]) -> None:
    asked.rank(CANDIDATES[1:3])
    asked.compared()
    asked.rank(CANDIDATES[1:3], **other)
    assert asked.compared() >= 2
    asked.rank(CANDIDATES[1:3])
    assert asked.compared() == 0


def test_what_is_kept_is_what_was_found(monkeypatch: pytest.MonkeyPatch) -> None:
    z = np.zeros(ALEX_LAYOUT.length, np.float32)
    families = frozenset({"aligned", "content_std"})
    for family in families:
        place = ALEX_LAYOUT.places[family]
        z[place] = np.random.default_rng(0).random(place.stop - place.start, np.float32)
    monkeypatch.setattr(pairs, "HELD_BYTES", 2 * 4 * (1152 + 1280))
    recent = Pairs(None, ALEX_LAYOUT, Telemetry())  # type: ignore[arg-type]  # it compares nothing here
    names = [PairName("a" * 64, number * 64, 256, families) for number in "123"]
    for number, name in enumerate(names):
        assert recent.recent(name) is None
        recent.keep(name, z * (number + 1))
        recent.keep(name, z * (number + 1))  # as who asked at the same time does
    assert recent.recent(names[0]) is None  # there is room for two
    for number in (1, 2):
        found = recent.recent(names[number])
        assert found is not None
        assert (found == z * (number + 1)).all()
        found[:] = 7.0  # whoever gets it may do with it as they like
    again = recent.recent(names[2])
    assert again is not None
    assert (again == z * 3).all()
    assert recent.recent(PairName(*names[2][:3], ALIGNED)) is None
