"""The client against a real service on loopback: what is sent, and what comes back."""

import asyncio
import io
import re
from typing import Any

import httpx
import numpy as np
import pytest
from clpips_client import AsyncClient, BadImagesError, Client, ConnectionLostError, InvalidRequestError, Limits
from PIL import Image

from tests.support import client_service
from tests.support.client_service import CANDIDATES, TARGET
from tests.support.faulty import Recording
from tests.support.pictures import encode
from tests.support.services import listening

url = client_service.url
client = client_service.client


def by_hand(url: str, resolution: int = 256) -> Any:
    """What the service answers to the same images in a form."""
    files = [("target", encode(TARGET)), *(("candidates", encode(candidate)) for candidate in CANDIDATES)]
    return httpx.post(f"{url}/rank", files=files, data={"resolution": str(resolution)}).raise_for_status().json()


def test_a_ranking_is_the_services_own(client: Client, url: str) -> None:
    ranking = client.rank(TARGET, CANDIDATES)
    expected = by_hand(url)
    assert [(one.index, one.distance, one.base_distance) for one in ranking] == [
        (one["index"], one["distance"], one["base_distance"]) for one in expected["ranking"]
    ]
    assert ranking.best == ranking[0]
    assert ranking.order == [one.index for one in ranking]
    assert ranking.profile.name == "lpips"


def test_what_is_shrunk_before_it_is_sent_has_the_same_distances(client: Client, url: str) -> None:
    ranking = client.rank(TARGET, CANDIDATES, resolution=32)
    assert [one.distance for one in ranking] == [one["distance"] for one in by_hand(url, 32)["ranking"]]


def test_distances_are_those_of_pairs_and_a_single_target_goes_with_each(client: Client) -> None:
    ranked = {one.index: one.distance for one in client.rank(TARGET, CANDIDATES)}
    distances = client.distance(TARGET, CANDIDATES, layers=True)
    assert list(distances.distances) == [ranked[index] for index in range(len(CANDIDATES))]
    assert distances.layers is not None
    assert distances.families is not None
    assert [sum(families.values()) for families in distances.families] == pytest.approx(distances.distances, rel=1e-5)
    assert float(client.distance([TARGET], [CANDIDATES[2]])) == ranked[2]
    with pytest.raises(TypeError, match="6 distances"):
        float(distances)
    with pytest.raises(InvalidRequestError, match="2 targets and 3 candidates"):
        client.distance(CANDIDATES[:2], CANDIDATES[:3])


def test_heat_maps_are_pictures_or_values(client: Client) -> None:
    drawn = client.heatmap(TARGET, CANDIDATES[0])
    assert Image.open(io.BytesIO(drawn.content)).size == (256, 256)
    assert drawn.distance == float(client.distance(TARGET, CANDIDATES[0]))
    values = client.heatmap(TARGET, CANDIDATES[0], format="npy").to_numpy()
    assert values.shape == (256, 256)
    assert values.mean() == pytest.approx(drawn.families["aligned"], rel=1e-4)
    assert drawn.high == pytest.approx(values.max(), rel=1e-4)
    over = client.heatmap(TARGET, CANDIDATES[0], style="overlay", high=2.0)
    assert over.high == 2.0
    with pytest.raises(TypeError, match="format='npy'"):
        over.to_numpy()


@pytest.mark.parametrize("most", [256, 7, 4])
def test_a_matrix_is_the_same_in_any_number_of_parts(url: str, most: int) -> None:
    images = [TARGET, *CANDIDATES]
    with Client(url) as whole, Client(url, limits=Limits(images=most)) as client:
        matrix, expected = client.matrix(images), whole.matrix(images)
    assert np.array_equal(matrix.to_numpy(), expected.to_numpy())
    assert matrix.images == expected.images
    assert (matrix.diversity.mean, matrix.diversity.low, matrix.diversity.high) == pytest.approx(
        (expected.diversity.mean, expected.diversity.low, expected.diversity.high)
    )


def test_more_than_the_service_takes_goes_in_parts() -> None:
    with listening(max_images=4) as url, Client(url, limits=Limits(images=4)) as client:
        ranking = client.rank(TARGET, CANDIDATES)
        distances = client.distance(TARGET, CANDIDATES)
        broken = [*CANDIDATES[:4], b"broken", CANDIDATES[5], b"broken as well"]
        with pytest.raises(BadImagesError) as caught:
            client.rank(TARGET, broken)
    assert [one.distance for one in ranking] == sorted(distances.distances)
    assert caught.value.indices == [4]  # of the first part that has any; the others are not asked


