"""What clients of all kinds write: taken where it can only mean one thing, and told clearly where not."""

import base64
import binascii
import codecs
import hashlib
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from litestar.testing import TestClient

from tests.support.pictures import encode, picture
from tests.support.services import assert_problem, multipart, pointers, post, serving

IMAGES = [encode(picture(seed, 40)) for seed in range(3)]
BASE64 = [base64.b64encode(image).decode() for image in IMAGES]
BOUNDARY = b"----b"


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient[Any]]:
    with serving(max_images=8) as client:
        client.post("/profiles", json={"name": "ada"})
        yield client


def form(*parts: tuple[bytes, bytes]) -> tuple[bytes, str]:
    """A form of parts, each as its headers after `form-data;` and its content."""
    lines = [
        b"--%s\r\nContent-Disposition: form-data; %s\r\n\r\n%s\r\n" % (BOUNDARY, head, content)
        for head, content in parts
    ]
    return b"".join(lines) + b"--%s--\r\n" % BOUNDARY, f"multipart/form-data; boundary={BOUNDARY.decode()}"


TARGET = b'name="target"; filename="t.png"'
CANDIDATE = b'name="candidates"; filename="c.png"'


@pytest.mark.parametrize(
    ("encoding", "content"),
    [
        (b"base64", base64.encodebytes(IMAGES[0])),
        (b"BASE64", base64.b64encode(IMAGES[0])),
        (b"quoted-printable", binascii.b2a_qp(IMAGES[0], istext=False)),
        (b"binary", IMAGES[0]),
        (b"8bit", IMAGES[0]),
    ],
)
def test_a_part_with_a_transfer_encoding_is_decoded(client: TestClient[Any], encoding: bytes, content: bytes) -> None:
    head = TARGET + b"\r\nContent-Type: image/png\r\nContent-Transfer-Encoding: " + encoding
    reply = post(client, form((head, content), (CANDIDATE, IMAGES[0])))
    assert reply.status_code == 200, reply.text
    assert reply.json()["target"] == "sha256:" + hashlib.sha256(IMAGES[0]).hexdigest()


def test_a_transfer_encoding_that_is_unknown_or_broken_is_told(client: TestClient[Any]) -> None:
    for encoding, content in ((b"x-uuencode", b"begin"), (b"base64", b"!!!"), (b"gzip", IMAGES[0])):
        head = TARGET + b"\r\nContent-Transfer-Encoding: " + encoding
        problem = assert_problem(post(client, form((head, content), (CANDIDATE, IMAGES[0]))), 400, "malformed-body")
        assert "Content-Transfer-Encoding" in problem["detail"] or "base64" in problem["detail"]


@pytest.mark.parametrize(
    "name",
    [
        "Küche.png".encode("latin-1"),
        "Küche.png".encode(),
        "猫.png".encode("shift_jis"),
        b"\xff\xfe\x80.png",
        rb"C:\pictures\a.png",
        b"a;b.png",
        b"",
    ],
)
def test_a_file_may_have_any_name(client: TestClient[Any], name: bytes) -> None:
    heads = [b'name="%s"; filename="%s"' % (field, name) for field in (b"target", b"candidates")]
    assert post(client, form((heads[0], IMAGES[0]), (heads[1], IMAGES[1]))).status_code == 200


def test_a_part_with_an_unknown_name_is_repeated_as_it_was_meant(client: TestClient[Any]) -> None:
    problem = assert_problem(post(client, form(('name="Größe"'.encode(), b"1"))), 422, "invalid-request")
    assert "'Größe'" in problem["detail"]


@pytest.mark.parametrize(
    "text",
    [
        f"DATA:image/png;base64,{BASE64[0]}",
        f"data:IMAGE/PNG;BASE64,{BASE64[0]}",
        f"Data:;base64,{BASE64[0]}",
        "data:image/png;base64," + BASE64[0].replace("+", "%2B").replace("/", "%2F").replace("=", "%3D"),
        "data:image/png;base64," + BASE64[0].rstrip("="),
        base64.urlsafe_b64encode(IMAGES[0]).decode(),
        "\n".join(BASE64[0][at : at + 76] for at in range(0, len(BASE64[0]), 76)),
    ],
    ids=lambda text: text[:24],
)
def test_base64_comes_in_many_clothes(client: TestClient[Any], text: str) -> None:
    reply = client.post("/rank", json={"target": text, "candidates": [BASE64[0]]})
    assert reply.status_code == 200, reply.text
    assert reply.json()["target"] == "sha256:" + hashlib.sha256(IMAGES[0]).hexdigest()
    if ":" in text:
        assert post(client, form((b'name="target"', text.encode()), (CANDIDATE, IMAGES[0]))).status_code == 200


