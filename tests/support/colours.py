"""People who see one colour alone, an engine whose layers each see one, and the loop in which they teach it."""

from collections.abc import Sequence
from typing import Any

import httpx
import numpy as np
from numpy.typing import NDArray

from clpips.models.engines.contract import families_asked
from clpips.models.metric.backbone import LAYERS
from clpips.models.metric.families import ALEXNET, Z_LENGTH, Families
from tests.support.pictures import npy
from tests.support.services import FakeEngine, rank_body

CANDIDATES = 6


class ColourEngine(FakeEngine):
    """The first layers see red, the third green, the last ones blue: a person may care for one of them alone."""

    def compare(
        self, targets: Sequence[Any], candidates: Sequence[Any], families: Families | None = None
    ) -> NDArray[np.float32]:
        network, _ = families_asked(targets, candidates, families)
        z = np.zeros((len(targets), Z_LENGTH), np.float32)
        if network != ALEXNET:
            return z
        for row, (target, candidate) in enumerate(zip(targets, candidates, strict=True)):
            for layer, colour in zip(LAYERS, (0, 0, 1, 2, 2), strict=True):
                z[row, layer] = (target.colour[colour] - candidate.colour[colour]) ** 2
        return z


def flat(colour: Sequence[int]) -> bytes:
    return npy(np.full((64, 64, 3), colour, np.uint8))


def colours(seed: int) -> NDArray[np.int64]:
    """A target's colour and its candidates', `(1 + n, 3)`."""
    return np.random.default_rng(seed).integers(0, 256, (1 + CANDIDATES, 3))


def rank(client: httpx.Client, seed: int, profile: str = "ada", **headers: str) -> Any:
    target, *candidates = colours(seed)
    body, content_type = rank_body("msgpack", flat(target), [flat(one) for one in candidates], profile=profile)
    response = client.post("/rank", content=body, headers={"content-type": content_type, **headers})
    assert response.status_code == 200, response.text
    return response.json()


def bluest(seed: int) -> list[int]:
    """The order of somebody who sees nothing but blue."""
    target, *candidates = colours(seed)
    order: list[int] = np.argsort([abs(one[2] - target[2]) for one in candidates], kind="stable").tolist()
    return order


def order_of(reply: Any) -> list[int]:
    return [row["index"] for row in reply["ranking"]]


def teach(client: httpx.Client, seed: int, profile: str = "ada") -> Any:
    shown = rank(client, seed, profile)
    order = {"comparison": shown["comparison"], "order": bluest(seed)}
    response = client.post(f"/profiles/{profile}/rankings", json=order)
    assert response.status_code == 201, response.text
    return response.json()
