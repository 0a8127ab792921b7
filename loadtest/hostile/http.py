"""HTTP that is broken, smuggled or meant for another: raw bytes in, the statuses of all answers out."""

import json
from collections.abc import Sequence
from typing import Final

from loadtest.hostile.case import Case, Suite, expect
from loadtest.hostile.service import Service
from loadtest.kit.client import pair_body
from loadtest.kit.pictures import Pictures

PICTURE: Final = next(Pictures(64, "png"))
H2C: Final = b"connection: upgrade, http2-settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABkAARAAAAAAAIAAAAA\r\n"
LAST: Final = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
DELETE: Final = b"DELETE /profiles/ada HTTP/1.1\r\nhost: localhost\r\n\r\n"


def answers_of(raw: bytes) -> list[tuple[int, bytes]]:
    """The status and the body of each answer. Raises `ValueError` for what is no HTTP."""
    found = []
    while raw:
        head, _, raw = raw.partition(b"\r\n\r\n")
        lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
        length = int(lengths[0].partition(b":")[2]) if lengths else 0
        found.append((int(head.split()[1]), raw[:length]))
        raw = raw[length:]
    return found


def told(name: str, request: bytes, *statuses: int) -> Case:
    """Raw bytes get answers of these statuses, one after the other, the errors as problem+json."""

    async def check(service: Service) -> None:
        answers = answers_of(await service.exchange(request))
        came = [status for status, _ in answers]
        expect(came == list(statuses), f"the answers are {came}, not {list(statuses)}")
        for status, body in answers:
            expect(status < 400 or json.loads(body)["status"] == status, f"{body[:100]!r} is no problem")

    return Case(name, check)


def post(extra: bytes = b"", content: bytes | None = None, path: bytes = b"/distance") -> bytes:
    """A sound pair, or other content, as raw bytes with further headers."""
    body = pair_body(PICTURE, PICTURE)
    sent = body.content if content is None else content
    head = b"POST %s HTTP/1.1\r\nhost: localhost\r\ncontent-type: %s\r\n" % (path, body.content_type.encode())
    return head + extra + b"content-length: %d\r\n\r\n%s" % (len(sent), sent)


def get(path: bytes, host: bytes = b"host: localhost\r\n", version: bytes = b"1.1") -> bytes:
    return b"GET %s HTTP/%s\r\n%sconnection: close\r\n\r\n" % (path, version, host)


def form(field: bytes, value: bytes) -> bytes:
    """A part of text for a ranking that needs no image."""
    boundary = pair_body(PICTURE, PICTURE).content_type.partition("boundary=")[2].encode()
    parts = [(b"comparison", b"none"), (field, value)]
    content = b"".join(
        b'--%s\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n' % (boundary, name, text)
        for name, text in parts
    )
    return post(b"connection: close\r\n", content + b"--%s--\r\n" % boundary, b"/profiles/ada/rankings")


HOSTS: Final[Sequence[tuple[bytes, int]]] = (
    (b"", 400),
    (b"host:\r\n", 400),
    (b"host: localhost:99999\r\n", 400),
    (b"host: localhost:x\r\n", 400),
    (b"host: a b\r\n", 400),
    (b"host: localhost\r\nhost: localhost\r\n", 400),
    (b"host: evil.example\r\n", 403),
    (b"host: 127.0.0.1.nip.io\r\n", 403),
    (b"host: localhost.evil.example:80\r\n", 403),
)
BROKEN: Final[Sequence[bytes]] = (
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    b"CONNECT localhost:80 HTTP/1.1\r\nhost: localhost\r\n\r\n",
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
    b"POST /rank HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n{}",
    b"POST /rank HTTP/1.1\r\nhost: localhost\r\ncontent-length: 2\r\ncontent-length: 3\r\n\r\n{}",
    b"GET /healthz HTTP/1.1\r\nhost : localhost\r\n\r\n",
)
FOREIGN: Final[Sequence[bytes]] = (
    b"origin: https://evil.example\r\n",
    b"origin: null\r\n",
    b"origin: http://localhost:3000\r\n",
    b"sec-fetch-site: cross-site\r\nsec-fetch-mode: no-cors\r\n",
    b"sec-fetch-site: same-site\r\n",
)
CASES: Final = [
    told("an upgrade to HTTP/2 beside a body", post(H2C) + LAST, 200, 200),
    told(
        "an upgrade to a websocket beside a body",
        post(b"connection: upgrade\r\nupgrade: websocket\r\n") + LAST,
        200,
        200,
    ),
    told("a request within the body of an upgrade", post(H2C, DELETE, b"/profiles") + LAST, 400, 200),
    told("rubbish after a request", post() + b"RUBBISH\r\n\r\n", 200),
    *(told(f"no HTTP: {request[:24]!r}", request, 400) for request in BROKEN),
    *(told(f"the host {host!r}", get(b"/healthz", host), status) for host, status in HOSTS),
    told("HTTP/1.0 without a host", get(b"/healthz", b"", b"1.0"), 200),
    told("a target with a host of its own", get(b"http://evil.example/healthz"), 403),
    told("an asterisk for a path", get(b"*"), 400),
    told("an Accept header of infinite quality", get(b"/profiles", b"host: localhost\r\naccept: a/b;q=1e400\r\n"), 200),
    *(
        told(f"the path {path.decode()}", get(path), 404)
        for path in (b"//metrics", b"/metrics/", b"/%2Fmetrics", b"/profiles//ada", b"/profiles/ada%0A")
    ),
    *(
        told(f"a page of another site: {headers!r}", post(headers + b"connection: close\r\n"), 403)
        for headers in FOREIGN
    ),
    *(
        told(f"the {field.decode()} {value[:6].decode()}… of a form", form(field, value), 422)
        for field in (b"order", b"ranks", b"top")
        for value in (b"[" * 50_000, b"9" * 50_000, b"1," * 50_000)
    ),
]

SUITE: Final = Suite("http", CASES)
