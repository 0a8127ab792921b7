"""The API's own description: complete, true, and with examples that work."""

import json
import re
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import schemathesis
from hypothesis import HealthCheck, settings, strategies
from litestar.testing import TestClient
from openapi_spec_validator import OpenAPIV31SpecValidator
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    allow_header_conformance,
    negative_data_rejection,
    positive_data_acceptance,
)
from schemathesis.transport.serialization import Binary

from clpips.service.admission.keys import new_key
from clpips.service.problems import Problem
from tests.support.documented import assert_documented
from tests.support.pictures import encode, npy, picture
from tests.support.services import FakeEngine, assert_problem, document, listening, scored, serving
from tests.support.sessions import make

MSGPACK = "application/vnd.msgpack"
FORMS = ["application/json", "multipart/form-data", MSGPACK]
OPERATIONS = [
    (method, path, operation) for path, methods in document()["paths"].items() for method, operation in methods.items()
]
EVERY_OPERATION = pytest.mark.parametrize(
    ("method", "path", "operation"), OPERATIONS, ids=[operation["operationId"] for *_, operation in OPERATIONS]
)


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


# --- what it says -----------------------------------------------------------------------------------------------------


def test_every_operation_that_reads_a_body_says_that_it_can_be_late_or_too_large() -> None:
    reading = [operation for _, _, operation in OPERATIONS if "requestBody" in operation]
    assert len(reading) >= 7
    for operation in reading:
        assert {"408", "413", "503", "504"} <= operation["responses"].keys(), operation["operationId"]
        named = [header.get("name") or header["$ref"] for header in operation["parameters"]]
        assert any("X-Request-Timeout-Ms" in name for name in named), operation["operationId"]


def test_the_document_is_openapi(client: TestClient[Any]) -> None:
    given = client.get("/schema/openapi.json").json()
    assert given["openapi"].startswith("3.1")
    assert given == document()
    OpenAPIV31SpecValidator(given).validate()


def test_every_kind_of_problem_stands_in_the_document() -> None:
    described = {
        name
        for *_, operation in OPERATIONS
        for response in operation["responses"].values()
        for name in response["content"].get("application/problem+json", {}).get("examples", {})
    }
    assert described == {kind.kind for kind in Problem.__subclasses__()} | {"about:blank"}


@EVERY_OPERATION
def test_every_error_is_problem_json_and_every_answer_has_its_id(
    method: str, path: str, operation: dict[str, Any]
) -> None:
    for status, response in operation["responses"].items():
        assert "X-Request-ID" in response["headers"]
        if status[0] in "45":
            assert list(response["content"]) == ["application/problem+json"]
            assert response["content"]["application/problem+json"]["schema"]["$ref"].endswith("/ProblemDetails")
    assert {"400", "422", "500"} <= set(operation["responses"])


def test_what_scoring_refuses_is_described(client: TestClient[Any]) -> None:
    for path in ("/rank", "/distance", "/heatmap", "/matrix"):
        responses = document()["paths"][path]["post"]["responses"]
        refused = ["400", "401", "403", "408", "409", "413", "415", "422", "429", "500", "503", "504"]
        assert set(responses) == {"200", *refused}
        trees, npy_file = ["application/json", MSGPACK], "application/x-npy"
        expected = {"/heatmap": ["image/png", npy_file], "/matrix": [*trees, npy_file]}
        assert list(responses["200"]["content"]) == expected.get(path, trees)


@pytest.mark.parametrize(
    ("method", "path", "conflicts"),
    [
        ("post", "/rank", {"content-left-out", "images-not-held", "backbone-mismatch"}),
        ("post", "/distance", {"content-left-out", "images-not-held", "backbone-mismatch"}),
        ("post", "/matrix", {"content-left-out", "images-not-held", "backbone-mismatch"}),
        ("post", "/heatmap", {"content-left-out", "images-not-held", "backbone-mismatch"}),
        ("post", "/profiles", {"content-left-out", "profile-exists", "backbone-mismatch"}),
        (
            "post",
            "/profiles/{name}/rankings",
            {"images-not-held", "backbone-mismatch", "profile-exists", "content-left-out"},
        ),
        ("post", "/profiles/{name}/fit", {"backbone-mismatch", "profile-exists"}),
        ("delete", "/profiles/{name}", {"profile-exists"}),
        ("delete", "/profiles/{name}/rankings/{number}", {"backbone-mismatch", "profile-exists"}),
        ("post", "/profiles/{name}/rollback", {"profile-exists", "version-superseded"}),
        ("get", "/profiles/{name}/suggest", {"backbone-mismatch", "profile-exists"}),
    ],
)
def test_a_conflict_says_what_it_means_on_its_route(method: str, path: str, conflicts: set[str]) -> None:
    conflict = document()["paths"][path][method]["responses"]["409"]
    assert set(conflict["content"]["application/problem+json"]["examples"]) == conflicts
    assert all(f"`{name}`: " in conflict["description"] for name in conflicts)


@EVERY_OPERATION
def test_what_needs_no_key_says_so(method: str, path: str, operation: dict[str, Any]) -> None:
    assert (operation.get("security") == []) == (path in {"/healthz", "/readyz", "/metrics"})
    assert ("401" in operation["responses"]) == ("security" not in operation)


