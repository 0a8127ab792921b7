"""What a client can get wrong, and the problem+json that says so. Nothing here may be a 500, or nothing at all."""

import socket
import struct
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from litestar.testing import TestClient

from tests.pictures import encode, npy, picture
from tests.services import (
    FORMS,
    Form,
    assert_problem,
    base64_of,
    distance_body,
    listening,
    multipart,
    pointers,
    rank_body,
    serving,
    tree,
)

IMAGE = encode(picture(1, 40))


@pytest.fixture(scope="module")
def fake() -> Iterator[TestClient[Any]]:
    """A client of an app with small limits, on an engine of a few lines: this is about what never gets so far."""
    with serving(max_body_bytes=100_000, max_images=8, max_pixels=100_000, max_resolution=512) as client:
        yield client


def post(client: TestClient[Any], body: tuple[bytes, str], path: str = "/rank", **headers: str) -> Any:
    return client.post(path, content=body[0], headers={"content-type": body[1], **headers})


# --- limits -----------------------------------------------------------------------------------------------------------


def test_a_body_above_the_limit_is_refused_by_its_announced_length(fake: TestClient[Any]) -> None:
    problem = assert_problem(post(fake, (b"x" * 100_001, "application/json")), 413, "body-too-large")
    assert "100,000" in problem["detail"]


def test_a_body_above_the_limit_is_refused_when_it_comes_in_chunks(fake: TestClient[Any]) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(20):
            yield b" " * 10_000

    response = fake.post("/rank", content=chunks(), headers={"content-type": "application/json"})
    assert_problem(response, 413, "body-too-large")


def test_a_body_at_the_limit_is_read(fake: TestClient[Any]) -> None:
    body, content_type = rank_body("json", IMAGE, [IMAGE])
    assert post(fake, (body.ljust(100_000), content_type)).status_code == 200


@pytest.mark.parametrize("form", FORMS)
def test_the_limit_of_images_counts_target_and_candidates(fake: TestClient[Any], form: Form) -> None:
    assert post(fake, rank_body(form, IMAGE, [IMAGE] * 7)).status_code == 200
    problem = assert_problem(post(fake, rank_body(form, IMAGE, [IMAGE] * 8)), 422, "invalid-request")
    assert pointers(problem) == ["/candidates"]
    assert "more than 8 images" in problem["detail"]


@pytest.mark.parametrize("form", FORMS)
def test_the_limit_of_images_counts_both_images_of_each_pair(fake: TestClient[Any], form: Form) -> None:
    assert post(fake, distance_body(form, [(IMAGE, IMAGE)] * 4), "/distance").status_code == 200
    problem = assert_problem(post(fake, distance_body(form, [(IMAGE, IMAGE)] * 5), "/distance"), 422, "invalid-request")
    assert pointers(problem) == ["/pairs"]


@pytest.mark.parametrize("form", FORMS)
def test_data_urls_and_their_commas_do_not_count_as_more_images(fake: TestClient[Any], form: Form) -> None:
    url = "data:image/png;base64," + base64_of(IMAGE)
    if form == "multipart":
        body = multipart([], {"target": url, "candidates": url})
    else:
        body = tree(form, {"target": url, "candidates": [url] * 7})
    assert post(fake, body).status_code == 200


@pytest.mark.parametrize("form", ["json", "msgpack"])
def test_a_list_far_above_the_limit_is_refused_before_it_is_decoded(fake: TestClient[Any], form: Form) -> None:
    body = tree(form, {"target": "", "candidates": [0] * 45_000})
    problem = assert_problem(post(fake, body), 422, "invalid-request")
    assert pointers(problem) == ["/candidates"]


def test_an_image_of_too_many_pixels_is_refused(fake: TestClient[Any]) -> None:
    large = encode(np.zeros((400, 300, 3), np.uint8))
    problem = assert_problem(post(fake, rank_body("json", IMAGE, [IMAGE, large])), 422, "bad-images")
    assert pointers(problem) == ["/candidates/1"]
    assert "120,000" in problem["errors"][0]["detail"]


def test_a_resolution_above_the_limit_is_refused(fake: TestClient[Any]) -> None:
    problem = assert_problem(post(fake, rank_body("json", IMAGE, [IMAGE], resolution=513)), 422, "invalid-request")
    assert pointers(problem) == ["/resolution"]
    assert "512" in problem["detail"]


def test_the_pixels_of_all_images_together_are_bounded() -> None:
    images = [encode(picture(seed, 40)) for seed in range(4)]
    with serving(max_scored_pixels=3 * 64**2) as client:
        assert post(client, rank_body("json", images[0], images[1:3], resolution=64)).status_code == 200
        assert post(client, rank_body("json", images[0], [images[1]] * 5, resolution=64)).status_code == 200
        problem = assert_problem(
            post(client, rank_body("json", images[0], images[1:], resolution=64)), 422, "invalid-request"
        )
        assert pointers(problem) == ["/resolution"]


