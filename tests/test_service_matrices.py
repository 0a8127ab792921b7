"""`POST /matrix`: every pair of a set, each image embedded once, to the bits of `/distance`, and its diversity."""

import hashlib
import io
from typing import Any

import msgspec
import numpy as np
import pytest
from litestar.testing import TestClient
from numpy.typing import NDArray

from clpips.models.engines.contract import Engine
from clpips.models.metric.families import Families
from clpips.models.metric.nets import ALEX, VGG, Net
from tests.support.pictures import encode, picture
from tests.support.services import (
    FORMS,
    FakeEngine,
    Form,
    assert_problem,
    multipart,
    pointers,
    post,
    rank_body,
    serving,
    tree,
)

IMAGES = [encode(picture(seed, 64)) for seed in range(19)]  # three tiles, the last one not full


def body(form: Form, images: list[bytes], **options: Any) -> Any:
    if form == "multipart":
        return multipart([("images", image) for image in images], options)
    return tree(form, {"images": images, **options})


def named(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize("profile", ["lpips", "balanced"])
def test_it_equals_distance_pair_by_pair_to_the_bit(client: TestClient[Any], profile: str) -> None:
    options = {"resolution": 64, "profile": profile}
    answer = post(client, body("msgpack", IMAGES, **options), "/matrix").json()
    pairs = [(a, b) for a in range(19) for b in range(a, 19)]
    for start in range(0, len(pairs), 100):
        part = pairs[start : start + 100]
        asked = [{"target": named(IMAGES[a]), "candidate": named(IMAGES[b])} for a, b in part]
        told = client.post("/distance", json={"pairs": asked, **options}).json()["distances"]
        assert [answer["distances"][a][b] for a, b in part] == told
        assert [answer["distances"][b][a] for a, b in part] == told
    assert answer["images"] == [named(image) for image in IMAGES]


@pytest.mark.parametrize("form", FORMS)
def test_each_image_is_embedded_once_and_equal_ones_are_at_zero(form: Form) -> None:
    engine = FakeEngine()
    with serving(engine) as client:
        before = engine.embedded
        answer = post(client, body(form, [IMAGES[0], IMAGES[1], IMAGES[0]], resolution=64), "/matrix").json()
        assert engine.embedded - before == 2
    distances = np.array(answer["distances"])
    assert distances[0, 2] == 0
    assert distances[0, 1] > 0
    np.testing.assert_array_equal(distances, distances.T)
    np.testing.assert_array_equal(distances[0], distances[2])


def test_a_npy_file_has_the_same_values_and_the_diversity_in_its_header(client: TestClient[Any]) -> None:
    rows = post(client, body("multipart", IMAGES[:4], resolution=64), "/matrix").json()
    answer = post(client, body("multipart", IMAGES[:4], resolution=64), "/matrix", accept="application/x-npy")
    assert answer.headers["content-type"] == "application/x-npy"
    values = np.load(io.BytesIO(answer.content), allow_pickle=False)
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, np.array(rows["distances"], np.float32))
    told = dict(part.split("=") for part in answer.headers["clpips-diversity"].split(", "))
    assert {name: float(value) for name, value in told.items()} == rows["diversity"]
    packed = post(client, body("multipart", IMAGES[:4], resolution=64), "/matrix", accept="application/vnd.msgpack")
    assert msgspec.msgpack.decode(packed.content) == rows


def test_two_images_have_a_mean_and_no_interval(client: TestClient[Any]) -> None:
    answer = post(client, body("json", IMAGES[:2], resolution=64), "/matrix").json()
    assert answer["diversity"] == {"mean": pytest.approx(answer["distances"][0][1]), "low": None, "high": None}


def test_pairs_count_at_the_door_and_with_the_key() -> None:
    with serving(max_queue=300) as client:
        post(client, body("msgpack", IMAGES, resolution=64), "/matrix")
        known = client.app.state.door
        assert known._usual_cost == pytest.approx(19 * (1 + 0.02 * 9) / 16)  # 171 pairs, 9 an image; 64² is a 16th


def test_too_few_too_many_and_images_of_several_sizes_are_refused() -> None:
    with serving(max_images=8) as client:
        one = assert_problem(post(client, body("json", IMAGES[:1]), "/matrix"), 422, "invalid-request")
        assert pointers(one) == ["/images"]
        many = assert_problem(post(client, body("json", IMAGES[:9]), "/matrix"), 422, "invalid-request")
        assert "more than 8 images" in many["detail"]
        sizes = [IMAGES[0], encode(picture(1, 70)), IMAGES[1]]
        other = assert_problem(post(client, body("json", sizes, resolution=None), "/matrix"), 422, "bad-images")
        assert pointers(other) == ["/images/1"]
        bad = assert_problem(post(client, body("json", [*IMAGES[:2], b"none"]), "/matrix"), 422, "bad-images")
        assert pointers(bad) == ["/images/2"]


