"""The content network in the service: who uses it pays for it, and nobody else does."""

import json
from typing import Any

import pytest
from litestar.testing import TestClient

from clpips.models.engines.contract import Engine
from clpips.models.engines.opening import open_engine
from clpips.models.metric.families import ALEXNET, ALL_NETWORKS, FAMILIES_OF, PLACES
from clpips.models.metric.weights_files import format_weights
from tests.support import masked
from tests.support.content import CONTENT_ALONE, CONTENT_FAMILIES, IMAGES, order, ranked
from tests.support.pictures import encode, picture
from tests.support.services import (
    FakeEngine,
    assert_problem,
    base64_of,
    distance_body,
    pointers,
    post,
    rank_body,
    serving,
)


@pytest.fixture
def fake() -> FakeEngine:
    """An engine that counts what each network sees."""
    return FakeEngine()


def counted(engine: FakeEngine) -> tuple[int, int]:
    """Images that AlexNet and that the content network have seen since the last call."""
    found = engine.embedded, engine.embedded_content
    engine.embedded = engine.embedded_content = 0
    return found


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
        assert masked.rank(client, profile=profile).is_success
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


def test_a_ranking_within_a_mask_by_looks_teaches_looks_and_says_so(fake: FakeEngine, database_url: str) -> None:
    with serving(fake, database_url=database_url) as client:
        client.post("/profiles", json={"name": "ada"})
        comparison = masked.rank(client, profile="lpips").json()["comparison"]
        assert order(client, "ada", comparison)["unknown"] == CONTENT_FAMILIES  # of whole pictures it would be more
        assert fake.embedded_content == 0


def test_a_session_is_not_ranked_by_what_its_candidates_were_compared_without(fake: FakeEngine) -> None:
    target, *candidates = map(base64_of, IMAGES)
    with serving(fake) as client:
        session = client.post("/sessions", json={"target": target, "profile": "lpips"}).json()["session"]
        added = client.post(f"/sessions/{session}/candidates", json={"candidates": candidates})
        assert added.status_code == 200, added.text
        assert fake.embedded_content == 0
        problem = assert_problem(client.get(f"/sessions/{session}?profile=balanced"), 409, "images-not-held")
        assert "make a session with this one" in problem["detail"]
        assert pointers(problem) == ["/candidates/0", "/candidates/1", "/candidates/2"]
        assert {fault["detail"] for fault in problem["errors"]} == {"it was compared without that network"}
        assert client.get(f"/sessions/{session}?profile=clpips-materials").status_code == 200


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