def test_bytes_go_once_and_names_afterwards(url: str) -> None:
    wire = Recording()
    with Client(url, transport=wire) as client:
        for count in range(1, 7):
            client.rank(TARGET, CANDIDATES[:count], resolution=48)
    sizes = [sent.nbytes for sent in wire.sent]
    assert sizes[0] > 2 * 48 * 48 * 3
    assert all(48 * 48 * 3 < size < 2 * 48 * 48 * 3 for size in sizes[1:])  # what is new, and names
    targets = {sent.headers["x-target-hash"] for sent in wire.sent}
    assert len(targets) == 1
    assert all(len(target) == 64 for target in targets)


@pytest.mark.parametrize("room", [1, 3, 7])
def test_with_a_cache_of_a_few_images_every_answer_is_right(room: int) -> None:
    wire = Recording()
    with listening(feature_cache_bytes=12 * room) as url, Client(url, transport=wire) as client:
        expected = [one.distance for one in client.rank(TARGET, CANDIDATES)]
        before = len(wire.sent)
        for _ in range(3):
            client.rank(CANDIDATES[0], CANDIDATES[3:])
            assert [one.distance for one in client.rank(TARGET, CANDIDATES)] == expected
    assert before == 1
    assert len(wire.sent) <= 1 + 3 * 6
    if room < 7:
        assert len(wire.sent) > 1 + 3 * 2  # some were answered with 409


def test_a_profile_is_made_taught_asked_looked_at_carried_away_and_taken_back(client: Client) -> None:
    profiles = client.profiles
    assert profiles.create("ada", parent="lpips").rankings == 0
    ranking = client.rank(TARGET, CANDIDATES, profile="ada")
    asked = profiles.suggest("ada", ranking)
    assert asked.pair is not None
    first = profiles.teach("ada", asked, best=1)
    assert profiles.teach("ada", ranking, order=ranking.order[::-1]).ranking == first.ranking + 1
    assert profiles.teach("ada", ranking.comparison, top=[2, 0], rater="bob").rankings == 3
    by_images = profiles.teach("ada", target=CANDIDATES[0], candidates=CANDIDATES[1:4], ranks=[1, 2, 2])
    assert profiles.get_ranking("ada", by_images.ranking).ranks == (1, 2, 2)
    assert profiles.forget_ranking("ada", by_images.ranking).rankings == 3
    assert len(profiles.export_rankings("ada")) == 3
    profiles.fit("ada")
    detail = profiles.get("ada")
    assert detail.versions[-1].number == 1
    assert profiles.rollback("ada", 1).version == 1
    assert profiles.import_weights("copy", profiles.export_weights("ada")).name == "copy"
    assert {one.name for one in profiles.list().profiles} >= {"ada", "copy"}
    assert profiles.reset("ada").rankings == 0
    assert profiles.delete("copy").deleted == "copy"


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"order": [0, 1], "best": 0},
        {"best": 0, "target": TARGET},
        {"ranking": "abc", "best": 0, "target": TARGET, "candidates": CANDIDATES},
    ],
    ids=["nothing", "two ways", "no candidates", "both"],
)
def test_what_teaches_nothing_is_refused_before_it_is_sent(client: Client, wrong: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"say what|give a ranking"):
        client.profiles.teach("ada", **wrong)


async def test_the_awaited_client_does_the_same(url: str) -> None:
    async with AsyncClient(url) as client:
        ranking, matrix = await asyncio.gather(client.rank(TARGET, CANDIDATES), client.matrix(CANDIDATES))
        assert len(matrix.distances) == 6
        with Client(url) as waiting:
            assert ranking.ranking == waiting.rank(TARGET, CANDIDATES).ranking
        await client.profiles.create("joe", exist_ok=True)
        assert (await client.within(30).profiles.teach("joe", ranking, best=2)).profile == "joe"
        with pytest.raises(BadImagesError) as caught:
            await client.rank(TARGET, [b"none"])
        assert caught.value.indices == [0]
    async with AsyncClient("127.0.0.1:1", timeout=0.2) as client:
        with pytest.raises(ConnectionLostError):
            await client.rank(TARGET, CANDIDATES)


def test_a_notebook_sees_the_target_and_the_candidates_in_their_order(client: Client) -> None:
    ranking = client.rank(TARGET, CANDIDATES)
    shown = ranking._repr_html_()
    assert shown.count("data:image/png;base64,") == 7
    assert [int(place) for place in re.findall(r"\d\. #(\d)", shown)] == ranking.order
    assert "data:image/png" in client.heatmap(TARGET, CANDIDATES[0])._repr_html_()


def test_tables_are_pandas_own_where_it_is_installed(client: Client) -> None:
    pandas = pytest.importorskip("pandas")
    ranking = client.rank(TARGET, CANDIDATES)
    table = ranking.to_pandas()
    assert isinstance(table, pandas.DataFrame)
    assert list(table["index"]) == ranking.order
    assert len(client.distance(TARGET, CANDIDATES).to_pandas()) == 6
    assert client.matrix(CANDIDATES).to_pandas().shape == (6, 6)
