"""Several devices on a host: images go to the least busy, pairs to their target, and a lost device is done without."""

import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from litestar.testing import TestClient
from structlog.testing import capture_logs

from clpips.models.engines.contract import EngineName, Images
from clpips.models.metric.families import ALEXNET
from clpips.service.app import create_app
from clpips.service.settings import Settings
from tests.support.devices import DeviceLostError, FakeDevice, HostDevice
from tests.support.pictures import encode, npy, picture
from tests.support.services import (
    FakeEngine,
    assert_problem,
    distance_body,
    pointers,
    post,
    rank_body,
    scored,
    serving,
)

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


def test_a_lost_device_is_done_without() -> None:
    devices = two()
    with serving(devices, max_engine_failures=3) as client, capture_logs() as lines:
        devices[1].lost = True
        assert scored(rank(client).json()) == expected()
        assert client.get("/readyz").status_code == 200
        assert up(client) == {"cuda:0": 1, "cuda:1": 0}
        assert [line["device"] for line in lines if line["event"].startswith("a device fails")] == ["cuda:1"]
        health = client.app.state.engine_health
        while not health._each[1].dead:
            time.sleep(0.05)
        assert not health.dead
        assert rank(client, IMAGES[4:]).status_code == 200
        assert client.get("/readyz").status_code == 200


def test_features_that_lay_on_a_lost_device_are_made_anew_from_what_is_sent() -> None:
    devices = two()
    with serving(devices) as client:
        first = scored(rank(client).json())
        devices[0].lost = True
        assert scored(rank(client).json()) == first
        until_lost(client, "cuda:0")
        assert metric(client, "clpips_quarantined_images") == {"": 0}, "no image is to blame"


def test_an_image_that_is_only_named_and_lay_on_a_lost_device_must_be_sent_again() -> None:
    devices = two()
    with serving(devices) as client:
        reply = rank(client, IMAGES[:3]).json()
        names = [reply["target"], *(one["candidate"] for one in reply["ranking"])]
        body = {"target": names[0], "candidates": names[1:]}
        assert client.post("/rank", json=body).status_code == 200
        for device in devices:
            device.lost = device.copied == 0  # where candidates lie, and the target does not
        problem = assert_problem(client.post("/rank", json=body), 409, "images-not-held")
        assert {pointer.rpartition("/")[0] for pointer in pointers(problem)} == {"/candidates"}
        assert rank(client, IMAGES[:3]).status_code == 200
        assert client.post("/rank", json=body).status_code == 200


def test_a_device_that_works_again_gets_images_again() -> None:
    devices = two()
    with serving(devices, max_engine_failures=1000) as client:
        devices[1].lost = True
        rank(client)
        assert up(client)["cuda:1"] == 0
        devices[1].lost = False
        while not up(client)["cuda:1"]:  # it is tried every second
            time.sleep(0.02)
        before = devices[1].embedded
        assert rank(client, [npy(picture(seed, 48)) for seed in range(8)]).status_code == 200
        assert devices[1].embedded > before


def test_where_all_are_lost_it_is_as_with_one() -> None:
    devices = two()
    with serving(devices, max_engine_failures=2) as client:
        for device in devices:
            device.lost = True
        assert_problem(rank(client), 500)
        assert_problem(client.get("/readyz"), 503, "not-ready")
        while not client.app.state.engine_health.dead:  # whereupon the server exits
            time.sleep(0.05)


def test_an_image_at_fault_is_refused_and_no_device_is_out_for_it() -> None:
    class Fussy(FakeDevice):
        def embed(self, images: Images, *, more: bool = False, network: str = ALEXNET) -> list[Any]:
            features = super().embed(images, more=more, network=network)
            if any(np.allclose(one.colour, (1, 0, 0)) for one in features):
                raise RuntimeError("no kernel for this image")
            return features

    red = npy(np.full((40, 40, 3), (255, 0, 0), np.uint8))
    with serving([Fussy("cuda:0"), Fussy("cuda:1")]) as client:
        assert_problem(rank(client, [IMAGES[0], red, IMAGES[1]]), 422, "bad-images")
        assert up(client) == {"cuda:0": 1, "cuda:1": 1}


