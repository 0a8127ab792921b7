"""What tests of the content network in the service share: pictures, weights of content alone, rankings and orders."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from litestar.testing import TestClient

from clpips.models.metric.families import CONTENT, FAMILIES_OF
from clpips.models.metric.weights import LayerWeights, combine_families
from tests.support.pictures import encode, picture
from tests.support.services import post, rank_body

IMAGES = [encode(picture(seed, 64)) for seed in range(4)]
CONTENT_FAMILIES = sorted(FAMILIES_OF[CONTENT])
CONTENT_ALONE = LayerWeights(combine_families({"content_mean": np.ones(1280, np.float32)}), "what-it-is-of")


def ranked(client: TestClient[Any], profile: str, images: Sequence[Any] = IMAGES) -> Any:
    return post(
        client, rank_body("json" if isinstance(images[0], str) else "msgpack", images[0], images[1:], profile=profile)
    )


def order(client: TestClient[Any], profile: str, comparison: str) -> Any:
    said = client.post(f"/profiles/{profile}/rankings", json={"comparison": comparison, "order": [2, 0, 1]})
    assert said.status_code == 201, said.text
    return said.json()
