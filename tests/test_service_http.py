"""HTTP as it is spoken: upgrades, targets, hosts and errors below the app, byte by byte."""

import contextlib
import json
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest

from tests.support.pictures import npy, picture
from tests.support.services import listening, rank_body

IMAGES = [npy(picture(seed, 40)) for seed in range(2)]
BODY, CONTENT_TYPE = rank_body("json", IMAGES[0], IMAGES)
H2C = b"connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"
CLOSING = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"


@pytest.fixture(scope="module")
def address() -> Iterator[tuple[str, int]]:
    with listening() as url:
        parts = urlsplit(url)
        yield parts.hostname or "", parts.port or 0


def exchange(address: tuple[str, int], *pieces: bytes) -> list[tuple[int, dict[str, str], bytes]]:
    """The answers to raw bytes, sent piece by piece, until the service closes: status, headers, body of each."""
    with socket.create_connection(address, timeout=20) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        for piece in pieces:
            connection.sendall(piece)
        raw = b""
        while chunk := connection.recv(65536):
            raw += chunk
    answers = []
    while raw:
        head, _, raw = raw.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers["content-length"])
        answers.append((int(first.split()[1]), headers, raw[:length]))
        raw = raw[length:]
    return answers


def post(extra: bytes = b"", body: bytes = BODY, path: bytes = b"/rank") -> bytes:
    head = b"POST %s HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n%s" % (path, extra)
    return head + b"content-length: %d\r\n\r\n" % len(body) + body


@pytest.mark.parametrize(
    "upgrade", [H2C, b"connection: upgrade\r\nupgrade: websocket\r\n", b"connection: Upgrade\r\nupgrade: TLS/1.0\r\n"]
)
def test_an_upgrade_is_passed_over_and_the_body_is_read(address: tuple[str, int], upgrade: bytes) -> None:
    for pieces in (
        [post(upgrade) + CLOSING],
        [post(upgrade)[:60], post(upgrade)[60:300], post(upgrade)[300:], CLOSING],
    ):
        (status, headers, body), (alive, _, _) = exchange(address, *pieces)
        assert (status, alive) == (200, 200)
        assert len(json.loads(body)["ranking"]) == 2
        assert "upgrade" not in headers


def test_a_chunked_body_with_an_upgrade_is_read_too(address: tuple[str, int]) -> None:
    head = (
        b"POST /rank HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ntransfer-encoding: chunked\r\n"
        + H2C
    )
    request = head + b"\r\n%x\r\n%s\r\n0\r\n\r\n" % (len(BODY), BODY)
    assert [status for status, _, _ in exchange(address, request + CLOSING)] == [200, 200]


def test_fields_behind_a_chunked_body_are_no_headers(address: tuple[str, int]) -> None:
    head = b"POST /rank HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    head += b"transfer-encoding: chunked\r\n\r\n"
    trailers = b"host: evil.example\r\norigin: https://evil.example\r\nx-request-timeout-ms: none\r\n"
    request = head + b"%x\r\n%s\r\n0\r\n%s\r\n" % (len(BODY), BODY, trailers)
    assert [status for status, _, _ in exchange(address, request + CLOSING)] == [200, 200]
    flood = head + b"0\r\n" + b"x: y\r\n" * 20_000
    with socket.create_connection(address, timeout=20) as connection, contextlib.suppress(ConnectionError):
        connection.sendall(flood)
        while connection.recv(65536):
            pass


def test_a_request_within_a_body_is_no_request(address: tuple[str, int]) -> None:
    smuggled = b"DELETE /profiles/ada HTTP/1.1\r\nhost: localhost\r\n\r\n"
    for upgrade in (H2C, b""):
        answers = exchange(address, post(upgrade, smuggled, b"/profiles") + CLOSING)
        assert [status for status, _, _ in answers] == [400, 200]  # no JSON; and the request that follows


def test_several_upgrades_in_a_row_are_several_requests(address: tuple[str, int]) -> None:
    get = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n" + H2C + b"\r\n"
    assert [status for status, _, _ in exchange(address, get * 3 + post(H2C) + CLOSING)] == [200] * 5