def test_the_pixels_of_all_images_together_are_bounded_at_native_size() -> None:
    images = [encode(picture(seed, 40)) for seed in range(3)]
    with serving(max_scored_pixels=2 * 40**2) as client:
        assert post(client, rank_body("json", images[0], images[1:2], resolution=None)).status_code == 200
        body = rank_body("json", images[0], images[1:], resolution=None)
        problem = assert_problem(post(client, body), 422, "bad-images")
        assert pointers(problem) == ["/target", "/candidates/0", "/candidates/1"]


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
def test_malformed_json_is_a_400(fake: TestClient[Any], body: bytes) -> None:
    assert_problem(post(fake, (body, "application/json")), 400, "malformed-body")


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
def test_malformed_messagepack_is_a_400(fake: TestClient[Any], body: bytes) -> None:
    assert_problem(post(fake, (body, "application/msgpack")), 400, "malformed-body")


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
def test_malformed_multipart_is_a_400(fake: TestClient[Any], body: bytes, content_type: str) -> None:
    response = post(fake, (body, content_type))
    assert response.status_code in {400, 422}, response.text
    assert_problem(response, response.status_code, response.json()["type"].rpartition(":")[2])


def test_a_part_that_is_not_text_where_text_is_due_is_a_400(fake: TestClient[Any]) -> None:
    body, content_type = multipart([("target", IMAGE), ("candidates", IMAGE), ("profile", b"\xff\xfe")], {})
    assert_problem(post(fake, (body, content_type)), 400, "malformed-body")


@pytest.mark.parametrize(
    "content_type", ["", "text/plain", "application/x-www-form-urlencoded", "application/xml", "nonsense", ";;;", "/"]
)
def test_another_content_type_is_a_415_that_names_those_there_are(fake: TestClient[Any], content_type: str) -> None:
    response = post(fake, (b"{}", content_type))
    problem = assert_problem(response, 415, "unsupported-content")
    assert "application/json" in problem["detail"]
    assert "multipart/form-data" in response.headers["accept"]


def test_an_encoded_body_is_a_415(fake: TestClient[Any]) -> None:
    response = post(fake, rank_body("json", IMAGE, [IMAGE]), **{"content-encoding": "gzip"})
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
def test_an_invalid_request_is_a_422_with_a_pointer(fake: TestClient[Any], request_: Any, pointer: str) -> None:
    body = msgspec.json.encode(request_)
    assert pointers(assert_problem(post(fake, (body, "application/json")), 422, "invalid-request")) == [pointer]


def test_an_answer_repeats_no_more_of_a_request_than_is_worth_reading(fake: TestClient[Any]) -> None:
    body = msgspec.json.encode({"target": GOOD, "candidates": [GOOD], "x" * 90_000: 1})
    assert len(post(fake, (body, "application/json")).content) < 1_000
    assert len(post(fake, (b"", "text/" + "x" * 30_000)).content) < 1_000


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
def test_invalid_pairs_are_a_422_with_a_pointer(fake: TestClient[Any], pairs: Any, pointer: str) -> None:
    body = msgspec.json.encode({"pairs": pairs})
    problem = assert_problem(post(fake, (body, "application/json"), "/distance"), 422, "invalid-request")
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
    fake: TestClient[Any], files: Any, fields: dict[str, Any], pointer: str
) -> None:
    problem = assert_problem(post(fake, multipart(files, fields)), 422, "invalid-request")
    assert pointers(problem) == [pointer]


def test_a_form_with_a_target_too_many_says_so(fake: TestClient[Any]) -> None:
    body = multipart([("target", IMAGE), ("candidate", IMAGE), ("target", IMAGE)], {})
    problem = assert_problem(post(fake, body, "/distance"), 422, "invalid-request")
    assert "2 `target` and 1 `candidate`" in problem["detail"]


@pytest.mark.parametrize("resolution", ["null", "64"])
def test_the_options_of_a_form_are_read(fake: TestClient[Any], resolution: str) -> None:
    body = multipart([("target", IMAGE), ("candidate", IMAGE)], {"resolution": resolution, "layers": "true"})
    assert post(fake, body, "/distance").json()["layers"] == [[0.0] * 5]


def test_a_pickle_is_never_read(fake: TestClient[Any]) -> None:
    problem = assert_problem(post(fake, rank_body("msgpack", IMAGE, [npy(np.array([{}], object))])), 422, "bad-images")
    assert "pickled" in problem["errors"][0]["detail"]


# --- the framework's own refusals -------------------------------------------------------------------------------------


def test_an_unknown_path_is_a_404(fake: TestClient[Any]) -> None:
    assert_problem(fake.get("/nope"), 404)


