"""The content network in the service: who uses it pays for it, nobody else does, and whoever left it out is told."""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pytest
from litestar.testing import TestClient

from clpips.models.engines.contract import Engine
from clpips.models.engines.opening import open_engine
from clpips.models.metric.families import ALEXNET, ALL_NETWORKS, CONTENT, FAMILIES_OF, PLACES
from clpips.models.metric.weights import LayerWeights, combine_families
from clpips.models.metric.weights_files import format_weights
from tests.support.colours import ColourEngine, bluest, rank, teach
from tests.support.pictures import encode, picture
from tests.support.services import FakeEngine, assert_problem, distance_body, pointers, post, rank_body, serving

IMAGES = [encode(picture(seed, 64)) for seed in range(4)]
CONTENT_FAMILIES = sorted(FAMILIES_OF[CONTENT])
CONTENT_ALONE = LayerWeights(combine_families({"content_mean": np.ones(1280, np.float32)}), "what-it-is-of")


@pytest.fixture
def fake() -> FakeEngine:
    """An engine that counts what each network sees."""
    return FakeEngine()


def counted(engine: FakeEngine) -> tuple[int, int]:
    """Images that AlexNet and that the content network have seen since the last call."""
    found = engine.embedded, engine.embedded_content
    engine.embedded = engine.embedded_content = 0
    return found


def ranked(client: TestClient[Any], profile: str, images: Sequence[Any] = IMAGES) -> Any:
    return post(
        client, rank_body("json" if isinstance(images[0], str) else "msgpack", images[0], images[1:], profile=profile)
    )


def names_of(reply: Any) -> list[str]:
    """The images of a ranking, by their hashes, the target first, the candidates as they were sent."""
    rows = sorted(reply.json()["ranking"], key=lambda row: row["index"])
    return [reply.json()["target"], *(row["candidate"] for row in rows)]


def stage(client: TestClient[Any], name: str) -> float:
    """How many units of work a stage has done."""
    wanted = f'clpips_stage_seconds_count{{stage="{name}"}} '
    (line,) = [line for line in client.get("/metrics").text.splitlines() if line.startswith(wanted)]
    return float(line.removeprefix(wanted))


@pytest.mark.parametrize("profile", ["lpips", "clpips-materials"])
def test_weights_that_do_not_use_the_content_network_never_run_it(fake: FakeEngine, profile: str) -> None:
    with serving(fake) as client:
        assert ranked(client, profile).status_code == 200
        assert post(client, distance_body("json", [(IMAGES[0], IMAGES[1])], profile=profile), "/distance").is_success
        assert fake.embedded_content == 0
        assert stage(client, "embed_content") == 0


def test_a_profile_without_content_never_runs_it(fake: FakeEngine) -> None:
    with serving(fake) as client:
        assert client.post("/profiles", json={"name": "looks", "parent": "lpips"}).status_code == 201
        assert ranked(client, "looks").status_code == 200
    assert fake.embedded_content == 0


def test_each_network_sees_an_image_once_and_it_is_decoded_once(fake: FakeEngine) -> None:
    with serving(fake) as client:
        counted(fake)
        for _ in range(2):
            assert ranked(client, "balanced").status_code == 200
        assert counted(fake) == (4, 4)
        assert stage(client, "decode") == 4
        assert stage(client, "embed_content") >= 1


def test_weights_of_content_alone_run_no_alexnet_for_a_distance(fake: FakeEngine) -> None:
    with serving(fake) as client:
        assert client.put("/profiles/of/weights", content=format_weights(CONTENT_ALONE)).status_code == 201
        counted(fake)
        body = distance_body("json", [(IMAGES[0], IMAGES[1])], profile="of")
        assert post(client, body, "/distance").json()["distances"][0] > 0
        assert counted(fake) == (0, 2)


def test_an_image_that_one_network_has_seen_is_completed_from_its_pixels(fake: FakeEngine) -> None:
    with serving(fake) as client:
        names = names_of(ranked(client, "lpips"))
        sent = ranked(client, "balanced", [*IMAGES[:2], encode(picture(9, 64))])
        counted(fake)
        named = ranked(client, "balanced", names)
        assert named.status_code == 200, named.text
        assert counted(fake) == (0, 2)  # the other two were sent again and completed before
        assert stage(client, "decode") == 5  # images in all
        assert sent.status_code == 200


def test_both_ways_to_an_images_features_give_the_same_distance(engine: Engine) -> None:
    with serving(engine) as client:
        names = names_of(ranked(client, "lpips"))
        completed = ranked(client, "balanced", names).json()["ranking"]
    with serving(engine) as client:
        assert ranked(client, "balanced").json()["ranking"] == completed


def test_an_image_of_which_nothing_is_held_must_be_sent_to_be_scored_with_content(fake: FakeEngine) -> None:
    with serving(fake, feature_cache_bytes=1000) as client:  # no room for pixels
        names = names_of(ranked(client, "lpips"))
        problem = assert_problem(ranked(client, "balanced", names), 409, "images-not-held")
        assert pointers(problem) == ["/target", "/candidates/0", "/candidates/1", "/candidates/2"]
        assert ranked(client, "balanced").status_code == 200
        assert ranked(client, "balanced", names).status_code == 200


