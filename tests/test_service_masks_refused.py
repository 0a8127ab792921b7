"""Masks from strangers: files of all kinds are taken, and hostile ones have errors with names."""

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from litestar.testing import TestClient
from PIL import Image

from clpips.models.engines.contract import Engine
from tests.support.masked import FILES, LEFT, MASK, TARGET, distances_of, named, rank
from tests.support.pictures import encode, npy
from tests.support.services import assert_problem, base64_of, multipart, pointers, post, serving


@pytest.fixture(scope="module")
def fake() -> Iterator[TestClient[Any]]:
    """An app that decodes in processes, as it does by default, with an engine of a few lines."""
    with serving(decode_processes=1, max_pixels=100_000) as client:
        yield client


HOSTILE = [
    (b"", "the mask is empty"),
    (b"no image", "no image in a format"),
    (MASK[: len(MASK) // 2], "truncated or damaged"),
    (FILES[0], "has colours"),
    (npy(TARGET), r"uint8 \(90, 120, 3\)"),
    (npy(LEFT.astype(np.float32) / 255), "float32"),
    (npy(np.array([{}], object)), "object"),
    (npy(LEFT)[:-1], "10,800 bytes"),
    (npy(LEFT)[:20], "truncated or damaged"),
    (npy(np.zeros((0, 5), np.uint8)), "it has none"),
    (encode(Image.fromarray(LEFT.astype(np.uint16) << 8)), "16 bits"),
    (encode(Image.fromarray(LEFT.astype(np.uint16) << 8), "TIFF"), "more than 8 bits"),
    (encode(Image.fromarray(np.dstack([LEFT, LEFT]), "LA")), "transparency"),
    (encode(Image.fromarray(LEFT), transparency=0), "transparency"),
    (encode(Image.fromarray(LEFT[:10])), "120×10 pixels and its target 120×90"),
    (npy(LEFT[:10]), "120×10 pixels and its target 120×90"),
    (npy(np.zeros_like(LEFT)), "0 everywhere"),
    (encode(Image.fromarray(np.zeros_like(LEFT))), "0 everywhere"),
    (encode(Image.new("L", (30_000, 30_000))), "the limit is 100,000"),
    (npy(np.zeros((1000, 1000), np.uint8)), "the limit is 100,000"),
]


@pytest.mark.parametrize(("mask", "said"), HOSTILE, ids=[said for _, said in HOSTILE])
@pytest.mark.parametrize("resolution", [64, None])
def test_a_hostile_mask_has_an_error_with_a_name(
    fake: TestClient[Any], mask: bytes, said: str, resolution: int | None
) -> None:
    problem = assert_problem(rank(fake, "msgpack", mask=mask, resolution=resolution), 422, "bad-images")
    assert pointers(problem) == ["/mask"]
    (fault,) = problem["errors"]
    assert re.search(said, fault["detail"]), fault["detail"]


@pytest.mark.parametrize("resolution", [64, None])
def test_where_pairs_are_compared_a_few_at_a_time_masks_are_as_elsewhere(
    client: TestClient[Any], engine: Engine, resolution: int | None
) -> None:
    expected = distances_of(rank(client, resolution=resolution))
    with serving(engine, inflight_feature_bytes=2_000_000, feature_cache_bytes=0) as narrow:
        for rows in (80, 10):
            answer = rank(narrow, "msgpack", mask=npy(LEFT[:rows]), resolution=resolution)
            assert pointers(assert_problem(answer, 422, "bad-images")) == ["/mask"]
        assert distances_of(rank(narrow, resolution=resolution)) == expected


@pytest.mark.parametrize("kind", ["1", "P", "L", "RGB"])
@pytest.mark.parametrize("file", ["PNG", "TIFF", "BMP", "GIF", "WEBP"])
def test_black_and_white_files_of_all_kinds_are_masks(fake: TestClient[Any], kind: str, file: str) -> None:
    if file == "WEBP" and kind in {"1", "P"}:
        pytest.skip("WebP has no such files")
    hard = np.where(LEFT > 100, 255, 0).astype(np.uint8)
    options = {"lossless": True} if file == "WEBP" else {}
    found = rank(fake, mask=encode(Image.fromarray(hard).convert(kind), file, **options), resolution=64)
    assert distances_of(found) == distances_of(rank(fake, mask=npy(hard), resolution=64))


def test_a_mask_that_is_named_or_unreadable_is_refused(fake: TestClient[Any]) -> None:
    body = {"target": base64_of(FILES[0]), "candidates": [base64_of(FILES[1])]}
    problem = assert_problem(fake.post("/rank", json=body | {"mask": named(MASK)}), 422, "bad-images")
    assert pointers(problem) == ["/mask"]
    assert "masks are not kept" in problem["errors"][0]["detail"]
    problem = assert_problem(fake.post("/rank", json=body | {"mask": 7}), 400, "malformed-body")
    assert pointers(problem) == ["/mask"]
    pair = {"target": base64_of(FILES[0]), "candidate": base64_of(FILES[1])}
    pairs = [pair, pair | {"mask": base64_of(FILES[0])}, pair | {"mask": base64_of(b"x")}]
    problem = assert_problem(fake.post("/distance", json={"pairs": pairs}), 422, "bad-images")
    assert pointers(problem) == ["/pairs/1/mask", "/pairs/2/mask"]
    form = [("target", FILES[0]), ("candidate", FILES[1])] * 3 + [("mask", MASK)] * 2
    problem = assert_problem(post(fake, multipart(form, {}), "/distance"), 422, "invalid-request")
    assert "one for all, or one for each" in problem["detail"]
    two = multipart([("target", FILES[0]), ("candidates", FILES[1]), ("mask", MASK), ("mask", MASK)], {})
    assert pointers(assert_problem(post(fake, two), 422, "invalid-request")) == ["/mask"]


def test_faults_of_images_and_masks_are_told_together(fake: TestClient[Any]) -> None:
    body = multipart([("target", FILES[0]), ("candidates", b"none"), ("mask", npy(np.zeros_like(LEFT)))], {})
    assert pointers(assert_problem(post(fake, body), 422, "bad-images")) == ["/candidates/0", "/mask"]


def test_a_mask_counts_as_an_image() -> None:
    with serving(max_images=3) as client:
        files = [("target", FILES[0]), ("candidates", FILES[1]), ("mask", MASK)]
        assert post(client, multipart(files, {})).status_code == 200
        three = [*files, ("candidates", FILES[2])]
        assert pointers(assert_problem(post(client, multipart(three, {})), 422, "invalid-request")) == ["/candidates"]
        assert post(client, multipart(three[:2] + three[3:], {})).status_code == 200
