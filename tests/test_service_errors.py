"""What a client can get wrong, and the problem+json that says so. Nothing here may be a 500, or nothing at all."""

from typing import Any

import msgspec
import numpy as np
import pytest
from litestar.testing import TestClient

from clpips.service.routes.answers import REFUSALS
from clpips.service.storage.errors import RefusedError
from tests.support.pictures import encode, npy, picture
from tests.support.services import assert_problem, base64_of, multipart, pointers, post, rank_body, serving

IMAGE = encode(picture(1, 40))


# --- bodies that are not what they say --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b'{"target": NaN, "candidates": []}',
        b'{"target": "\xff", "candidates": [',
        b"\xef\xbb\xbf{}",
        b'{"candidates": ' + b"[" * 40_000,
        b'{"target": ' + b'{"a":' * 15_000,
        b'{"target": "\\ud800',
    ],
    ids=lambda body: repr(body[:24]),
)
def test_malformed_json_is_a_400(bounded: TestClient[Any], body: bytes) -> None:
    assert_problem(post(bounded, (body, "application/json")), 400, "malformed-body")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"\xc1",
        b"\x82\xa6target",
        b"\x82\xa6target\xc6\xff\xff\xff\xffabc",
        b"\x82\xa6target\xa1x\xaacandidates\xdd\x00\x00\x00\x02",
        b"\x82\xa6target\xa1x\xaacandidates" + b"\x91" * 40_000,
        b"\x81\xa1\xff\x01",
    ],
    ids=lambda body: repr(body[:24]),
)
def test_malformed_messagepack_is_a_400(bounded: TestClient[Any], body: bytes) -> None:
    assert_problem(post(bounded, (body, "application/msgpack")), 400, "malformed-body")


GOOD_FORM, GOOD_TYPE = multipart([("target", IMAGE), ("candidates", IMAGE)], {})


@pytest.mark.parametrize(
    ("body", "content_type"),
    [
        (b"", GOOD_TYPE),
        (GOOD_FORM[:-30], GOOD_TYPE),
        (GOOD_FORM[:60], GOOD_TYPE),
        (GOOD_FORM, "multipart/form-data; boundary=another"),
        (GOOD_FORM, "multipart/form-data"),
        (GOOD_FORM, "multipart/form-data; boundary="),
        (GOOD_FORM.replace(b'form-data; name="target"', b"attachment"), GOOD_TYPE),
        (GOOD_FORM.replace(b"\r\n", b"\n"), GOOD_TYPE),
        (multipart([("target", IMAGE)], {})[0].replace(b"name=", b"name=\xff\xfe"), GOOD_TYPE),
        (b"x" * 1000, GOOD_TYPE),
    ],
)
def test_malformed_multipart_is_a_400(bounded: TestClient[Any], body: bytes, content_type: str) -> None:
    response = post(bounded, (body, content_type))
    assert response.status_code in {400, 422}, response.text
    assert_problem(response, response.status_code, response.json()["type"].rpartition(":")[2])


def test_a_part_that_is_not_text_where_text_is_due_is_a_400(bounded: TestClient[Any]) -> None:
    body, content_type = multipart([("target", IMAGE), ("candidates", IMAGE), ("profile", b"\xff\xfe")], {})
    assert_problem(post(bounded, (body, content_type)), 400, "malformed-body")


@pytest.mark.parametrize(
    "content_type", ["", "text/plain", "application/x-www-form-urlencoded", "application/xml", "nonsense", ";;;", "/"]
)
def test_another_content_type_is_a_415_that_names_those_there_are(bounded: TestClient[Any], content_type: str) -> None:
    response = post(bounded, (b"{}", content_type))
    problem = assert_problem(response, 415, "unsupported-content")
    assert "application/json" in problem["detail"]
    assert "multipart/form-data" in response.headers["accept"]


def test_an_encoded_body_is_a_415(bounded: TestClient[Any]) -> None:
    response = post(bounded, rank_body("json", IMAGE, [IMAGE]), **{"content-encoding": "gzip"})
    assert "gzip" in assert_problem(response, 415, "unsupported-content")["detail"]


# --- requests that do not say what is needed --------------------------------------------------------------------------

GOOD = base64_of(IMAGE)


@pytest.mark.parametrize(
    ("request_", "pointer"),
    [
        ({"target": GOOD}, ""),
        ({"candidates": [GOOD]}, ""),
        ({"target": GOOD, "candidates": []}, "/candidates"),
        ({"target": GOOD, "candidates": GOOD}, "/candidates"),
        ({"target": GOOD, "candidates": {"0": GOOD}}, "/candidates"),
        ({"target": GOOD, "candidates": [GOOD], "colour": 1}, "/colour"),
        ({"target": GOOD, "candidates": [GOOD], "a/b~c": 1}, "/a~1b~0c"),
        ({"target": GOOD, "candidates": [GOOD], "layers": True}, "/layers"),
        ({"target": GOOD, "candidates": [GOOD], "profile": 3}, "/profile"),
        ({"target": GOOD, "candidates": [GOOD], "profile": ""}, "/profile"),
        ({"target": GOOD, "candidates": [GOOD], "profile": None}, "/profile"),
        ({"target": GOOD, "candidates": [GOOD], "resolution": "256"}, "/resolution"),
        ({"target": GOOD, "candidates": [GOOD], "resolution": 30}, "/resolution"),
        ({"target": GOOD, "candidates": [GOOD], "resolution": -1}, "/resolution"),
        ({"target": GOOD, "candidates": [GOOD], "resolution": 10**30}, "/resolution"),
        ({"target": GOOD, "candidates": [GOOD], "resolution": 256.5}, "/resolution"),
        ({"target": GOOD, "candidates": [GOOD], "resolution": True}, "/resolution"),
        ([], ""),
        (None, ""),
        ("target", ""),
    ],
)
def test_an_invalid_request_is_a_422_with_a_pointer(bounded: TestClient[Any], request_: Any, pointer: str) -> None:
    body = msgspec.json.encode(request_)
    assert pointers(assert_problem(post(bounded, (body, "application/json")), 422, "invalid-request")) == [pointer]


