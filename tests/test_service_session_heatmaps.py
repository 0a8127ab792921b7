"""`GET /sessions/{id}/heatmap`: a heat map of a session's own images, for whoever the session is open to."""

import hashlib
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from litestar.testing import TestClient
from PIL import Image

from clpips.models.engines.contract import Engine
from clpips.service.admission.keys import KeyScope, new_key
from tests.support.pictures import encode, picture, variation
from tests.support.services import assert_problem, base64_of, multipart, pointers, post, serving
from tests.support.sessions import Made

HEIGHT, WIDTH = 90, 120
TARGET = picture(1, HEIGHT, WIDTH)
FILES = [encode(variation(TARGET, seed, 0.5)) for seed in (2, 3)]
FOREIGN = [encode(picture(seed, 64)) for seed in (7, 8)]  # another session's target and candidate
BOTH: tuple[KeyScope, ...] = ("score", "teach")
KEYS = {"ada": new_key("ada", "a", BOTH), "eve": new_key("eve", "b", BOTH)}
HEADERS = ["clpips-distance", "clpips-families", "clpips-unplaced", "clpips-legend", "clpips-layers", "clpips-profile"]


def bearer(name: str = "ada") -> dict[str, str]:
    return {"authorization": f"Bearer {KEYS[name][0]}"}


def fed(
    client: TestClient[Any], headers: dict[str, str], target: bytes, candidates: list[bytes], **fields: Any
) -> Made:
    made = client.post("/sessions", json={"target": base64_of(target), **fields}, headers=headers)
    assert made.status_code == 201, made.text
    session = Made(made.json()["session"], made.json()["token"])
    body = {"candidates": [base64_of(one) for one in candidates]}
    assert client.post(f"{session.path}/candidates", json=body, headers=headers).status_code == 200
    return session


def named(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


@pytest.fixture(scope="module")
def keyed(engine: Engine) -> Iterator[TestClient[Any]]:
    with serving(engine, api_keys="\n".join(line for _, line in KEYS.values())) as client:
        assert client.post("/profiles", json={"name": "hers"}, headers=bearer()).status_code == 201
        assert client.post("/profiles", json={"name": "private"}, headers=bearer()).status_code == 201
        yield client


@pytest.fixture(scope="module")
def session(keyed: TestClient[Any]) -> Made:
    return fed(keyed, bearer(), encode(TARGET), FILES, profile="hers")


def drawn(client: TestClient[Any], session: Made, headers: dict[str, str], **query: Any) -> Any:
    answer = client.get(f"{session.path}/heatmap", params={"candidate": 0, **query}, headers=headers)
    assert answer.status_code == 200, answer.text
    return answer


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"format": "npy"},
        {"profile": "lpips", "upsample": "bilinear"},
        {"layer": 2, "high": 0.5},
    ],
    ids=["plain", "values", "plain LPIPS", "one layer"],
)
def test_token_and_key_get_what_heatmap_answers_of_the_same_images(
    keyed: TestClient[Any], session: Made, options: dict[str, Any]
) -> None:
    body = {"profile": "hers", **options, "target": named(encode(TARGET)), "candidate": named(FILES[1])}
    expected = keyed.post("/heatmap", json=body, headers=bearer())
    assert expected.status_code == 200, expected.text
    for headers in (session.with_token, bearer()):
        answer = drawn(keyed, session, headers, candidate=1, **options)
        assert answer.content == expected.content
        assert [answer.headers[name] for name in HEADERS] == [expected.headers[name] for name in HEADERS]
        assert (answer.headers["content-type"], answer.headers["cache-control"]) == (
            expected.headers["content-type"],
            "no-store",
        )


