"""Anything at all, from random trees to broken HTTP: nothing may be a 500, and nobody else is harmed."""

import socket
import struct
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from litestar.testing import TestClient

from tests.support.pictures import encode, picture
from tests.support.services import FORMS, Form, assert_problem, listening, post, rank_body, tree

IMAGE = encode(picture(1, 40))


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
def test_no_tree_of_values_is_a_500(bounded: TestClient[Any], request_: Any, path: str, form: Form) -> None:
    response = post(bounded, tree(form, request_), path)
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
    bounded: TestClient[Any], body: bytes, cut: int, flips: list[tuple[int, int]], content_type: str
) -> None:
    damaged = bytearray(body[: len(body) - cut] if cut < len(body) else body)
    for place, value in flips:
        if place < len(damaged):
            damaged[place] = value
    response = post(bounded, (bytes(damaged), content_type))
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