def test_a_device_whose_features_cannot_be_copied_is_tried_and_found_out() -> None:
    """It is lost without anything having run there since."""
    devices = two()
    with serving(devices) as client:
        reply = rank(client, IMAGES[:3]).json()
        other = next(device for device in devices if not device.copied)
        other.lost = True
        assert scored(rank(client, IMAGES[:3]).json()) == scored(reply)
        assert up(client)[other.device] == 0
        assert metric(client, "clpips_quarantined_images") == {"": 0}


def test_a_copy_that_fails_between_sound_devices_is_an_error_and_nobodys_end() -> None:
    devices = two()
    for device in devices:
        device.refuses_copies = True
    with serving(devices) as client:
        assert_problem(rank(client), 500)
        assert up(client) == {"cuda:0": 1, "cuda:1": 1}
        assert client.get("/readyz").status_code == 200


def test_each_device_keeps_features_within_its_own_bound() -> None:
    devices = two()
    image = 1000 + 3 * 256**2  # features, and pixels for the other network
    with serving(devices, feature_cache_bytes=3 * image) as client:
        for seed in range(0, 40, 2):
            pair = [npy(picture(number, 44)) for number in (seed, seed + 1)]
            assert post(client, distance_body("json", [(pair[0], pair[1])]), "/distance").status_code == 200
        assert metric(client, "clpips_feature_cache_bytes") == {"": 2 * 3 * image}


def test_what_lies_in_main_memory_is_bounded_once_and_outlives_its_engine() -> None:
    engines = [HostDevice(), HostDevice()]
    with serving(engines) as client:
        first = scored(rank(client).json())
        done = [engine.embedded for engine in engines]
        assert all(count > 2 for count in done)
        engines[0].lost = True
        assert scored(rank(client).json()) == first
        assert engines[1].embedded == done[1] or engines[1].embedded == done[1] + 2, "known images at most"


def test_a_device_that_fails_its_warm_up_is_out_where_another_works() -> None:
    devices = two()
    devices[0].lost = True
    with serving(devices) as client:
        assert client.get("/readyz").status_code == 200
        assert up(client) == {"cuda:0": 0, "cuda:1": 1}
        assert scored(rank(client).json()) == expected()


def test_where_all_fail_their_warm_up_the_service_does_not_start() -> None:
    devices = two()
    for device in devices:
        device.lost = True
    lost = pytest.RaisesExc(DeviceLostError, match="cuda:1 is lost")
    with pytest.RaisesGroup(lost, flatten_subgroups=True), serving(devices):
        pass


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


class HeldJpegs:
    """Decodes JPEGs to pixels that lie on a device, and are no array of the host's."""

    def __init__(self) -> None:
        self.asked = 0

    def decode(self, files: Sequence[bytes], resolution: int | None, max_pixels: int) -> Sequence[Any]:
        self.asked += len(files)
        return [DevicePixels(resolution or 64) for _ in files]


class DevicePixels:
    """Grey pixels of a square on a device."""

    def __init__(self, side: int) -> None:
        self.shape = (side, side, 3)
        self.nbytes = side * side * 3

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Any:
        return np.full(self.shape, 128, np.uint8)


def test_jpegs_that_a_lost_device_has_decoded_are_decoded_on_the_host() -> None:
    jpegs = [encode(picture(seed, 64), "JPEG") for seed in range(4)]
    devices = two()
    with serving(devices, HeldJpegs(), jpeg_decoder="device") as client:
        assert rank(client, jpegs).status_code == 200
        devices[1].lost = True
        fresh = [encode(picture(seed, 64), "JPEG") for seed in range(4, 10)]
        reply = rank(client, fresh)
        assert reply.status_code == 200
        assert up(client) == {"cuda:0": 1, "cuda:1": 0}


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
