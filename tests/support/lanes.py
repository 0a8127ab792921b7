"""Rankings over two fake devices, and what the service's metrics say of each."""

import time
from collections.abc import Sequence
from typing import Any

from litestar.testing import TestClient

from tests.support.devices import FakeDevice
from tests.support.pictures import npy, picture
from tests.support.services import post, rank_body, scored, serving

IMAGES = [npy(picture(seed, 40)) for seed in range(12)]


def two() -> list[FakeDevice]:
    return [FakeDevice("cuda:0"), FakeDevice("cuda:1")]


def rank(client: TestClient[Any], images: Sequence[bytes] = IMAGES, **options: Any) -> Any:
    return post(client, rank_body("multipart", images[0], images[1:], **options))


def metric(client: TestClient[Any], name: str) -> dict[str, float]:
    """The samples of a metric by their labels."""
    lines = [line for line in client.get("/metrics").text.splitlines() if line.startswith((f"{name}{{", f"{name} "))]
    return {line.partition(" ")[0].removeprefix(name): float(line.rpartition(" ")[2]) for line in lines}


def up(client: TestClient[Any]) -> dict[str, float]:
    """Whether each device works, by its name."""
    return {
        labels.partition('device="')[2].partition('"')[0]: value
        for labels, value in metric(client, "clpips_engine_up").items()
    }


def until_lost(client: TestClient[Any], device: str) -> None:
    while up(client)[device]:
        time.sleep(0.02)


def expected(images: Sequence[bytes] = IMAGES, **options: Any) -> dict[str, Any]:
    """What one device answers."""
    with serving(FakeDevice("cuda:0,cuda:1")) as client:  # the reply names all devices
        return scored(rank(client, images, **options).json())
