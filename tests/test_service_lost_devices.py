"""A device that is lost is done without and tried again; what lay on it is made anew, and no image is to blame."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from clpips.models.engines.contract import Images
from clpips.models.metric.families import ALEXNET
from clpips.service.scoring import pairs
from tests.support.devices import DeviceLostError, FakeDevice, HostDevice
from tests.support.lanes import IMAGES, expected, metric, rank, two, until_lost, up
from tests.support.pictures import encode, npy, picture
from tests.support.services import assert_problem, pointers, scored, serving


@pytest.fixture(autouse=True)
def every_pair_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was compared before needs no device, and is not what these tests are about."""
    monkeypatch.setattr(pairs, "HELD_BYTES", 0)


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