def test_an_image_that_makes_the_engine_fail_is_named() -> None:
    class Choosy(FakeEngine):
        """Fails on white images, alone and beside others."""

        def compare(self, targets: Any, candidates: Any, families: Families | None = None) -> NDArray[np.float32]:
            if any(one.colour.min() > 0.99 for side in (targets, candidates) for one in side):
                raise RuntimeError("white")
            return super().compare(targets, candidates, families)

    white = encode(np.full((64, 64, 3), 255, np.uint8))
    with serving(Choosy()) as client:
        answer = post(client, body("json", [IMAGES[0], white, IMAGES[1]]), "/matrix")
        assert pointers(assert_problem(answer, 422, "bad-images")) == ["/images/1"]


def test_the_engine_compares_all_with_the_bits_of_pairs(engine: Engine) -> None:
    features = engine.embed([picture(seed, 97, 130) for seed in range(5)])
    z = engine.compare_all(features[:2], features)
    pairs = [(a, b) for a in features[:2] for b in features]
    expected = engine.compare([a for a, _ in pairs], [b for _, b in pairs])
    np.testing.assert_array_equal(z.reshape(expected.shape), expected)
    few = engine.compare_all(features[:2], features, frozenset({"std"}))
    np.testing.assert_array_equal(
        few.reshape(expected.shape), engine.compare([a for a, _ in pairs], [b for _, b in pairs], frozenset({"std"}))
    )


def test_what_stays_together_is_bounded_by_what_the_backbone_makes_of_it() -> None:
    def net_of(net: Net) -> FakeEngine:
        engine = FakeEngine()
        engine.net = net
        return engine

    for net, most in ((ALEX, 6), (VGG, 2)):  # at 488 bytes a pixel in place of 42, of 27 images' pixels
        with serving(net_of(net), max_scored_pixels=27 * 64**2 if net is VGG else 6 * 64**2) as client:
            enough = client.app.state.together_pixels // 64**2
            assert enough == most
            assert post(client, body("json", IMAGES[: most + 1], resolution=64), "/matrix").status_code == 422
            assert post(client, body("json", [*IMAGES[:most], IMAGES[0]], resolution=64), "/matrix").status_code == 200


def test_a_backbone_that_makes_much_is_named_where_a_matrix_is_too_large() -> None:
    engine = FakeEngine()
    engine.net = VGG
    with serving(engine) as client:
        pictures = [encode(picture(seed, 32)) for seed in range(22)]
        answer = post(client, body("multipart", pictures, resolution=256), "/matrix")
        problem = assert_problem(answer, 422, "invalid-request")
        assert pointers(problem) == ["/resolution"]
        assert "VGG16 makes 488 bytes" in problem["detail"]
        assert "send fewer images" in problem["detail"]
        ranking = post(client, rank_body("multipart", pictures[0], pictures[1:], resolution=256))
        assert ranking.status_code == 200, "the images of a ranking come and go"
        pair = rank_body("json", pictures[0], pictures[1:2], resolution=1024)
        assert pointers(assert_problem(post(client, pair), 422, "invalid-request")) == ["/resolution"]
        assert post(client, body("multipart", pictures[:21], resolution=256), "/matrix").status_code == 200


@pytest.mark.parametrize(
    ("accept", "answered"),
    [
        ("application/x-npy;q=0", "application/json"),
        ("application/x-npy; Q=0.000, */*", "application/json"),
        ("application/json;q=0, */*", "application/vnd.msgpack"),
        ("application/*;q=0, application/x-npy", "application/x-npy"),
        ("application/x-npy;q=0.5, application/json;q=0.4", "application/x-npy"),
        ("application/x-npy;q=0.4, application/json;q=0.5", "application/json"),
        ("APPLICATION/X-NPY", "application/x-npy"),
        ("text/html;q=1e400, application/x-npy;q=0.1", "application/x-npy"),
        ("application/x-npy;q=-inf", "application/x-npy"),
        ("*/*;q=0", "application/json"),
        ("", "application/json"),
    ],
)
def test_accept_has_its_way(client: TestClient[Any], accept: str, answered: str) -> None:
    answer = post(client, body("multipart", IMAGES[:2], resolution=64), "/matrix", accept=accept)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == answered
