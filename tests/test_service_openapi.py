"""The API's own description: complete, and true of parameters, headers and answers."""

import json
from typing import Any

import pytest
from litestar.testing import TestClient
from openapi_spec_validator import OpenAPIV31SpecValidator

from clpips.service.admission.keys import new_key
from clpips.service.problems import Problem
from tests.support.documented import assert_documented
from tests.support.services import assert_problem, document, serving
from tests.support.sessions import make

MSGPACK = "application/vnd.msgpack"
OPERATIONS = [
    (method, path, operation) for path, methods in document()["paths"].items() for method, operation in methods.items()
]
EVERY_OPERATION = pytest.mark.parametrize(
    ("method", "path", "operation"), OPERATIONS, ids=[operation["operationId"] for *_, operation in OPERATIONS]
)


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