def test_an_image_is_described_once_and_looks_as_each_encoding_has_it() -> None:
    schemas = document()["components"]["schemas"]
    looks = {}
    for name in ("RankBody", "RankForm", "RankBodyBinary"):
        image = schemas[name]["properties"]["candidates"]["items"]
        assert image == schemas[name]["properties"]["target"]
        assert "`sha256:`" in image["description"]
        looks[name] = {key: value for key, value in image.items() if key != "description"}
    assert looks == {
        "RankBody": {"type": "string", "contentEncoding": "base64"},
        "RankForm": {"type": "string", "format": "binary"},
        "RankBodyBinary": {"type": "string", "format": "binary"},
    }
    assert (
        "`sha256:…` and a base64 `data:` URL are text parts"
        in schemas["RankForm"]["properties"]["target"]["description"]
    )


def test_every_field_of_a_body_is_described() -> None:
    for name, schema in document()["components"]["schemas"].items():
        if schema.get("additionalProperties") is False:
            for field, described in schema["properties"].items():
                assert described.get("description"), f"{name}.{field}"


# --- and that it is so ------------------------------------------------------------------------------------------------


def test_an_answer_that_is_not_in_the_document_is_found_out(client: TestClient[Any]) -> None:
    answer = client.get("/healthz")
    for change in ('"status"', '"200"', '"application/json"'):
        other = json.loads(json.dumps(document()).replace(change, '"another"'))
        with pytest.raises(AssertionError, match="GET /healthz answers 200"):
            assert_documented(other, answer)


@EVERY_OPERATION
def test_an_unknown_query_parameter_is_refused_by_its_name(
    client: TestClient[Any], method: str, path: str, operation: dict[str, Any]
) -> None:
    known = [one["name"] for one in operation["parameters"] if one.get("in") == "query"]
    names = {"name": "lpips", "number": 1, "session_id": make(client).id, "which": "target"}
    response = client.request(method, path.format(**names), params={"resolution": 64, **dict.fromkeys(known, 1)})
    problem = assert_problem(response, 422, "invalid-request")
    there_are = f"this operation knows {', '.join(known)}" if known else "this operation has none"
    assert problem["detail"] == f"the query has a parameter 'resolution'; {there_are}"
    assert len(problem["errors"]) == 1


def test_a_query_is_looked_at_after_the_key_and_before_the_body() -> None:
    with serving(api_keys=new_key("ada", "studio", ("score",))[1]) as keyed:
        assert_problem(keyed.post("/rank?resolution=64"), 401, "unauthenticated")
    with serving() as open_:
        assert_problem(open_.post("/rank?resolution=64", content=b"{"), 422, "invalid-request")


def test_a_parameter_of_the_path_is_none_of_the_query(client: TestClient[Any]) -> None:
    problem = assert_problem(client.get("/profiles/lpips?name=x&x=1"), 422, "invalid-request")
    assert [error["detail"].partition(";")[0] for error in problem["errors"]] == [
        "the query has a parameter 'name'",
        "the query has a parameter 'x'",
    ]


def test_the_request_headers_of_the_document_do_what_they_say(client: TestClient[Any]) -> None:
    headers = document()["components"]["parameters"]
    of_sessions = {"X-Session-Token", "Last-Event-ID"}  # tests/test_service_session_access.py, …_events.py
    others = {"X-Request-ID", "X-Request-Timeout-Ms", "X-Priority", "X-Target-Hash", "traceparent"}
    assert set(headers) == others | of_sessions
    answer = client.post("/rank", headers={"X-Request-ID": "run-7", "X-Request-Timeout-Ms": "0"})
    assert answer.headers["X-Request-ID"] == "run-7"
    assert "X-Request-Timeout-Ms" in assert_problem(answer, 422, "invalid-request")["detail"]
    assert "proxy" in headers["X-Target-Hash"]["description"]
    wrong = client.post("/rank", headers={"X-Priority": "urgent"})
    assert "expected interactive or bulk" in assert_problem(wrong, 422, "invalid-request")["detail"]


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


# --- the pages --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("accept", "location"),
    [
        ("*/*", "/schema"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "/schema"),
        ("application/json", "/schema/openapi.json"),
    ],
)
def test_the_root_leads_to_the_page_and_a_program_to_the_document(
    client: TestClient[Any], accept: str, location: str
) -> None:
    answer = client.get("/", headers={"accept": accept}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (307, location)
    assert client.get("/", headers={"accept": accept}).status_code == 200


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

schema = schemathesis.openapi.from_dict(document())


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
    # HTTP has headers that no API describes: one more is nothing to refuse.
    if case.media_type == "multipart/form-data" or "x-schemathesis-unknown-property" in case.headers:
        excluded.append(negative_data_rejection)
    response = case.call(base_url=url)
    # Who gives the service a millisecond is told that it was too little, whatever else is wrong.
    if "X-Request-Timeout-Ms" in case.headers and response.status_code in {408, 503, 504}:
        excluded += [not_a_server_error, negative_data_rejection]
    case.validate_response(response, excluded_checks=excluded)