def test_pixels_are_held_only_where_a_network_may_yet_ask_for_them(fake: FakeEngine) -> None:
    def held(client: TestClient[Any]) -> float:
        (line,) = [
            row for row in client.get("/metrics").text.splitlines() if row.startswith("clpips_feature_cache_bytes ")
        ]
        return float(line.split()[1])

    with serving(fake) as client:
        ranked(client, "lpips")
        assert held(client) == 4 * (12 + 256 * 256 * 3)  # a colour, and pixels
    with serving(FakeEngine()) as client:
        ranked(client, "balanced")
        assert held(client) == 4 * (12 + 12)
    with serving(FakeEngine(), content=False) as client:
        ranked(client, "lpips")
        assert held(client) == 4 * 12


def order(client: TestClient[Any], profile: str, comparison: str) -> Any:
    said = client.post(f"/profiles/{profile}/rankings", json={"comparison": comparison, "order": [2, 0, 1]})
    assert said.status_code == 201, said.text
    return said.json()


def families_kept(client: TestClient[Any], profile: str) -> list[list[str]]:
    lines = client.get(f"/profiles/{profile}/rankings").text.splitlines()
    return [sorted(json.loads(line)["z"]) for line in lines]


def test_a_ranking_by_looks_teaches_content_too_as_long_as_the_pixels_are_at_hand(fake: FakeEngine) -> None:
    with serving(fake) as client:
        client.post("/profiles", json={"name": "ada"})
        comparison = ranked(client, "lpips").json()["comparison"]
        assert fake.embedded_content == 0
        assert order(client, "ada", comparison)["unknown"] == []
        assert fake.embedded_content == 4
        assert families_kept(client, "ada") == [sorted(PLACES)]


def test_a_ranking_whose_pixels_are_gone_teaches_what_is_known_and_says_so(fake: FakeEngine) -> None:
    with serving(fake, feature_cache_bytes=1000) as client:
        client.post("/profiles", json={"name": "ada"})
        comparison = ranked(client, "lpips").json()["comparison"]
        assert order(client, "ada", comparison)["unknown"] == CONTENT_FAMILIES
        sent = rank_body("msgpack", IMAGES[0], IMAGES[1:], ranks=[1, 3, 2])
        answer = post(client, sent, "/profiles/ada/rankings")
        assert answer.json()["unknown"] == []
        assert families_kept(client, "ada") == [sorted(FAMILIES_OF[ALEXNET]), sorted(PLACES)]


class TestLeftOut:
    """`CLPIPS_CONTENT=false`."""

    @pytest.fixture
    def client(self) -> Iterator[TestClient[Any]]:
        with serving(ColourEngine(), content=False) as client:
            yield client

    def test_weights_that_use_it_are_refused_and_never_answered_by_a_part_of_them(
        self, client: TestClient[Any]
    ) -> None:
        refused = [ranked(client, "balanced")]
        refused.append(post(client, distance_body("json", [(IMAGES[0], IMAGES[1])], profile="balanced"), "/distance"))
        for answer in refused:
            problem = assert_problem(answer, 409, "content-left-out")
            assert pointers(problem) == ["/profile"]
            assert "CLPIPS_CONTENT=false" in problem["detail"]
        assert ranked(client, "lpips").status_code == 200

    def test_weights_that_use_it_are_not_imported(self, client: TestClient[Any]) -> None:
        answer = client.put("/profiles/of/weights", content=format_weights(CONTENT_ALONE))
        assert_problem(answer, 409, "content-left-out")
        assert client.get("/profiles/of").status_code == 404

    def test_a_new_profile_begins_with_the_rest_of_its_parent_as_far_apart_as_before(
        self, client: TestClient[Any]
    ) -> None:
        assert client.post("/profiles", json={"name": "ada"}).status_code == 201
        shares = client.get("/profiles/ada").json()["family_shares"]
        assert {name: shares[name] for name in CONTENT_FAMILIES} == dict.fromkeys(CONTENT_FAMILIES, 0)
        assert [shares[name] for name in sorted(FAMILIES_OF[ALEXNET])] == pytest.approx([1 / 3] * 3, abs=1e-3)
        assert ranked(client, "ada").status_code == 200

    def test_what_such_a_profile_learns_gives_content_no_weight(self, client: TestClient[Any]) -> None:
        client.post("/profiles", json={"name": "ada"})
        for seed in range(6):
            taught = teach(client, seed)
        assert taught["taken"]
        assert taught["unknown"] == CONTENT_FAMILIES
        shares = client.get("/profiles/ada").json()["family_shares"]
        assert {name: shares[name] for name in CONTENT_FAMILIES} == dict.fromkeys(CONTENT_FAMILIES, 0)
        assert rank(client, 50)["ranking"][0]["index"] == bluest(50)[0]

    def test_the_network_is_not_run(self) -> None:
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


def test_the_network_is_loaded_at_start_if_a_stored_profile_uses_it(database_url: str) -> None:
    looks = FakeEngine()
    with serving(looks, database_url=database_url) as client:
        client.post("/profiles", json={"name": "looks", "parent": "lpips"})
    again = FakeEngine()
    with serving(again, database_url=database_url) as client:
        assert looks.loaded == again.loaded == {ALEXNET}
        client.post("/profiles", json={"name": "ada"})
    for content, loaded in ((True, ALL_NETWORKS), (False, {ALEXNET})):
        engine = FakeEngine()
        with serving(engine, database_url=database_url, content=content):
            assert engine.loaded == loaded


def test_a_service_that_never_uses_content_does_not_load_it() -> None:
    engine = open_engine("onnx", "cpu", threads=1)
    with serving(engine) as client:
        ranked(client, "lpips")
        assert engine.loaded == {ALEXNET}
        ranked(client, "balanced")
        assert engine.loaded == ALL_NETWORKS
    engine.close()
