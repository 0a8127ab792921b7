"""The API's own description: complete, true, and with examples that work."""

import json
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, settings, strategies
from litestar.testing import TestClient
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    negative_data_rejection,
    positive_data_acceptance,
)
from schemathesis.transport.serialization import Binary

from clpips.service.app import create_app
from clpips.service.settings import Settings
from tests.support.pictures import encode, npy, picture
from tests.support.services import FakeEngine, listening, scored

MSGPACK = "application/vnd.msgpack"
FORMS = ["application/json", "multipart/form-data", MSGPACK]


def description(client: TestClient[Any]) -> dict[str, Any]:
    schema: dict[str, Any] = client.get("/schema/openapi.json").json()
    return schema


def post_example(client: TestClient[Any], path: str, media_type: str) -> Any:
    body = description(client)["paths"][path]["post"]["requestBody"]["content"][media_type]
    (example,) = (entry["value"] for entry in body["examples"].values())
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


def test_the_example_finds_orange_nearer_to_red_than_blue(client: TestClient[Any]) -> None:
    assert [row["index"] for row in post_example(client, "/rank", "application/json").json()["ranking"]] == [1, 0]


def test_every_error_of_scoring_is_described_as_problem_json(client: TestClient[Any]) -> None:
    for path in ("/rank", "/distance"):
        responses = description(client)["paths"][path]["post"]["responses"]
        assert set(responses) == {"200", *["400", "401", "403", "408", "409", "413", "415", "422", "429", "503", "504"]}
        for status in set(responses) - {"200"}:
            assert list(responses[status]["content"]) == ["application/problem+json"]
        assert list(responses["200"]["content"]) == ["application/json", MSGPACK]


def test_the_page_needs_nothing_from_elsewhere(client: TestClient[Any]) -> None:
    page = client.get("/schema")
    assert page.headers["content-type"].startswith("text/html")
    assert "//" not in page.text.replace("<!DOCTYPE html>", "")
    for name, media_type in (("swagger-ui-bundle.js", "text/javascript"), ("swagger-ui.css", "text/css")):
        assert f"/schema/{name}" in page.text
        asset = client.get(f"/schema/{name}")
        assert asset.status_code == 200
        assert asset.headers["content-type"].startswith(media_type)
        assert len(asset.text) > 100_000  # the client has unpacked it


def test_an_unknown_page_below_schema_is_problem_json(client: TestClient[Any]) -> None:
    response = client.get("/schema/nonsense")
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"


@schemathesis.serializer(MSGPACK)
def _as_messagepack(_: schemathesis.SerializationContext, value: Any) -> bytes:
    return msgspec.msgpack.encode(_writable(value), enc_hook=lambda binary: binary.data)


def _writable(value: Any) -> Any:
    """`value` with integers that MessagePack has no room for as floats: schemathesis makes those too."""
    if isinstance(value, dict):
        return {_writable(key): _writable(member) for key, member in value.items()}
    if isinstance(value, list):
        return [_writable(member) for member in value]
    too_large = isinstance(value, int) and not -(2**63) <= value < 2**64
    return float(value) if too_large else value


@schemathesis.deserializer(MSGPACK)
def _from_messagepack(_: schemathesis.DeserializationContext, response: schemathesis.Response) -> Any:
    return msgspec.msgpack.decode(response.content)


IMAGES = [encode(picture(1, 40)), encode(picture(2, 40), "WEBP"), npy(picture(3, 40)), encode(picture(1, 40))[:90], b""]
schemathesis.openapi.format("binary", strategies.sampled_from(IMAGES).map(Binary))

schema = schemathesis.openapi.from_dict(create_app(Settings(), FakeEngine()).openapi_schema.to_schema())


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with listening(FakeEngine()) as url:
        yield url


@schema.parametrize()
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_the_description_allows_or_forbids_gets_a_described_answer(
    case: schemathesis.Case[Any], url: str
) -> None:
    # Which bytes are an image is more than a schema can say: a request may be as described and still be refused.
    # The framework answers OPTIONS by itself, and names the methods of one handler where a path has several.
    excluded = [positive_data_acceptance, allow_header_conformance]
    # A form's parts have no types: a list of one is the value itself, and an empty list a value that is left out.
    if case.media_type == "multipart/form-data":
        excluded.append(negative_data_rejection)
    case.call_and_validate(base_url=url, excluded_checks=excluded)
