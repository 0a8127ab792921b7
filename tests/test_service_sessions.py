"""Refinement sessions: a target, candidates that come one after the other, and a person's order of them."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from litestar.testing import TestClient

from tests.support.colours import ColourEngine, flat
from tests.support.pictures import encode, npy, picture
from tests.support.services import FORMS, Form, assert_problem, base64_of, multipart, pointers, post, serving, tree
from tests.support.sessions import add, make

TARGET = (200, 30, 30)
CANDIDATES = [(30, 60, 200), (230, 120, 30), (205, 35, 28)]  # far, near, nearest


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient[Any]]:
    with serving(ColourEngine(), session_candidates=12) as client:
        yield client


def test_candidates_are_ranked_with_all_that_came_before(client: TestClient[Any]) -> None:
    session = make(client, TARGET, title="Red")
    first = add(client, session, CANDIDATES[:2], prompts=["blue", None], steps=[1, 2])
    assert (first["ranking"], first["revision"], first["title"]) == ([1, 0], 2, "Red")
    second = add(client, session, CANDIDATES[2:])
    assert second["ranking"] == [2, 1, 0]
    assert [one["rank"] for one in second["candidates"]] == [3, 2, 1]
    assert [one["index"] for one in second["candidates"]] == [0, 1, 2]
    assert [one["prompt"] for one in second["candidates"]] == ["blue", None, None]
    assert [one["step"] for one in second["candidates"]] == [1, 2, None]
    assert client.get(session.path).json() == second


def test_distances_are_those_of_rank_within_half_precision(client: TestClient[Any]) -> None:
    session = make(client, TARGET, profile="balanced")
    state = add(client, session, CANDIDATES)
    body = {"target": base64_of(flat(TARGET)), "candidates": [base64_of(flat(one)) for one in CANDIDATES]}
    ranked = client.post("/rank", json={**body, "profile": "balanced"}).json()["ranking"]
    assert [row["index"] for row in ranked] == state["ranking"]
    for row in ranked:
        assert state["candidates"][row["index"]]["distance"] == pytest.approx(row["distance"], rel=2**-10)


def test_families_are_shares_of_the_distance(client: TestClient[Any]) -> None:
    state = add(client, make(client, TARGET), [*CANDIDATES, TARGET])
    assert all(sum(one["families"].values()) == pytest.approx(1) for one in state["candidates"][:3])
    assert set(state["candidates"][3]["families"].values()) == {0.0}  # the target itself


@pytest.mark.parametrize("form", FORMS)
def test_bodies_come_in_three_forms(client: TestClient[Any], form: Form) -> None:
    target, candidate = flat(TARGET), flat(CANDIDATES[0])
    if form == "multipart":
        made = post(client, multipart([("target", target)], {"title": "T", "profile": "lpips"}), "/sessions")
        body = multipart([("candidates", candidate)], {"prompts": '["a red bridge"]', "steps": "[20]"})
    else:
        made = post(client, tree(form, {"target": target, "title": "T"}), "/sessions")
        body = tree(form, {"candidates": [candidate], "prompts": ["a red bridge"], "steps": [20]})
    assert made.status_code == 201, made.text
    assert made.headers["location"] == f"/sessions/{made.json()['session']}"
    state = post(client, body, f"{made.headers['location']}/candidates").json()
    assert (state["title"], state["candidates"][0]["prompt"], state["candidates"][0]["step"]) == (
        "T",
        "a red bridge",
        20,
    )


def test_another_profile_ranks_without_changing_anything(client: TestClient[Any]) -> None:
    session = make(client, TARGET, profile="balanced")
    before = add(client, session, CANDIDATES)
    other = client.get(session.path, params={"profile": "lpips"}).json()
    assert other["profile"] == {"name": "lpips", "version": 1}
    assert other["candidates"][0]["distance"] != before["candidates"][0]["distance"]
    assert client.get(session.path).json() == before


def test_a_profile_that_needs_a_network_which_candidates_have_not_seen_is_refused(client: TestClient[Any]) -> None:
    session = make(client, TARGET, profile="lpips")
    add(client, session, CANDIDATES[:1])
    problem = assert_problem(client.get(session.path, params={"profile": "balanced"}), 409, "images-not-held")
    assert pointers(problem) == ["/candidates/0"]


def test_a_profile_that_is_not_there_is_refused(client: TestClient[Any]) -> None:
    session = make(client, TARGET)
    assert_problem(client.get(session.path, params={"profile": "nobody"}), 422, "unknown-profile")
    target = base64_of(flat(TARGET))
    assert_problem(client.post("/sessions", json={"target": target, "profile": "nobody"}), 422, "unknown-profile")


def test_a_session_takes_so_many_candidates_and_no_more(client: TestClient[Any]) -> None:
    session = make(client, TARGET)
    add(client, session, [(shade, 0, 0) for shade in range(11)])
    body = {"candidates": [base64_of(flat(one)) for one in CANDIDATES[:2]]}
    assert_problem(client.post(f"{session.path}/candidates", json=body), 409, "session-full")
    assert len(add(client, session, CANDIDATES[:1])["candidates"]) == 12


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"prompts": ["one"]}, "/prompts"),
        ({"steps": [1, 2, 3]}, "/steps"),
        ({"prompts": ["x" * 2001, None]}, "/prompts/0"),
        ({"prompts": ["\0", None]}, "/prompts/0"),
        ({"steps": [-1, None]}, "/steps/0"),
        ({"candidates": []}, "/candidates"),
        ({"masks": []}, "/masks"),
    ],
)
def test_what_is_said_of_candidates_is_checked(client: TestClient[Any], fields: dict[str, Any], pointer: str) -> None:
    session = make(client, TARGET)
    body = {"candidates": [base64_of(flat(one)) for one in CANDIDATES[:2]], **fields}
    problem = assert_problem(client.post(f"{session.path}/candidates", json=body), 422, "invalid-request")
    assert [one.removesuffix("...") for one in pointers(problem)] == [pointer]
    assert client.get(session.path).json()["candidates"] == []


@pytest.mark.parametrize("text", ["[", '{"a": 1}', "[1]", "red"])
def test_a_form_writes_its_prompts_as_a_list_in_json(client: TestClient[Any], text: str) -> None:
    body = multipart([("candidates", flat(TARGET))], {"prompts": text})
    problem = assert_problem(post(client, body, f"{make(client, TARGET).path}/candidates"), 422, "invalid-request")
    assert pointers(problem)[0].startswith("/prompts")


@pytest.mark.parametrize("title", ["x" * 201, "a\nb", "\0"])
def test_a_title_is_one_line(client: TestClient[Any], title: str) -> None:
    answer = client.post("/sessions", json={"target": base64_of(flat(TARGET)), "title": title})
    assert pointers(assert_problem(answer, 422, "invalid-request")) == ["/title"]


def test_html_stays_text(client: TestClient[Any]) -> None:
    text = "<img src=x onerror=alert(1)>"
    session = make(client, TARGET, title=text)
    answer = client.post(
        f"{session.path}/candidates", json={"candidates": [base64_of(flat(TARGET))], "prompts": [text + "\n&amp;"]}
    )
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert (answer.json()["title"], answer.json()["candidates"][0]["prompt"]) == (text, text + "\n&amp;")


def test_what_is_no_image_is_refused_and_leaves_nothing(client: TestClient[Any]) -> None:
    svg = b'<svg xmlns="http://www.w3.org/2000/svg"><script>alert(1)</script></svg>'
    assert_problem(client.post("/sessions", json={"target": base64_of(svg)}), 422, "bad-images")
    session = make(client, TARGET)
    for content in (svg, b"<html>", encode(picture(1))[:200]):
        body = {"candidates": [base64_of(flat(CANDIDATES[0])), base64_of(content)]}
        problem = assert_problem(client.post(f"{session.path}/candidates", json=body), 422, "bad-images")
        assert pointers(problem) == ["/candidates/1"]
    state = client.get(session.path).json()
    assert (state["candidates"], state["revision"]) == ([], 1)
    assert_problem(client.get(f"{session.path}/images/0"), 404, "thumbnail-gone")


def test_the_target_may_come_again_and_no_other_in_its_place(client: TestClient[Any]) -> None:
    session = make(client, TARGET)
    body = {"candidates": [base64_of(flat(CANDIDATES[0]))]}
    assert (
        client.post(f"{session.path}/candidates", json={**body, "target": base64_of(flat(TARGET))}).status_code == 200
    )
    other = client.post(f"{session.path}/candidates", json={**body, "target": base64_of(flat(CANDIDATES[1]))})
    assert pointers(assert_problem(other, 422, "invalid-request")) == ["/target"]


def test_a_target_that_is_held_no_longer_is_asked_for_and_the_ranking_needs_no_image() -> None:
    with serving(ColourEngine(), feature_cache_bytes=0, inflight_feature_bytes=2**20) as client:
        session = make(client, TARGET)
        body = {"candidates": [base64_of(flat(one)) for one in CANDIDATES]}
        problem = assert_problem(client.post(f"{session.path}/candidates", json=body), 409, "images-not-held")
        assert pointers(problem) == ["/target"]
        again = {**body, "target": base64_of(flat(TARGET))}
        assert client.post(f"{session.path}/candidates", json=again).json()["ranking"] == [2, 1, 0]
        assert client.get(session.path).json()["ranking"] == [2, 1, 0]


def test_one_more_candidate_costs_one_embedding_and_one_comparison() -> None:
    engine = ColourEngine()
    with serving(engine) as client:
        session = make(client, TARGET)
        add(client, session, CANDIDATES[:2])
        embedded, compared = engine.embedded, sum(engine.compared)
        assert len(add(client, session, CANDIDATES[2:])["candidates"]) == 3
        assert engine.embedded == embedded + 1
        assert sum(engine.compared) in {compared, compared + 1}  # the engine that tells colours apart counts none


def test_at_native_size_images_have_the_size_of_the_target(client: TestClient[Any]) -> None:
    session = make(client, TARGET, resolution=None)
    assert add(client, session, CANDIDATES)["ranking"] == [2, 1, 0]
    body = {"candidates": [base64_of(npy(np.zeros((40, 64, 3), np.uint8)))]}
    assert_problem(client.post(f"{session.path}/candidates", json=body), 422, "bad-images")


def test_suggest_names_a_pair_that_nobody_has_ordered(client: TestClient[Any]) -> None:
    session = make(client, TARGET)
    assert client.get(f"{session.path}/suggest").json()["pair"] is None
    add(client, session, CANDIDATES)
    asked = set()
    for _ in range(2):
        pair = client.get(f"{session.path}/suggest").json()["pair"]
        assert tuple(pair) not in asked
        asked.add(tuple(pair))
        client.put(f"{session.path}/order", json={"order": pair})
    client.put(f"{session.path}/order", json={"order": [0, 1, 2]})
    assert client.get(f"{session.path}/suggest").json()["pair"] is None


def test_a_deleted_session_is_gone_with_its_pictures(client: TestClient[Any]) -> None:
    session = make(client, TARGET)
    add(client, session, CANDIDATES)
    assert client.get(f"{session.path}/images/1").status_code == 200
    assert client.delete(session.path).status_code == 204
    for path in (session.path, f"{session.path}/images/1", f"{session.path}/events", f"{session.path}/suggest"):
        assert_problem(client.get(path), 404, "session-not-found")
    assert_problem(client.delete(session.path), 404, "session-not-found")


@pytest.mark.parametrize("name", ["x", "x" * 33, "%00", "a b", "é"])
def test_an_id_that_no_session_has_is_not_found(client: TestClient[Any], name: str) -> None:
    answer = client.get(f"/sessions/{name}")
    assert answer.status_code == 404


def test_the_gauge_counts_sessions(client: TestClient[Any]) -> None:
    def gauge() -> float:
        lines = client.get("/metrics").text.splitlines()
        return float(next(line for line in lines if line.startswith("clpips_sessions ")).split()[1])

    before = gauge()
    session = make(client, TARGET)
    assert gauge() == before + 1
    client.delete(session.path)
    assert gauge() == before


def test_a_tenant_may_have_so_many_sessions(engine: Any) -> None:
    with serving(ColourEngine(), max_sessions=2) as client:
        first, _ = make(client, TARGET), make(client, TARGET)
        answer = client.post("/sessions", json={"target": base64_of(flat(TARGET))})
        assert_problem(answer, 403, "limit-reached")
        client.delete(first.path)
        make(client, TARGET)
