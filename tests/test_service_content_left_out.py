"""`CLPIPS_CONTENT=false`: the content network is left out, whoever used it is told, and what is left works."""

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from litestar.testing import TestClient
from numpy.typing import NDArray

from clpips.models.engines.contract import families_asked
from clpips.models.metric.backbone import LAYERS
from clpips.models.metric.families import ALEXNET, CONTENT, FAMILIES_OF, PLACES, Families
from clpips.models.metric.weights import LayerWeights, combine_families
from clpips.models.metric.weights_files import format_weights
from tests.support.colours import ColourEngine, bluest, rank, teach
from tests.support.content import CONTENT_ALONE, CONTENT_FAMILIES, IMAGES, order, ranked
from tests.support.services import FakeEngine, assert_problem, distance_body, pointers, post, rank_body, serving


@pytest.fixture
def client() -> Iterator[TestClient[Any]]:
    with serving(ColourEngine(), content=False) as client:
        yield client


def test_weights_that_use_it_are_refused_and_never_answered_by_a_part_of_them(client: TestClient[Any]) -> None:
    refused = [ranked(client, "balanced")]
    refused.append(post(client, distance_body("json", [(IMAGES[0], IMAGES[1])], profile="balanced"), "/distance"))
    for answer in refused:
        problem = assert_problem(answer, 409, "content-left-out")
        assert pointers(problem) == ["/profile"]
        assert "CLPIPS_CONTENT=false" in problem["detail"]
    assert ranked(client, "lpips").status_code == 200


def test_weights_that_use_it_are_not_imported(client: TestClient[Any]) -> None:
    answer = client.put("/profiles/of/weights", content=format_weights(CONTENT_ALONE))
    assert_problem(answer, 409, "content-left-out")
    assert client.get("/profiles/of").status_code == 404


def test_a_new_profile_begins_with_the_rest_of_its_parent_as_far_apart_as_before(client: TestClient[Any]) -> None:
    assert client.post("/profiles", json={"name": "ada"}).status_code == 201
    shares = client.get("/profiles/ada").json()["family_shares"]
    assert {name: shares[name] for name in CONTENT_FAMILIES} == dict.fromkeys(CONTENT_FAMILIES, 0)
    assert [shares[name] for name in sorted(FAMILIES_OF[ALEXNET])] == pytest.approx([1 / 3] * 3, abs=1e-3)
    assert ranked(client, "ada").status_code == 200


def test_what_such_a_profile_learns_gives_content_no_weight(client: TestClient[Any]) -> None:
    client.post("/profiles", json={"name": "ada"})
    for seed in range(6):
        taught = teach(client, seed)
    assert taught["taken"]
    assert taught["unknown"] == CONTENT_FAMILIES
    shares = client.get("/profiles/ada").json()["family_shares"]
    assert {name: shares[name] for name in CONTENT_FAMILIES} == dict.fromkeys(CONTENT_FAMILIES, 0)
    assert rank(client, 50)["ranking"][0]["index"] == bluest(50)[0]


def test_the_network_is_not_run() -> None:
    engine = FakeEngine()
    with serving(engine, content=False) as client:
        client.post("/profiles", json={"name": "ada"})
        order(client, "ada", ranked(client, "ada").json()["comparison"])
    assert engine.embedded_content == 0


def test_a_profile_that_uses_content_is_refused_where_it_has_been_left_out_since(database_url: str) -> None:
    with serving(FakeEngine(), database_url=database_url) as client:
        client.post("/profiles", json={"name": "ada"})
        comparison = ranked(client, "ada").json()["comparison"]
        order(client, "ada", comparison)
    with serving(FakeEngine(), database_url=database_url, content=False) as client:
        assert_problem(ranked(client, "ada"), 409, "content-left-out")
        sent = rank_body("msgpack", IMAGES[0], IMAGES[1:], ranks=[1, 3, 2])
        assert_problem(post(client, sent, "/profiles/ada/rankings"), 409, "content-left-out")
        assert_problem(client.post("/profiles", json={"name": "b", "parent": "none"}), 422, "unknown-profile")
        assert client.get("/profiles/ada").json()["family_shares"]["content_mean"] > 0
    with serving(FakeEngine(), database_url=database_url) as client:
        assert ranked(client, "ada").status_code == 200