@pytest.mark.parametrize(
    "request_",
    [
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"CONNECT localhost:80 HTTP/1.1\r\nhost: localhost\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET /healthz HTTP/1.1\r\nhost : localhost\r\n\r\n",
        b"POST /rank HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{}",
        b"POST /rank HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}",
        b"POST /rank HTTP/1.1\r\nhost: localhost\r\ncontent-length: 0x2\r\n\r\n{}",
        b"POST /rank HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        b"GET /healthz HTTP/2.0\r\nhost: localhost\r\n\r\n",
    ],
    ids=lambda request_: repr(request_[:40]),
)
def test_what_is_no_http_is_told_so_as_any_problem(address: tuple[str, int], request_: bytes) -> None:
    ((status, headers, body),) = exchange(address, request_)
    assert (status, headers["content-type"]) == (400, "application/problem+json")
    assert (headers["connection"], headers["x-content-type-options"]) == ("close", "nosniff")
    problem = json.loads(body)
    assert (problem["status"], problem["type"]) == (400, "about:blank")
    assert problem["detail"]


def test_rubbish_after_a_request_does_not_take_its_answer(address: tuple[str, int]) -> None:
    ((status, headers, body),) = exchange(address, post() + b"RUBBISH\r\n\r\n\x00")
    assert (status, headers["connection"]) == (200, "close")
    assert json.loads(body)["ranking"]


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"GET /healthz HTTP/1.1\r\n", 400),  # no host
        (b"GET /healthz HTTP/1.0\r\n", 200),  # which had none yet
        (b"GET /healthz HTTP/1.1\r\nhost: localhost:99999\r\n", 400),
        (b"GET /profiles HTTP/1.1\r\nhost: localhost:99999\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nhost: localhost\r\n", 400),
        (b"GET /healthz HTTP/1.1\r\nhost: evil.example\r\n", 403),
        (b"GET http://localhost/healthz HTTP/1.1\r\nhost: evil.example\r\n", 200),  # the target's host is what counts
        (b"GET http://evil.example/healthz HTTP/1.1\r\nhost: localhost\r\n", 403),
        (b"GET http://[::1]:80/healthz HTTP/1.1\r\nhost: localhost\r\n", 200),
        (b"GET http://localhost HTTP/1.1\r\nhost: localhost\r\n", 307),  # to the studio, as of a path of one slash
        (b"GET HTTP://localhost/healthz HTTP/1.1\r\nhost: localhost\r\n", 200),
        (b"GET ftp://localhost/healthz HTTP/1.1\r\nhost: localhost\r\n", 400),
        (b"GET http://localhost/healthz HTTP/1.1\r\n", 400),
        (b"GET //metrics HTTP/1.1\r\nhost: localhost\r\n", 404),
    ],
)
def test_the_host_is_looked_at_before_all_else(address: tuple[str, int], head: bytes, status: int) -> None:
    ((came, headers, body),) = exchange(address, head + b"connection: close\r\n\r\n")
    assert came == status
    if status >= 400:
        assert headers["content-type"] == "application/problem+json"
        assert json.loads(body)["status"] == status


@pytest.mark.parametrize(
    "name", [b"Host", b"Origin", b"Authorization", b"X-Session-Token", b"Content-Type", b"Content-Encoding"]
)
def test_what_says_who_asks_for_whom_and_how_is_there_once(address: tuple[str, int], name: bytes) -> None:
    first = b"" if name == b"Host" else name + b": http://localhost\r\n"
    [(status, _, body)] = exchange(address, CLOSING[:-2] + first + name.lower() + b": localhost\r\n\r\n")
    assert (status, json.loads(body)["detail"]) == (
        400,
        f"the request has more than one {name.decode()} header; send one",
    )


def test_a_target_that_is_no_path_is_told(address: tuple[str, int]) -> None:
    [(status, headers, body)] = exchange(address, CLOSING.replace(b"/healthz", b"*"))
    assert status == 400
    assert headers["content-type"] == "application/problem+json"
    assert "begins with /" in json.loads(body)["detail"]


def test_options_of_an_asterisk_fail_nowhere(address: tuple[str, int]) -> None:
    [(status, _, _)] = exchange(address, b"OPTIONS * HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n")
    assert status == 404
