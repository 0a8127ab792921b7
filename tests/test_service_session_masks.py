"""Masks of sessions: a region of the target counts for every candidate, whenever it comes and whoever compares it."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from litestar.testing import TestClient
from PIL import Image

from clpips.models.engines.contract import Engine
from tests.support.databases import KINDS, fresh_database
from tests.support.pictures import encode, picture, variation
from tests.support.services import FORMS, Form, assert_problem, base64_of, multipart, pointers, post, serving, tree
from tests.support.sessions import Made

HEIGHT, WIDTH = 90, 120
TARGET = picture(1, HEIGHT, WIDTH)
FILES = [encode(variation(TARGET, seed, strength)) for seed, strength in ((2, 0.6), (3, 0.3), (4, 0.8))]
LEFT = np.zeros((HEIGHT, WIDTH), np.uint8)
LEFT[:, :50] = 255
MASK = encode(Image.fromarray(LEFT))


def made(client: TestClient[Any], mask: bytes | None = MASK, form: Form = "multipart", **options: Any) -> Made:
    answer = post(client, body_of(mask, form, **options), "/sessions")
    assert answer.status_code == 201, answer.text
    return Made(answer.json()["session"], answer.json()["token"])


def body_of(mask: bytes | None, form: Form = "multipart", **options: Any) -> tuple[bytes, str]:
    if form == "multipart":
        parts = [("target", encode(TARGET)), *([] if mask is None else [("mask", mask)])]
        return multipart(parts, options)
    return tree(form, {"target": encode(TARGET), "mask": mask, **options})


def add(client: TestClient[Any], session: Made, files: list[bytes], *, again: bool = False) -> Any:
    body: dict[str, Any] = {"candidates": [base64_of(one) for one in files]}
    answer = client.post(
        f"{session.path}/candidates", json=body | ({"target": base64_of(encode(TARGET))} if again else {})
    )
    assert answer.status_code == 200, answer.text
    return answer.json()


def ranked(client: TestClient[Any], mask: bytes | None, profile: str) -> list[float]:
    """The distances of the same candidates by `/rank`, in the order of the request."""
    parts = [("target", encode(TARGET)), *(("candidates", one) for one in FILES)]
    masks = [] if mask is None else [("mask", mask)]
    rows = post(client, multipart([*parts, *masks], {"profile": profile})).json()["ranking"]
    return [row["distance"] for row in sorted(rows, key=lambda row: row["index"])]


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("profile", ["lpips", "balanced"])
def test_candidates_are_compared_within_the_mask_whenever_they_come(
    client: TestClient[Any], form: Form, profile: str
) -> None:
    session = made(client, form=form, profile=profile)
    add(client, session, FILES[:1])
    state = add(client, session, FILES[1:])
    assert state["mask"] == "sha256:" + hashlib.sha256(MASK).hexdigest()
    found = [one["distance"] for one in state["candidates"]]
    # Channel distances of sessions are kept in float16.
    assert found == pytest.approx(ranked(client, MASK, profile), rel=2e-3)
    assert found != pytest.approx(ranked(client, None, profile), rel=2e-2)


def test_without_a_mask_the_state_says_that_all_counts(bounded: TestClient[Any]) -> None:
    assert add(bounded, made(bounded, None), FILES)["mask"] is None
    assert add(bounded, made(bounded, None, "json"), FILES)["mask"] is None  # a null


@pytest.mark.parametrize("kind", KINDS)
def test_a_mask_outlives_the_process_and_goes_with_its_session(kind: str, engine: Engine, tmp_path: Path) -> None:
    with fresh_database(kind, tmp_path) as url:
        with serving(engine, database_url=url) as client:
            session = made(client, profile="lpips")
            expected = ranked(client, MASK, "lpips")
            add(client, session, FILES[:1])
        with serving(engine, database_url=url) as client:
            state = add(client, session, FILES[1:], again=True)
            assert [one["distance"] for one in state["candidates"]] == pytest.approx(expected, rel=2e-3)
            assert client.delete(session.path).status_code == 204


def sessions_of(client: TestClient[Any]) -> str:
    """How many sessions there are, as the metrics have it."""
    (line,) = [one for one in client.get("/metrics").text.splitlines() if one.startswith("clpips_sessions ")]
    return line


@pytest.mark.parametrize(
    ("mask", "words"),
    [
        (encode(Image.fromarray(np.zeros((HEIGHT, WIDTH), np.uint8))), "nothing"),
        (encode(Image.fromarray(np.full((WIDTH, HEIGHT), 255, np.uint8))), "90"),
        (b"no picture", "no image"),
        (MASK[:60], "end"),
    ],
    ids=["nothing counts", "another size", "no picture", "cut off"],
)
def test_a_mask_that_cannot_be_used_is_told_and_no_session_is_made(
    bounded: TestClient[Any], mask: bytes, words: str
) -> None:
    before = sessions_of(bounded)
    problem = assert_problem(post(bounded, body_of(mask), "/sessions"), 422, "bad-images")
    assert pointers(problem) == ["/mask"]
    assert words in problem["errors"][0]["detail"]
    assert sessions_of(bounded) == before


def test_a_mask_of_a_session_has_a_bound_because_it_is_kept(client: TestClient[Any]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1100, 1100), np.uint8)
    problem = assert_problem(post(client, body_of(encode(Image.fromarray(noise))), "/sessions"), 422, "invalid-request")
    assert pointers(problem) == ["/mask"]
    assert "1,048,576 bytes" in problem["detail"]


def test_a_mask_named_by_its_hash_is_refused(bounded: TestClient[Any]) -> None:
    made(bounded)
    body = {"target": base64_of(encode(TARGET)), "mask": "sha256:" + hashlib.sha256(MASK).hexdigest()}
    problem = assert_problem(bounded.post("/sessions", json=body), 422, "bad-images")
    assert "send the mask itself" in problem["errors"][0]["detail"]
