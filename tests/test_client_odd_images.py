"""What people hold by mistake or in passing: open files, numbers, sets, addresses, arrays of other libraries."""

import io
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from clpips_client import BadImagesError, InvalidRequestError, Limits
from clpips_client.core import Core
from clpips_client.masks import mask_picture
from clpips_client.pictures import Picture, pictures_of
from clpips_client.replies import Engine, Profile, Ranked, Ranking
from clpips_client.scoring import rank
from PIL import Image

PIXELS = np.arange(8 * 6 * 3, dtype=np.uint8).reshape(8, 6, 3)


class Foreign:
    """An array of another library, such as JAX: it gives its rows when it is iterated over."""

    ndim = 3

    def __init__(self, pixels: Any) -> None:
        self._pixels = pixels

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self._pixels

    def __iter__(self) -> Any:
        return iter(self._pixels)


class OnDevice(Foreign):
    """One that does not leave its device unless it is told to."""

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        raise TypeError("implicit conversion to a NumPy array is not allowed")


def png(pixels: Any = PIXELS) -> bytes:
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, "PNG")
    return stream.getvalue()


def closed() -> Image.Image:
    image = Image.open(io.BytesIO(png()))
    image.close()
    return image


def refusal(thing: Any) -> str:
    with pytest.raises(BadImagesError) as caught:
        pictures_of([PIXELS, thing], None)
    assert caught.value.indices == [1]
    assert len(caught.value.faults) == 1
    return str(caught.value)


def test_an_open_file_is_its_bytes(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(png())
    with path.open("rb") as file:
        pictures = pictures_of([file, io.BytesIO(png())], None)
    assert [picture.content for picture in pictures] == [png()] * 2
    assert pictures[0].label == "a.png"


def test_an_array_of_another_library_is_one_image() -> None:
    ours, theirs = pictures_of([PIXELS, Foreign(PIXELS)], None)
    assert ours.content == theirs.content


@pytest.mark.parametrize(
    ("thing", "advice"),
    [
        (io.StringIO("text"), "'rb'"),
        (io.BytesIO(), r"seek\(0\)"),
        (PIXELS.tolist(), r"numpy\.array"),
        ([PIXELS.tolist(), PIXELS.tolist()], r"numpy\.array"),
        ({"a.png", "b.png"}, "give a list"),
        ({"first": PIXELS}, "give a list"),
        ("https://example.com/a.png", "give the bytes"),
        ("data:image/png;base64,iVBORw0KGgo", "give the bytes"),
        ("a\0b", "null"),
        (closed(), "closed"),
        (OnDevice(PIXELS), "cannot be taken"),
    ],
)
def test_what_is_no_image_is_one_fault_that_says_what_to_do(thing: Any, advice: str) -> None:
    assert re.search(advice, refusal(thing))


def test_a_message_names_a_few_faults_and_the_error_has_all() -> None:
    with pytest.raises(BadImagesError, match="and 995 more") as caught:
        pictures_of([None] * 1000, None)
    assert len(caught.value.faults) == 1000
    assert len(str(caught.value)) < 1000


def test_a_mask_that_is_cut_off_or_closed_is_a_bad_image() -> None:
    grey = Image.open(io.BytesIO(png(np.full((64, 64), 255, np.uint8))[:60]))
    for mask in (grey, closed()):
        with pytest.raises(BadImagesError) as caught:
            mask_picture(mask)
        assert caught.value.faults[0].pointer == "/mask"


@pytest.mark.parametrize("resolution", [0, -1, 256.0, "256"])
def test_a_resolution_that_is_none_is_told(resolution: Any) -> None:
    with pytest.raises(InvalidRequestError, match="whole pixels a side, such as 256"):
        next(rank(Core(limits=Limits()), PIXELS, [PIXELS], resolution=resolution))


def test_a_resolution_may_be_a_number_of_numpys() -> None:
    bodies = [
        next(rank(Core(), PIXELS, [PIXELS], resolution=side)).content  # type: ignore[union-attr, arg-type]
        for side in (64, np.int64(64))
    ]
    assert bodies[0] == bodies[1]


def test_a_ranking_is_shown_whatever_pillow_says_of_a_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 4)  # a decompression bomb is an error of Pillow's own kind
    ranked = (Ranked(1, 0, 0.0, 1, 0.0, "sha256:0"),)
    profile, engine = Profile("lpips", 1, "f"), Engine("e", "cpu", "exact", "direct", "b")
    ranking = Ranking(ranked, "t", profile, engine, pictures=(Picture(png()), Picture(png())))
    assert "1. #0" in ranking._repr_html_()
