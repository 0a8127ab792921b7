"""Thumbnails of sessions: made anew from decoded pixels whatever came, in memory alone, and within bounds."""

import io
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from litestar.testing import TestClient
from PIL import Image

from clpips.service.sessions.thumbnails import OVERHEAD_BYTES, Thumbnails
from tests.support.colours import ColourEngine
from tests.support.pictures import encode, npy, picture
from tests.support.services import assert_problem, multipart, post, serving
from tests.support.sessions import make


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient[Any]]:
    with serving(ColourEngine(), decode_processes=1) as client:
        yield client


def files() -> dict[str, bytes]:
    wide = picture(1, 300, 900)
    turned = Image.Exif()
    turned[0x0112] = 6  # a quarter turn
    see_through = Image.fromarray(np.zeros((50, 50, 4), np.uint8))
    return {
        "png": encode(wide),
        "jpeg": encode(wide, "JPEG", quality=95, comment=b"<script>alert(1)</script>", exif=turned),
        "webp": encode(wide, "WEBP", exif=turned.tobytes()),
        "npy": npy(wide),
        "small": encode(picture(2, 40, 50)),
        "line": encode(picture(3, 1200, 40)),
        "see-through": encode(see_through),
    }


SIZES = {
    "png": (384, 128),
    "jpeg": (128, 384),
    "webp": (128, 384),
    "npy": (384, 128),
    "small": (50, 40),
    "line": (13, 384),
    "see-through": (50, 50),
}


@pytest.mark.parametrize("name", SIZES)
def test_a_picture_is_a_small_webp_of_our_own(client: TestClient[Any], name: str) -> None:
    session = make(client)
    state = post(client, multipart([("candidates", files()[name])], {}), f"{session.path}/candidates").json()
    assert state["candidates"][0]["thumbnail"]
    answer = client.get(f"{session.path}/images/0")
    assert answer.headers["content-type"] == "image/webp"
    assert answer.headers["x-content-type-options"] == "nosniff"
    with Image.open(io.BytesIO(answer.content)) as shown:
        assert (shown.format, shown.mode, shown.size) == ("WEBP", "RGB", SIZES[name])
        assert not shown.getexif()
        if name == "see-through":
            assert np.asarray(shown).min() > 250  # on white
    assert b"script" not in answer.content
    assert answer.content != files()[name]


def test_a_picture_shows_what_was_sent(client: TestClient[Any]) -> None:
    pixels = picture(5, 256)
    session = make(client)
    post(client, multipart([("candidates", encode(pixels))], {}), f"{session.path}/candidates")
    with Image.open(io.BytesIO(client.get(f"{session.path}/images/0").content)) as shown:
        error = np.abs(np.asarray(shown).astype(int) - pixels).mean()
    assert error < 12  # of 255: what grain loses


@pytest.mark.parametrize("which", ["1", "-1", "+0", "00", "0.5", "x", "TARGET", "9" * 30, "٠"])
def test_what_is_no_image_of_the_session_has_no_picture(client: TestClient[Any], which: str) -> None:
    session = make(client)
    post(client, multipart([("candidates", encode(picture(1)))], {}), f"{session.path}/candidates")
    assert_problem(client.get(f"{session.path}/images/{which}"), 404, "thumbnail-gone")


def test_without_memory_for_pictures_all_else_goes_on() -> None:
    with serving(ColourEngine(), session_thumbnail_bytes=0) as client:
        session = make(client)
        state = post(client, multipart([("candidates", encode(picture(1)))], {}), f"{session.path}/candidates").json()
        assert (state["target"]["thumbnail"], state["candidates"][0]["thumbnail"]) == (False, False)
        assert_problem(client.get(f"{session.path}/images/target"), 404, "thumbnail-gone")


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_least_used_leave_when_the_memory_is_full() -> None:
    held = Thumbnails(60, 3 * (100 + OVERHEAD_BYTES))
    for name in "abc":
        held.keep("s", name, bytes(100))
    held.find("s", "a")
    held.keep("s", "d", bytes(100))
    assert held.images_of("s") == {"a", "c", "d"}
    assert held.nbytes == 3 * (100 + OVERHEAD_BYTES)


def test_they_leave_after_their_time() -> None:
    clock = Clock()
    held = Thumbnails(60, 10_000, clock)
    held.keep("s", "a", b"x")
    clock.now = 59.9
    assert held.find("s", "a") == b"x"
    clock.now = 60.1
    assert held.find("s", "a") is None
    held.keep("s", "b", b"y")
    clock.now = 121.0
    held.expire()
    assert (held.nbytes, held.images_of("s")) == (0, frozenset())


def test_sessions_share_a_picture_and_the_last_takes_it_along() -> None:
    held = Thumbnails(60, 10_000)
    held.keep("s", "a", b"x")
    assert held.find("t", "a") is None  # not before it has the image too
    assert held.adopt("t", "a")
    assert not held.adopt("t", "b")
    held.forget("s")
    assert (held.find("s", "a"), held.find("t", "a")) == (None, b"x")
    held.forget("t")
    assert held.nbytes == 0
    held.forget("t")