def test_a_wrong_method_is_a_405_that_names_the_right_one(fake: TestClient[Any]) -> None:
    response = fake.get("/rank")
    assert_problem(response, 405)
    assert "POST" in response.headers["allow"]


def test_a_broken_host_header_is_a_400(fake: TestClient[Any]) -> None:
    assert_problem(fake.get("/healthz", headers={"host": "a b"}), 400)


# --- anything at all --------------------------------------------------------------------------------------------------

ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text() | st.binary(),
    lambda children: st.lists(children) | st.dictionaries(st.text(), children),
    max_leaves=12,
)
REQUESTS = st.fixed_dictionaries(
    {},
    optional={
        name: ANYTHING | st.lists(st.just(IMAGE) | ANYTHING, max_size=4) | st.just(IMAGE)
        for name in ("target", "candidates", "pairs", "profile", "resolution", "layers")
    },
)


@given(request_=REQUESTS, path=st.sampled_from(["/rank", "/distance"]), form=st.sampled_from(["json", "msgpack"]))
@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_tree_of_values_is_a_500(fake: TestClient[Any], request_: Any, path: str, form: Form) -> None:
    response = post(fake, tree(form, request_), path)
    assert response.status_code in {200, 400, 409, 422}
    if response.status_code != 200:
        assert_problem(response, response.status_code, response.json()["type"].rpartition(":")[2])


@given(
    body=st.binary(max_size=300) | st.sampled_from([rank_body(form, IMAGE, [IMAGE])[0] for form in FORMS]),
    cut=st.integers(0, 4000),
    flips=st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), max_size=6),
    content_type=st.sampled_from([rank_body(form, IMAGE, [IMAGE])[1] for form in FORMS]),
)
@settings(max_examples=300, deadline=None, suppress_health_check=list(HealthCheck))
def test_no_damaged_body_is_a_500(
    fake: TestClient[Any], body: bytes, cut: int, flips: list[tuple[int, int]], content_type: str
) -> None:
    damaged = bytearray(body[: len(body) - cut] if cut < len(body) else body)
    for place, value in flips:
        if place < len(damaged):
            damaged[place] = value
    response = post(fake, (bytes(damaged), content_type))
    assert response.status_code in {200, 400, 409, 422}
    if response.status_code != 200:
        assert_problem(response, response.status_code, response.json()["type"].rpartition(":")[2])


# --- below HTTP -------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def address() -> Iterator[tuple[str, int]]:
    with listening(max_body_bytes=100_000) as url:
        parts = urlsplit(url)
        yield parts.hostname or "", parts.port or 0


def exchange(address: tuple[str, int], request: bytes, *, reset: bool = False) -> bytes:
    """What the service answers to raw bytes until it closes; `reset` goes away instead of listening."""
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(request)
        if reset:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            return b""
        connection.shutdown(socket.SHUT_WR)
        answer = b""
        while chunk := connection.recv(65536):
            answer += chunk
        return answer


HEAD = b"POST /rank HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: application/json\r\n"


@pytest.mark.parametrize(
    "request_",
    [
        HEAD + b"content-length: 10\r\n\r\n{}",  # less than announced
        HEAD + b"content-length: 2\r\n\r\n{}GARBAGE",  # more than announced
        HEAD + b"content-length: 99999999999999999999999999\r\n\r\n{}",
        HEAD + b"content-length: -5\r\n\r\n{}",
        HEAD + b"content-length: x\r\n\r\n{}",
        HEAD + b"transfer-encoding: chunked\r\n\r\nzz\r\n",
        HEAD + b"transfer-encoding: chunked\r\n\r\n5\r\n{}",
        HEAD + b"x: " + b"y" * 200_000 + b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01",
        b"GET / HTTP/9.9\r\n\r\n",
    ],
    ids=lambda request_: repr(request_[-40:]),
)
def test_broken_http_gets_no_500_and_harms_nobody(address: tuple[str, int], request_: bytes) -> None:
    answer = exchange(address, request_)
    assert answer == b"" or answer.startswith(b"HTTP/1.1 4")
    assert httpx.get("http://{}:{}/healthz".format(*address)).status_code == 200


def test_a_client_that_goes_away_in_the_middle_of_its_body_leaves_no_trace(address: tuple[str, int]) -> None:
    for _ in range(5):
        exchange(address, HEAD + b"content-length: 5000\r\n\r\n{", reset=True)
    metrics = httpx.get("http://{}:{}/metrics".format(*address)).text
    assert 'status_code="500"' not in metrics


def test_an_oversized_body_is_refused_before_it_is_sent(address: tuple[str, int]) -> None:
    with socket.create_connection(address, timeout=10) as connection:
        connection.sendall(HEAD + b"content-length: 100001\r\n\r\n")
        assert connection.recv(65536).startswith(b"HTTP/1.1 413")