def test_an_image_may_be_named_in_capitals(client: TestClient[Any]) -> None:
    assert client.post("/rank", json={"target": BASE64[1], "candidates": BASE64[:2]}).status_code == 200
    name = "SHA256:" + hashlib.sha256(IMAGES[1]).hexdigest().upper()
    assert client.post("/rank", json={"target": name, "candidates": [name]}).status_code == 200
    assert post(client, form((b'name="target"', name.encode()), (CANDIDATE, IMAGES[0]))).status_code == 200


def test_a_byte_order_mark_is_told_in_json_and_passed_over_in_text(client: TestClient[Any]) -> None:
    body = msgspec.json.encode({"target": BASE64[0], "candidates": [BASE64[1]]})
    problem = assert_problem(post(client, (codecs.BOM_UTF8 + body, "application/json")), 400, "malformed-body")
    assert "byte order mark" in problem["detail"]
    marked = form((TARGET, IMAGES[0]), (CANDIDATE, IMAGES[1]), (b'name="resolution"', codecs.BOM_UTF8 + b"64"))
    assert post(client, marked).status_code == 200


@pytest.mark.parametrize("charset", ["utf-16", "utf-16-le", "utf-32"])
def test_json_in_another_charset_is_told(client: TestClient[Any], charset: str) -> None:
    body = '{"target": "x", "candidates": []}'.encode(charset)
    assert_problem(post(client, (body, "application/json")), 400, "malformed-body")


def test_text_parts_come_in_the_charset_that_they_name(client: TestClient[Any]) -> None:
    def profile(charset: bytes, text: bytes) -> Any:
        head = b'name="profile"\r\nContent-Type: text/plain; charset=' + charset
        return post(client, form((TARGET, IMAGES[0]), (CANDIDATE, IMAGES[1]), (head, text)))

    assert profile(b"utf-16", "lpips".encode("utf-16")).status_code == 200
    assert profile(b"iso-8859-1", b"lpips").status_code == 200
    assert_problem(profile(b"klingon", b"lpips"), 400, "malformed-body")


@pytest.mark.parametrize(
    ("charset", "text"),
    [
        (b"idna", b"xn--" + b"a" * 2000),
        (b"punycode", b"a" * 3_000_000),  # which would take minutes
        (b"undefined", b"ada"),
        (b"unicode_escape", b"\\ud800"),  # half a character, which no database keeps
        (b"Raw_Unicode_Escape", b"\\ud800"),
        (b"utf7", b"+2AA-"),
    ],
)
def test_what_is_no_charset_decodes_nothing(client: TestClient[Any], charset: bytes, text: bytes) -> None:
    head = b'name="rater"\r\nContent-Type: text/plain; charset=' + charset
    images = [(TARGET, IMAGES[0]), (CANDIDATE, IMAGES[1]), (CANDIDATE, IMAGES[2])]
    problem = assert_problem(
        post(client, form(*images, (b'name="order"', b"0,1"), (head, text)), "/profiles/ada/rankings"),
        400,
        "malformed-body",
    )
    assert "send it in UTF-8" in problem["detail"]


def test_whole_numbers_with_a_point_are_taken_or_told(client: TestClient[Any]) -> None:
    in_json = client.post("/rank", json={"target": BASE64[0], "candidates": [BASE64[1]], "resolution": 256.0})
    problem = assert_problem(in_json, 422, "invalid-request")
    assert pointers(problem) == ["/resolution"]
    assert "without a decimal point" in problem["errors"][0]["detail"]
    files = [("target", IMAGES[0]), ("candidates", IMAGES[1])]
    assert post(client, multipart(files, {"resolution": "256.0"})).status_code == 200


@pytest.mark.parametrize("field", ["order", "ranks", "top"])
@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        "1," * 100_000,
        "9" * 100_000,
        "0," + "9" * 5_000,
        "1e5,0",
        "0x1,0",
        "1_0,0",
        "٠,١",
        "true,false",
        "NaN,0",
        "0.0,1.0",
        "",
        ",",
        "0,,1",
        "0;1",
        "[0,1",
    ],
    ids=lambda text: f"{text[:6]}×{len(text)}",
)
def test_a_form_s_numbers_may_be_anything_and_are_refused(client: TestClient[Any], field: str, text: str) -> None:
    files = [("target", IMAGES[0]), ("candidates", IMAGES[1]), ("candidates", IMAGES[2])]
    answer = post(client, multipart(files, {field: text}), "/profiles/ada/rankings")
    if text != "[0,1":  # a bracket too few changes nothing
        assert_problem(answer, 422, "invalid-request")


@pytest.mark.parametrize("value", ["[" * 100_000, "9" * 100_000, "-1", "1e400", '{"a":' * 50_000], ids=lambda v: v[:9])
@pytest.mark.parametrize("field", ["order", "ranks", "top", "best", "resolution", "comparison"])
def test_deep_and_long_numbers_in_json_are_refused_too(client: TestClient[Any], field: str, value: str) -> None:
    body = f'{{"{field}": {value}}}'.encode()
    assert post(client, (body, "application/json"), "/profiles/ada/rankings").status_code in {400, 422}
    assert post(client, (body, "application/json"), "/rank").status_code in {400, 422}