def import_parent(client: TestClient[Any], channels: int, least: float) -> None:
    """Import weights `of` that are content's, but for so many channels of `aligned` of the least weight."""
    aligned = np.zeros(1152, np.float32)
    aligned[:channels] = least
    families = {"aligned": aligned, "content_std": np.full(1280, 1e12, np.float32)}
    weights = format_weights(LayerWeights(combine_families(families), "of"))
    assert client.put("/profiles/of/weights", content=weights).status_code == 201


@pytest.mark.parametrize("least", [1e-9, 1e-30])
def test_however_little_is_left_of_a_parent_a_new_profile_ranks_by_it(database_url: str, least: float) -> None:
    with serving(FakeEngine(), database_url=database_url) as client:
        import_parent(client, 1152, least)
    with serving(FakeEngine(), database_url=database_url, content=False) as client:
        assert client.post("/profiles", json={"name": "b", "parent": "of"}).status_code == 201
        assert client.get("/profiles/b").json()["family_shares"]["aligned"] == pytest.approx(1)
        assert ranked(client, "b").json()["ranking"][0]["distance"] > 0


@pytest.mark.parametrize("least", [0.0, 1e-9])
def test_no_profile_begins_with_what_cannot_be_as_far_apart_as_its_parent(database_url: str, least: float) -> None:
    with serving(FakeEngine(), database_url=database_url) as client:
        import_parent(client, 1, least)
    with serving(FakeEngine(), database_url=database_url, content=False) as client:
        problem = assert_problem(client.post("/profiles", json={"name": "b", "parent": "of"}), 409, "content-left-out")
        assert pointers(problem) == ["/parent"]
        assert client.get("/profiles/b").status_code == 404


class BlueContentEngine(ColourEngine):
    """AlexNet sees all colours but blue; the content network sees blue alone."""

    def compare(
        self, targets: Sequence[Any], candidates: Sequence[Any], families: Families | None = None
    ) -> NDArray[np.float32]:
        z = super().compare(targets, candidates, families)
        z[:, LAYERS[3].start :] = 0
        if families_asked(targets, candidates, families)[0] == CONTENT:
            for row, (target, candidate) in enumerate(zip(targets, candidates, strict=True)):
                z[row, PLACES["content_mean"]] = (target.colour[2] - candidate.colour[2]) ** 2
        return z


@pytest.mark.parametrize("back", [False, True])  # whether the profile went back to its first version before
def test_no_version_that_is_fitted_where_content_is_left_out_needs_it(database_url: str, *, back: bool) -> None:
    with serving(BlueContentEngine(), database_url=database_url) as client:
        client.post("/profiles", json={"name": "ada", "parent": "lpips"})
        for seed in range(6):
            taught = teach(client, seed)
        assert taught["taken"]
        assert client.get("/profiles/ada").json()["family_shares"]["content_mean"] > 0.5
        if back:
            assert client.post("/profiles/ada/rollback", json={"version": 1}).status_code == 200
    with serving(BlueContentEngine(), database_url=database_url, content=False) as client:
        if back:
            teach(client, 6)
        fitted = client.post("/profiles/ada/fit").json()
        number = fitted["version"] if fitted["taken"] else fitted["proposed"]
        assert client.post("/profiles/ada/rollback", json={"version": number}).status_code == 200
        shares = client.get("/profiles/ada").json()["family_shares"]
        assert {name: shares[name] for name in CONTENT_FAMILIES} == dict.fromkeys(CONTENT_FAMILIES, 0)
        assert len(rank(client, 50)["ranking"]) == 6
    with serving(BlueContentEngine(), database_url=database_url) as client:  # what was known is not forgotten
        assert client.post("/profiles/ada/fit").json()["taken"]
        assert client.get("/profiles/ada").json()["family_shares"]["content_mean"] > 0.5


def test_a_profile_that_began_with_content_is_fitted_without_it_where_that_is_left_out(database_url: str) -> None:
    with serving(BlueContentEngine(), database_url=database_url) as client:
        client.post("/profiles", json={"name": "ada"})
        for seed in range(3):
            teach(client, seed)
    with serving(BlueContentEngine(), database_url=database_url, content=False) as client:
        fitted = client.post("/profiles/ada/fit").json()
        number = fitted["version"] if fitted["taken"] else fitted["proposed"]
        client.post("/profiles/ada/rollback", json={"version": number})
        assert len(rank(client, 50)["ranking"]) == 6
