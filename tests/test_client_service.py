"""The client against real services on loopback: what is sent, what comes back, and what goes wrong between them."""

import asyncio
import hashlib
import io
import re
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from clpips_client import (
    AsyncClient,
    BadImagesError,
    Client,
    ClpipsError,
    ComparisonNotFoundError,
    ConnectionLostError,
    ForbiddenError,
    InvalidRequestError,
    Limits,
    OutOfTimeError,
    OverloadedError,
    ProfileExistsError,
    TooManyRequestsError,
    UnauthenticatedError,
    UnknownProfileError,
)
from PIL import Image

from tests.support.colours import ColourEngine
from tests.support.faulty import Recording, losing_line
from tests.support.gated import gated
from tests.support.pictures import encode, picture, variation
from tests.support.services import listening

TARGET = picture(1, 64)
CANDIDATES = [variation(TARGET, seed, 0.9 - 0.1 * seed) for seed in range(6)]
KEY = "the-key"
LINES = f"ada studio score,teach sha256:{hashlib.sha256(KEY.encode()).hexdigest()}"


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A service that tells colours apart, and allows deleting and uploading to whoever asks."""
    with listening(ColourEngine()) as url:
        yield url


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with Client(url) as client:
        yield client


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


def test_bad_images_are_named_by_their_places(client: Client) -> None:
    with pytest.raises(BadImagesError, match="no image in a format") as caught:
        client.rank(TARGET, [CANDIDATES[0], b"no image", CANDIDATES[1], b"none"])
    assert (caught.value.indices, caught.value.status) == ([1, 3], 422)


def test_errors_are_of_their_kind(client: Client) -> None:
    with pytest.raises(UnknownProfileError, match="nobody"):
        client.rank(TARGET, CANDIDATES, profile="nobody")
    with pytest.raises(ComparisonNotFoundError):
        client.profiles.suggest(client.profiles.create("empty").name, "none")
    with pytest.raises(ProfileExistsError):
        client.profiles.create("empty")
    assert client.profiles.create("empty", exist_ok=True).name == "empty"
    with pytest.raises(ClpipsError, match="candidate"):
        client.rank(TARGET, [])


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


def test_a_full_queue_is_waited_for() -> None:
    with gated(max_queue=2, decode_processes=0, request_seconds=100) as service, Client(service.url) as client:
        answers: list[Any] = []
        first = threading.Thread(target=lambda: answers.append(client.rank(TARGET, CANDIDATES)))
        second = threading.Thread(target=lambda: answers.append(client.rank(CANDIDATES[5], CANDIDATES[:5])))
        first.start()
        while not service.metric("clpips_batch_running_seconds", stage="embed"):
            pass  # another process is what is waited for: the engine holds the first request's images
        second.start()
        while not service.metric("clpips_rejected_total", reason="queue_full"):
            pass
        with pytest.raises(OverloadedError) as caught:
            client.within(0.5).rank(picture(7), [picture(8)])
        service.allow(50)
        first.join()
        second.join()
    assert (caught.value.status, caught.value.retry_after) == (503, 1.0)
    assert sorted(len(answer) for answer in answers) == [5, 6]


def test_a_rate_is_kept_by_waiting_where_there_is_time() -> None:
    with listening(api_keys=LINES, rate_limit=60) as url, Client(url, key=KEY) as client:
        hasty = client.within(0.2)
        refused = None
        while refused is None:  # until the minute's requests are used up
            try:
                hasty.profiles.list()
            except TooManyRequestsError as error:
                refused = error
        assert (refused.status, refused.retry_after) == (429, 1.0)
        assert client.profiles.list().profiles == ()


def test_keys_are_sent_and_what_they_may_not_is_said() -> None:
    with listening(api_keys=LINES) as url, Client(url, key=KEY) as client, Client(url) as nobody:
        client.profiles.create("ada")
        with pytest.raises(ForbiddenError):
            client.profiles.delete("ada")
        with pytest.raises(UnauthenticatedError):
            nobody.rank(TARGET, CANDIDATES)


def test_after_a_lost_answer_a_ranking_counts_once_and_a_reset_is_not_repeated(url: str) -> None:
    with losing_line(url) as line, Client(line.url) as client:
        client.profiles.create("eve")
        line.losses = 1
        ranking = client.rank(TARGET, CANDIDATES, profile="eve")
        line.losses = 2
        taught = client.profiles.teach("eve", ranking, order=[5, 4, 3, 2, 1, 0])
        line.losses = 1
        by_images = client.profiles.teach("eve", target=CANDIDATES[0], candidates=CANDIDATES[1:3], best=0)
        assert (taught.rankings, by_images.rankings) == (1, 2)
        assert [status for status in line.carried if "/rankings" in status] == [
            "POST /profiles/eve/rankings 201",
            "POST /profiles/eve/rankings 200",
            "POST /profiles/eve/rankings 200",
            "POST /profiles/eve/rankings 201",
        ]
        line.losses = 1
        with pytest.raises(ConnectionLostError) as caught:
            client.profiles.reset("eve")
        assert caught.value.sent
        assert client.profiles.get("eve").rankings == 0  # it was done, once
        assert sum("/reset" in carried for carried in line.carried) == 1


def test_where_nobody_listens_the_time_is_used_and_not_more() -> None:
    with Client("127.0.0.1:1", timeout=0.3) as client, pytest.raises(ConnectionLostError, match="cannot be reached"):
        client.rank(TARGET, CANDIDATES)


def test_an_answer_that_is_late_is_not_waited_for() -> None:
    with gated(decode_processes=0) as service:
        with Client(service.url) as client, pytest.raises(OutOfTimeError):
            client.within(0.3).rank(TARGET, CANDIDATES)
        service.allow(50)


async def test_a_cancelled_request_is_dropped_by_the_service() -> None:
    with gated(decode_processes=0) as service:
        async with AsyncClient(service.url) as client:
            asked = asyncio.create_task(client.rank(TARGET, CANDIDATES))
            while not await asyncio.to_thread(service.metric, "clpips_batch_running_seconds", stage="embed"):
                pass
            asked.cancel()
            with pytest.raises(asyncio.CancelledError):
                await asked
            while not await asyncio.to_thread(service.metric, "clpips_rejected_total", reason="client_gone"):
                pass
            service.allow(50)
            assert len(await client.rank(TARGET, CANDIDATES[:1])) == 1


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


def test_the_service_can_run_in_the_callers_own_process() -> None:
    with Client.local(convolution="direct") as client:
        assert client.rank(TARGET, CANDIDATES).best.index == 5
        assert client.profiles.create("ada").name == "ada"


async def test_and_so_it_can_beside_an_event_loop() -> None:
    async with await AsyncClient.local(convolution="direct") as client:
        assert (await client.rank(TARGET, CANDIDATES)).best.index == 5


def test_a_setting_that_cannot_be_used_is_said_so() -> None:
    with pytest.raises(TypeError, match="colour"):
        Client.local(colour="red")