def test_an_answer_repeats_no_more_of_a_request_than_is_worth_reading(bounded: TestClient[Any]) -> None:
    body = msgspec.json.encode({"target": GOOD, "candidates": [GOOD], "x" * 90_000: 1})
    assert len(post(bounded, (body, "application/json")).content) < 1_000
    assert len(post(bounded, (b"", "text/" + "x" * 30_000)).content) < 1_000


@pytest.mark.parametrize(
    ("pairs", "pointer"),
    [
        ([], "/pairs"),
        ([{}], "/pairs/0"),
        ([{"target": GOOD, "candidate": GOOD}, {"target": GOOD}], "/pairs/1"),
        ([{"target": GOOD, "candidate": GOOD, "weight": 2}], "/pairs/0/weight"),
        ([GOOD], "/pairs/0"),
        (GOOD, "/pairs"),
    ],
)
def test_invalid_pairs_are_a_422_with_a_pointer(bounded: TestClient[Any], pairs: Any, pointer: str) -> None:
    body = msgspec.json.encode({"pairs": pairs})
    problem = assert_problem(post(bounded, (body, "application/json"), "/distance"), 422, "invalid-request")
    assert pointers(problem) == [pointer]


@pytest.mark.parametrize(
    ("files", "fields", "pointer"),
    [
        ([("target", IMAGE)], {}, "/candidates"),
        ([("candidates", IMAGE)], {}, "/target"),
        ([("target", IMAGE), ("target", IMAGE), ("candidates", IMAGE)], {}, "/target"),
        ([("target", IMAGE), ("candidates", IMAGE), ("candidate", IMAGE)], {}, "/candidate"),
        ([("target", IMAGE), ("candidates", IMAGE)], {"resolution": "big"}, "/resolution"),
        ([("target", IMAGE), ("candidates", IMAGE)], {"resolution": "9" * 5000}, "/resolution"),
        ([("target", IMAGE), ("candidates", IMAGE), ("profile", b"a"), ("profile", b"b")], {}, "/profile"),
    ],
)
def test_an_invalid_form_is_a_422_with_a_pointer(
    bounded: TestClient[Any], files: Any, fields: dict[str, Any], pointer: str
) -> None:
    problem = assert_problem(post(bounded, multipart(files, fields)), 422, "invalid-request")
    assert pointers(problem) == [pointer]


def test_a_form_with_a_target_too_many_says_so(bounded: TestClient[Any]) -> None:
    body = multipart([("target", IMAGE), ("candidate", IMAGE), ("target", IMAGE)], {})
    problem = assert_problem(post(bounded, body, "/distance"), 422, "invalid-request")
    assert "2 `target` and 1 `candidate`" in problem["detail"]


@pytest.mark.parametrize("resolution", ["null", "64"])
def test_the_options_of_a_form_are_read(bounded: TestClient[Any], resolution: str) -> None:
    body = multipart([("target", IMAGE), ("candidate", IMAGE)], {"resolution": resolution, "layers": "true"})
    assert post(bounded, body, "/distance").json()["layers"] == [[0.0] * 5]


def test_a_pickle_is_never_read(bounded: TestClient[Any]) -> None:
    problem = assert_problem(
        post(bounded, rank_body("msgpack", IMAGE, [npy(np.array([{}], object))])), 422, "bad-images"
    )
    assert "pickled" in problem["errors"][0]["detail"]


# --- the framework's own refusals -------------------------------------------------------------------------------------


def test_an_unknown_path_is_a_404(bounded: TestClient[Any]) -> None:
    assert_problem(bounded.get("/nope"), 404)


def test_a_wrong_method_is_a_405_that_names_the_right_one(bounded: TestClient[Any]) -> None:
    response = bounded.get("/rank")
    assert_problem(response, 405)
    assert "POST" in response.headers["allow"]


def test_a_broken_host_header_is_a_400(bounded: TestClient[Any]) -> None:
    assert_problem(bounded.get("/healthz", headers={"host": "a b"}), 400)


# --- what storage refuses ---------------------------------------------------------------------------------------------


def test_whatever_storage_refuses_has_an_answer() -> None:
    assert REFUSALS.keys() == set(RefusedError.__subclasses__())


@pytest.mark.parametrize("query", ["limit=0", "limit=1001", "limit=many"])
def test_a_parameter_of_a_query_that_is_wrong_is_named(query: str) -> None:
    with serving() as client:
        reply = client.get(f"/profiles?{query}")

    assert reply.status_code == 422
    assert reply.json()["type"].endswith("invalid-request")
    assert reply.json()["detail"].startswith("limit: ")


@pytest.mark.parametrize("path", ["/profiles?limit=1&limit=2", "/profiles/ada/suggest?comparison=a&comparison=b"])
def test_a_parameter_that_is_there_twice_is_named(path: str) -> None:
    with serving() as client:
        problem = assert_problem(client.get(path), 422, "invalid-request")
    assert problem["detail"].endswith("the query has it more than once, expected one")
