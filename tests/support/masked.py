"""A target, its candidates and a mask of its left side, and a ranking of them."""

import hashlib
from typing import Any

import numpy as np
from litestar.testing import TestClient
from PIL import Image

from tests.support.pictures import encode, picture, variation
from tests.support.services import Form, multipart, post, tree

HEIGHT, WIDTH = 90, 120
TARGET = picture(1, HEIGHT, WIDTH)
CANDIDATES = [variation(TARGET, seed, strength) for seed, strength in ((2, 0.6), (3, 0.3), (4, 0.8))]
FILES = [encode(one) for one in (TARGET, *CANDIDATES)]
LEFT = np.zeros((HEIGHT, WIDTH), np.uint8)
LEFT[:, :50] = 255
LEFT[:, 50:60] = 128
MASK = encode(Image.fromarray(LEFT))
FULL = encode(Image.fromarray(np.full((HEIGHT, WIDTH), 255, np.uint8)))


def named(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def rank(client: TestClient[Any], form: Form = "multipart", mask: bytes | None = MASK, **options: Any) -> Any:
    if form == "multipart":
        files = [("target", FILES[0]), *(("candidates", one) for one in FILES[1:])]
        body = multipart([*files, *([("mask", mask)] if mask is not None else [])], options)
    else:
        body = tree(form, {"target": FILES[0], "candidates": FILES[1:], "mask": mask, **options})
    return post(client, body)


def distances_of(answer: Any) -> list[float]:
    """The distances in the order of the request."""
    assert answer.status_code == 200, answer.text
    return [row["distance"] for row in sorted(answer.json()["ranking"], key=lambda row: row["index"])]
