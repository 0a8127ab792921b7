"""The API document beside what the service answers: every answer to a client of the tests must stand in it."""

import re
from typing import Any

import httpx
import jsonschema
import msgspec

PROBLEM = "application/problem+json"
MSGPACK = "application/vnd.msgpack"
OTHER_NAMES = {"application/msgpack": MSGPACK, "application/x-msgpack": MSGPACK}


def operation_of(document: dict[str, Any], method: str, path: str) -> dict[str, Any] | None:
    """What the document says of this method on this path."""
    for template, operations in document["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", "[^/]+", template), path):
            found: dict[str, Any] | None = operations.get(method.lower())
            return found
    return None


def assert_documented(document: dict[str, Any], response: httpx.Response) -> None:
    """Hold an answer against the document: its status, content type, headers and body, and the kind of a problem.

    Paths and methods that there are not, and the pages about the API, have no place in it.
    """
    request = response.request
    operation = operation_of(document, request.method, request.url.path)
    if operation is None:
        return
    where = f"{request.method} {request.url.path} answers {response.status_code}"
    described = operation["responses"].get(str(response.status_code))
    assert described is not None, f"{where}, which the document does not know"
    response.read()
    _assert_headers(document, described["headers"], response, where)
    if not described.get("content"):
        assert not response.content, f"{where} with content, which the document does not know"
        return
    media_type = response.headers["content-type"].partition(";")[0]
    media_type = OTHER_NAMES.get(media_type, media_type)
    assert media_type in described["content"], f"{where} as {media_type}, which the document does not know"
    content = described["content"][media_type]
    if media_type == PROBLEM:
        kind = response.json()["type"].rpartition("urn:problem-type:clpips:")[2]
        assert kind in content["examples"], f"{where} with {kind}, which the document does not know"
    if reference := content["schema"].get("$ref"):
        body = msgspec.msgpack.decode(response.content) if media_type == MSGPACK else response.json()
        validator = jsonschema.Draft202012Validator({"$ref": reference, "components": document["components"]})
        faults = [f"{error.json_path}: {error.message}" for error in validator.iter_errors(body)]
        assert not faults, f"{where} with {faults}"


def _assert_headers(document: dict[str, Any], described: dict[str, Any], response: httpx.Response, where: str) -> None:
    known = document["components"]["headers"]
    for name in known:
        if name in response.headers:
            assert name in described, f"{where} with {name}, which the document does not know"
    for name in described:
        if known[name]["required"]:
            assert name in response.headers, f"{where} without {name}, which the document promises"
