"""`mask=` of the client: what people hold of a mask, what is sent of it, and the service's own answers."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from clpips_client import BadImagesError, Client, Limits, Unit
from PIL import Image

from clpips.models.engines.opening import open_engine
from tests.support.faulty import Recording
from tests.support.pictures import encode, npy, picture, variation
from tests.support.services import listening

TARGET = picture(1, 320)  # larger than what is scored
CANDIDATES = [variation(TARGET, seed, 0.2 + 0.2 * seed) for seed in range(3)]
LEFT = np.zeros((320, 320), np.uint8)
LEFT[:, :160] = 255


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with listening(open_engine("onnx", "cpu")) as url:
        yield url


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with Client(url) as client:
        yield client


@pytest.fixture(scope="module")
def by_hand(url: str) -> list[float]:
    """What the service answers to the same images in a form."""
    files = [("target", npy(TARGET)), ("mask", npy(LEFT)), *(("candidates", npy(one)) for one in CANDIDATES)]
    rows = httpx.post(f"{url}/rank", files=files, timeout=60).raise_for_status().json()["ranking"]
    return [row["distance"] for row in sorted(rows, key=lambda row: int(row["index"]))]


HELD: list[Any] = [
    LEFT,
    LEFT > 0,
    Unit(LEFT / 255),
    Unit(LEFT[None] / 255),
    Image.fromarray(LEFT),
    Image.fromarray(LEFT > 0),
    encode(LEFT),
    "mask.png",
]


@pytest.mark.parametrize("mask", HELD, ids=lambda mask: type(mask).__name__)
def test_a_mask_is_whatever_people_hold_of_it(
    client: Client, by_hand: list[float], mask: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("mask.png").write_bytes(encode(LEFT))
    ranking = client.rank(TARGET, CANDIDATES, mask=mask)
    assert [one.distance for one in sorted(ranking, key=lambda one: one.index)] == pytest.approx(by_hand, rel=1e-5)
    assert list(client.distance(TARGET, CANDIDATES, mask=mask).distances) == pytest.approx(by_hand, rel=1e-5)


@pytest.mark.torch
def test_a_tensor_is_a_mask_as_an_array_is(client: Client, by_hand: list[float]) -> None:
    torch = pytest.importorskip("torch")
    for mask in (torch.from_numpy(LEFT), torch.from_numpy(LEFT > 0), Unit(torch.from_numpy(LEFT)[None] / 255)):
        assert list(client.distance(TARGET, CANDIDATES, mask=mask).distances) == pytest.approx(by_hand, rel=1e-5)


def test_a_mask_counts_in_distances_and_heat_maps(client: Client, by_hand: list[float]) -> None:
    whole = client.distance(TARGET, CANDIDATES).distances
    assert by_hand != pytest.approx(whole, rel=1e-2)
    drawn = client.heatmap(TARGET, CANDIDATES[0], mask=LEFT, format="npy")
    assert drawn.distance == pytest.approx(by_hand[0], rel=1e-5)
    values = drawn.to_numpy()
    assert values[:, 200:].max() == 0
    assert values[:, :100].max() > 0
    assert client.distance(TARGET, CANDIDATES, mask=np.full_like(LEFT, 255)).distances == pytest.approx(whole, rel=1e-5)


def test_a_mask_goes_with_each_part_and_its_images_by_name(url: str, by_hand: list[float]) -> None:
    wire = Recording()
    with Client(url, limits=Limits(images=3), transport=wire) as client:
        ranking = client.rank(TARGET, CANDIDATES, mask=LEFT)
        assert {one.index: one.distance for one in ranking} == pytest.approx(dict(enumerate(by_hand)), rel=1e-5)
        assert len(wire.sent) == 3
        client.rank(TARGET, CANDIDATES, mask=LEFT)
    sizes = [sent.nbytes for sent in wire.sent]
    mask, candidate, target = LEFT.size, 256 * 256 * 3, TARGET.size
    expected = [mask + candidate + target, mask + candidate, mask + candidate, mask, mask, mask]
    assert sizes == pytest.approx(expected, abs=2000)


@pytest.mark.parametrize(
    ("mask", "match"),
    [
        (LEFT[:100], "100"),
        (np.zeros_like(LEFT), "0"),
        (TARGET, r"\(320, 320, 3\); a mask is \(H, W\)"),
        (LEFT / 255, "Unit"),
        (LEFT.astype(np.int64), "uint8"),
        (Image.fromarray(TARGET), "convert"),
        ("sha256:" + "0" * 64, "not kept"),
        ("nowhere.png", "nowhere"),
        (3, "int"),
    ],
)
def test_what_is_no_mask_is_told_at_its_place(client: Client, mask: Any, match: str) -> None:
    with pytest.raises(BadImagesError) as caught:
        client.rank(TARGET, CANDIDATES, mask=mask)
    (fault,) = caught.value.faults
    assert fault.pointer == "/mask"
    assert re.search(match, fault.detail), fault.detail


def test_bad_masks_and_bad_images_are_named_together(client: Client) -> None:
    with pytest.raises(BadImagesError) as caught:
        client.rank(TARGET, [CANDIDATES[0], 2.5 * CANDIDATES[1]], mask=LEFT / 255)
    assert [fault.pointer for fault in caught.value.faults] == ["/candidates/1", "/mask"]


def test_a_session_has_one_mask_for_all_candidates_that_come(client: Client, by_hand: list[float]) -> None:
    session = client.session(TARGET, mask=LEFT)
    session.add(CANDIDATES[0])
    ranking = session.add(CANDIDATES[1:])
    assert [row.distance for row in sorted(ranking, key=lambda row: row.index)] == by_hand


def test_the_service_keeps_the_mask_of_a_shared_session(client: Client, by_hand: list[float]) -> None:
    shared = client.share(TARGET, mask=LEFT)
    shared.add(CANDIDATES[0])
    state = shared.add(CANDIDATES[1:])
    assert state.mask is not None
    # The channel distances of a session are kept in float16.
    assert [one.distance for one in state.candidates] == pytest.approx(by_hand, rel=2e-3)


def test_a_mask_that_cannot_be_used_is_told_before_a_session_begins(client: Client) -> None:
    with pytest.raises(BadImagesError) as raised:
        client.session(TARGET, mask=np.zeros((3, 320, 320), np.uint8))
    assert [fault.pointer for fault in raised.value.faults] == ["/mask"]
