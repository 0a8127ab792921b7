"""Several devices on a host: they answer as one does, and images go to the one that will be done soonest."""

import threading
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from litestar.testing import TestClient

from clpips.models.engines.contract import EngineName, Images
from clpips.models.metric.families import ALEXNET
from clpips.service.app import create_app
from clpips.service.settings import Settings
from tests.support.devices import FakeDevice
from tests.support.lanes import IMAGES, expected, metric, rank, two, up
from tests.support.pictures import encode, npy, picture
from tests.support.services import FakeEngine, distance_body, post, scored, serving


def test_a_ranking_over_two_devices_is_that_of_one() -> None:
    devices = two()
    with serving(devices) as client:
        assert scored(rank(client).json()) == expected()
        assert all(device.calls > 1 for device in devices), "both have work, beside their warm-up's"
        assert sum(device.copied for device in devices) > 0
        assert up(client) == {"cuda:0": 1, "cuda:1": 1}


def test_features_stay_where_they_are_and_are_not_made_again() -> None:
    devices = two()
    with serving(devices) as client:
        first = rank(client).json()
        before = [device.embedded for device in devices]
        assert scored(rank(client).json()) == scored(first)
        assert [device.embedded for device in devices] == before


def test_only_a_candidate_on_another_device_than_its_target_is_copied_and_only_there() -> None:
    devices = two()
    with serving(devices) as client:
        rank(client, IMAGES[:3])  # on one device or the other lies the target
        copied = sorted(device.copied for device in devices)
        assert copied[0] == 0 < copied[1] <= 2


@pytest.mark.parametrize("path", ["/matrix", "/heatmap", "mask"])
def test_what_else_compares_does_so_over_two_devices(path: str) -> None:
    def answer(client: TestClient[Any]) -> bytes:
        if path == "/matrix":
            files = [("images", ("i", image)) for image in IMAGES]
        elif path == "/heatmap":
            files = [("target", ("t", IMAGES[0])), ("candidate", ("c", IMAGES[1]))]
        else:
            whole = np.full((40, 40), 255, np.uint8)
            whole[:20] = 0
            files = [("target", ("t", IMAGES[0])), ("mask", ("m", encode(whole)))]
            files += [("candidates", ("c", image)) for image in IMAGES[1:]]
        reply = client.post("/rank" if path == "mask" else path, files=files)
        assert reply.status_code == 200, reply.text
        if path == "/heatmap":
            return bytes(reply.content)
        found = reply.json()
        return repr(found.get("distances") or [one["distance"] for one in found["ranking"]]).encode()

    with serving(FakeDevice("cuda:0")) as client:
        alone = answer(client)
    devices = two()
    with serving(devices) as client:
        assert answer(client) == alone
    assert sum(device.copied for device in devices) > 0


def test_each_device_keeps_features_within_its_own_bound() -> None:
    devices = two()
    image = 1000 + 3 * 256**2  # features, and pixels for the other network
    with serving(devices, feature_cache_bytes=3 * image) as client:
        for seed in range(0, 40, 2):
            pair = [npy(picture(number, 44)) for number in (seed, seed + 1)]
            assert post(client, distance_body("json", [(pair[0], pair[1])]), "/distance").status_code == 200
        assert metric(client, "clpips_feature_cache_bytes") == {"": 2 * 3 * image}


class Paced(FakeDevice):
    """A device of a known pace, which embeds nothing before the test lets it."""

    def __init__(self, device: str, seconds: float, may_run: threading.Event) -> None:
        super().__init__(device)
        self.seconds_per_image = seconds
        self._may_run = may_run

    def embed(self, images: Images, *, more: bool = False, network: str = ALEXNET) -> list[Any]:
        assert self._may_run.wait(60)
        return super().embed(images, more=more, network=network)


@pytest.mark.parametrize(("paces", "shares"), [((1.0, 1.0), [6, 6]), ((5.0, 1.0), [2, 10])], ids=["equal", "slower"])
def test_images_are_shared_out_by_how_soon_they_will_be_done(paces: tuple[float, float], shares: list[int]) -> None:
    may_run = threading.Event()
    may_run.set()
    devices = [Paced(f"cuda:{number}", pace, may_run) for number, pace in enumerate(paces)]
    with serving(devices) as client:
        warm = [device.embedded for device in devices]
        may_run.clear()
        ranking: list[Any] = []
        thread = threading.Thread(target=lambda: ranking.append(rank(client)))
        thread.start()
        while metric(client, "clpips_stage_seconds_count")['{stage="decode"}'] < len(IMAGES):
            assert thread.is_alive()
        may_run.set()
        thread.join()
        assert ranking[0].status_code == 200
        assert [device.embedded - before for device, before in zip(devices, warm, strict=True)] == shares


@pytest.mark.parametrize("name", ["onnx", pytest.param("torch", marks=pytest.mark.torch)])
def test_the_cpu_twice_is_the_cpu_once_to_the_bit(name: EngineName, tmp_path: Path) -> None:
    def answer(device: str) -> tuple[dict[str, Any], int]:
        settings = Settings(
            engine=name,
            device=device,
            threads=2,
            max_batch=1,  # the bits may depend on what shares a batch, and that on time
            convolution="direct",
            database_url=f"sqlite:///{tmp_path}/{len(device)}.db",
            decode_processes=0,
            request_seconds=100.0,
        )
        with TestClient(create_app(settings)) as client:
            reply = rank(client, images, profile="balanced")
            assert reply.status_code == 200, reply.text
            return scored(reply.json()), len(metric(client, "clpips_engine_up"))

    images = [encode(picture(seed, 96)) for seed in range(6)]
    (once, one), (twice, both) = answer("cpu"), answer("cpu, cpu")
    assert (one, both) == (1, 2)
    assert twice == once


def test_one_device_in_a_list_of_engines_is_that_device() -> None:
    with serving([FakeEngine()]) as client:
        listed = scored(rank(client).json())
    with serving(FakeEngine()) as client:
        assert scored(rank(client).json()) == listed


async def test_replies_name_all_devices() -> None:
    transport = httpx.ASGITransport(create_app(Settings(), two()))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        assert 'device="cuda:0,cuda:1"' in (await client.get("/metrics")).text