def test_an_overlay_is_drawn_where_the_pixels_are_still_held(keyed: TestClient[Any]) -> None:
    session = fed(keyed, bearer(), FOREIGN[0], FOREIGN[1:], profile="lpips")
    clear, full = (drawn(keyed, session, session.with_token, style="overlay", opacity=part) for part in (0, 1))
    assert clear.content != full.content
    taught = fed(keyed, bearer(), encode(TARGET), FILES, profile="hers")  # both networks have seen them
    answer = keyed.get(f"{taught.path}/heatmap?candidate=0&style=overlay", headers=taught.with_token)
    assert pointers(assert_problem(answer, 409, "images-not-held")) == ["/candidate"]


def test_the_token_opens_maps_of_this_sessions_images_and_no_others(keyed: TestClient[Any], session: Made) -> None:
    other = fed(keyed, bearer(), FOREIGN[0], FOREIGN[1:])
    unknown = keyed.get(f"/sessions/{'A' * len(other.id)}/heatmap?candidate=0", headers=session.with_token)
    expected = assert_problem(unknown, 404, "session-not-found")["detail"].replace("A" * len(other.id), "…")
    for theirs in (other, fed(keyed, bearer("eve"), encode(TARGET), FILES)):
        answer = keyed.get(f"{theirs.path}/heatmap?candidate=0", headers=session.with_token)
        assert assert_problem(answer, 404, "session-not-found")["detail"].replace(theirs.id, "…") == expected
    path = f"{session.path}/heatmap"
    for named_otherwise in (named(FILES[0]), named(FOREIGN[1]), "target", "-1", "0.5", ""):
        answer = keyed.get(path, params={"candidate": named_otherwise}, headers=session.with_token)
        assert_problem(answer, 422, "invalid-request")
    for extra in ("target", "mask", "resolution", "image"):
        answer = keyed.get(path, params={"candidate": "0", extra: named(FOREIGN[0])}, headers=session.with_token)
        assert "the query has a parameter" in assert_problem(answer, 422, "invalid-request")["detail"]
    body, kind = multipart([("target", FOREIGN[0]), ("candidate", FOREIGN[1])], {})
    headers = {**session.with_token, "content-type": kind}
    answer = keyed.request("GET", f"{path}?candidate=0", content=body, headers=headers)
    assert answer.content == drawn(keyed, session, session.with_token).content
    assert_problem(keyed.post("/heatmap", content=body, headers=headers), 401, "unauthenticated")


def test_the_token_sees_by_the_sessions_profile_and_those_that_ship(keyed: TestClient[Any], session: Made) -> None:
    path = f"{session.path}/heatmap?candidate=0"
    answers = [
        assert_problem(keyed.get(f"{path}&profile={name}", headers=session.with_token), 422, "unknown-profile")
        for name in ("private", "nobody")
    ]
    assert answers[0] == answers[1]
    assert keyed.get(f"{path}&profile=balanced", headers=session.with_token).status_code == 200
    assert keyed.get(f"{path}&profile=private", headers=bearer()).status_code == 200


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("candidate=2", "there is no candidate 2: the session has 2"),
        ("candidate=99999999999", "candidate"),
        ("candidate=0&layer=0", "layer"),
        ("candidate=0&layer=6", "AlexNet has 5 layers"),
        ("candidate=0&opacity=1.5", "opacity"),
        ("candidate=0&opacity=nan", "opacity"),
        ("candidate=0&high=0", "high"),
        ("candidate=0&high=nan", "high"),
        ("candidate=0&high=inf", "high"),
        ("candidate=0&format=gif", "format"),
        ("candidate=0&upsample=cubic", "upsample"),
        ("candidate=0&format=npy&style=overlay", "an overlay is a picture"),
    ],
)
def test_what_there_is_not_is_refused_and_named(keyed: TestClient[Any], session: Made, query: str, words: str) -> None:
    problem = assert_problem(
        keyed.get(f"{session.path}/heatmap?{query}", headers=session.with_token), 422, "invalid-request"
    )
    assert words in problem["detail"]


