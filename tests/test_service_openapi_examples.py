"""The examples of the API document work when pasted, in every form of a body."""

import json
import re
from typing import Any

import msgspec
import pytest
from litestar.testing import TestClient

from tests.support.services import document, scored

MSGPACK = "application/vnd.msgpack"
FORMS = ["application/json", "multipart/form-data", MSGPACK]


def post_example(client: TestClient[Any], path: str, media_type: str, summary: str | None = None) -> Any:
    """The answer to an example of the document: the one of this summary, or the only one."""
    template = re.sub("/ada/", "/{name}/", re.sub("/sessions/[^/]+/", "/sessions/{session_id}/", path))
    examples = document()["paths"][template]["post"]["requestBody"]["content"][media_type]["examples"]
    example = examples[summary or next(iter(examples))]["value"]
    if media_type == "multipart/form-data":
        parts = [
            (name, (None, value if isinstance(value, str) else json.dumps(value)))
            for name, values in example.items()
            for value in (values if isinstance(values, list) else [values])
        ]
        return client.post(path, files=parts)
    encode = msgspec.json.encode if media_type == "application/json" else msgspec.msgpack.encode
    return client.post(path, content=encode(example), headers={"content-type": media_type})


@pytest.mark.parametrize("path", ["/rank", "/distance"])
def test_the_examples_of_every_form_work_when_pasted(client: TestClient[Any], path: str) -> None:
    answers = [post_example(client, path, media_type) for media_type in FORMS]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert scored(answers[0].json()) == scored(answers[1].json()) == scored(answers[2].json())


def test_the_example_of_a_matrix_works_in_every_form(client: TestClient[Any]) -> None:
    answers = [post_example(client, "/matrix", media_type) for media_type in FORMS]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert answers[0].json() == answers[1].json() == answers[2].json()


def test_the_example_of_a_heat_map_works_in_every_form(client: TestClient[Any]) -> None:
    answers = [post_example(client, "/heatmap", media_type) for media_type in FORMS]
    assert [answer.status_code for answer in answers] == [200, 200, 200]
    assert answers[0].content == answers[1].content == answers[2].content


@pytest.mark.parametrize("media_type", FORMS)
def test_the_examples_of_sessions_work_when_pasted(client: TestClient[Any], media_type: str) -> None:
    made = post_example(client, "/sessions", media_type)
    assert made.status_code == 201, made.text
    path = made.headers["location"]
    for count in (2, 4):  # as many as the orders speak of
        answer = post_example(client, f"{path}/candidates", media_type)
        assert answer.status_code == 200, answer.text
        assert [one["prompt"] for one in answer.json()["candidates"]] == ["blue, with a stripe", None] * (count // 2)
    orders = document()["paths"]["/sessions/{session_id}/order"]["put"]["requestBody"]["content"]["application/json"]
    for example in orders["examples"].values():
        assert client.put(f"{path}/order", json=example["value"]).status_code == 200


@pytest.mark.parametrize("media_type", FORMS)
def test_the_examples_of_profiles_work_when_pasted(teachable: TestClient[Any], media_type: str) -> None:
    for path, summary, status in (
        ("/profiles", None, 201),
        ("/profiles/ada/rankings", "Images and their order", 201),
        ("/profiles/ada/rankings", "A comparison, re-ordered", 404),  # whose id is another each time
        ("/profiles/ada/rankings", "The one that stands out", 201),
        ("/profiles/ada/rankings", "The first ones", 201),
        ("/profiles/ada/rollback", None, 200),
    ):
        answer = post_example(teachable, path, media_type, summary)
        assert answer.status_code == status, answer.text


def test_the_example_finds_orange_nearer_to_red_than_blue(client: TestClient[Any]) -> None:
    assert [row["index"] for row in post_example(client, "/rank", "application/json").json()["ranking"]] == [1, 0]