def test_a_candidate_must_be_named(keyed: TestClient[Any], session: Made) -> None:
    assert keyed.get(f"{session.path}/heatmap", headers=session.with_token).status_code == 400


def test_images_whose_features_are_gone_are_told_and_come_back_without_being_added_again(engine: Engine) -> None:
    with serving(engine, feature_cache_bytes=0, api_keys=KEYS["ada"][1]) as client:
        made = client.post("/sessions", json={"target": base64_of(encode(TARGET))}, headers=bearer())
        session = Made(made.json()["session"], made.json()["token"])
        body = {"candidates": [base64_of(one) for one in FILES], "target": base64_of(encode(TARGET))}
        client.post(f"{session.path}/candidates", json=body, headers=bearer()).raise_for_status()
        answer = client.get(f"{session.path}/heatmap?candidate=1", headers=session.with_token)
        problem = assert_problem(answer, 409, "images-not-held")
        assert pointers(problem) == ["/target", "/candidate"]
        assert all("candidates?since=0" in error["detail"] for error in problem["errors"])


def test_images_that_were_given_up_are_drawn_once_they_have_come_again(engine: Engine, tmp_path: Any) -> None:
    database = f"sqlite:///{tmp_path}/clpips.db"
    with serving(engine, database_url=database) as client:
        session = fed(client, {}, encode(TARGET), FILES)
        before = drawn(client, session, {}).content
    with serving(engine, database_url=database) as client:
        refused = client.get(f"{session.path}/heatmap?candidate=0", headers=session.with_token)
        assert_problem(refused, 409, "images-not-held")
        body = {"candidates": [base64_of(FILES[0])], "target": base64_of(encode(TARGET))}
        state = client.post(f"{session.path}/candidates?since=0", json=body, headers=session.with_token).json()
        assert len(state["candidates"]) == 2
        assert drawn(client, session, session.with_token).content == before


def test_the_sessions_mask_and_resolution_hold(client: TestClient[Any]) -> None:
    left = np.zeros((HEIGHT, WIDTH), np.uint8)
    left[:, :50] = 255
    mask = encode(Image.fromarray(left))
    session = fed(client, {}, encode(TARGET), FILES, mask=base64_of(mask), resolution=128)
    answer = drawn(client, session, session.with_token, format="npy")
    images = [("target", encode(TARGET)), ("candidate", FILES[0]), ("mask", mask)]
    expected = post(client, multipart(images, {"resolution": 128, "format": "npy"}), "/heatmap")
    assert answer.content == expected.content
    assert answer.headers["clpips-distance"] == expected.headers["clpips-distance"]


def test_a_map_counts_against_the_rates_of_the_key_that_made_the_session(engine: Engine) -> None:
    bounds: list[dict[str, Any]] = [{"rate_limit": 4}, {"rate_limit_images": 6}]
    for bound in bounds:
        with serving(engine, api_keys=KEYS["ada"][1], **bound) as client:
            session = fed(client, bearer(), encode(TARGET), FILES[:1])
            path = f"{session.path}/heatmap?candidate=0"
            statuses = [client.get(path, headers=session.with_token).status_code for _ in range(3)]
            assert statuses[0] == 200, bound
            assert statuses[-1] == 429, bound


def test_a_map_comes_through_the_door_and_is_counted_by_its_route(engine: Engine) -> None:
    with serving(engine) as client:
        session = fed(client, {}, encode(TARGET), FILES[:1])
        path = f"{session.path}/heatmap?candidate=0"
        late = client.get(path, headers={"x-request-timeout-ms": "0"})
        assert "X-Request-Timeout-Ms" in assert_problem(late, 422, "invalid-request")["detail"]
        client.app.state.door.closed = True
        assert_problem(client.get(path), 503, "not-ready")
        client.app.state.door.closed = False
        assert client.get(path).status_code == 200
        metrics = client.get("/metrics").text
        assert 'path="/sessions/{session_id}/heatmap"' in metrics
        assert session.id not in metrics
