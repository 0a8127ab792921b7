"""Requests and their answers, on the real engine unless the test is about what the engine is asked."""

import hashlib
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import msgspec
import numpy as np
import pytest
from litestar.testing import TestClient

from clpips.models.engines.contract import Engine, Images
from clpips.models.engines.several import compare_images, embed_images
from clpips.models.images.decoding import load_image
from clpips.models.metric.distance import distance_by_family, distance_by_layer, weigh
from clpips.models.metric.families import ALEXNET, NETWORK_PLACES, PLACES
from clpips.models.metric.weights_files import load_weights
from tests.support.pictures import encode, npy, picture, variation
from tests.support.services import (
    FORMS,
    FakeEngine,
    FakeFeatures,
    Form,
    assert_problem,
    base64_of,
    distance_body,
    pointers,
    rank_body,
    scored,
    serving,
    tree,
)

TARGET = picture(1, 96, 128)
CANDIDATES = [encode(variation(TARGET, 2, strength)) for strength in (0.9, 0.05, 0.4)]


def post(client: TestClient[Any], path: str, body: tuple[bytes, str], **headers: str) -> Any:
    return client.post(path, content=body[0], headers={"content-type": body[1], **headers})


def expected(engine: Engine, target: bytes, candidate: bytes, resolution: int | None = 256) -> np.ndarray[Any, Any]:
    images = [load_image(image, resolution)[np.newaxis] for image in (target, candidate)]
    features = [embed_images(engine, image)[0] for image in images]
    return compare_images(engine, features[:1], features[1:])


@pytest.mark.parametrize("form", FORMS)
def test_candidates_come_back_the_most_similar_first(client: TestClient[Any], form: Form) -> None:
    reply = post(client, "/rank", rank_body(form, encode(TARGET), CANDIDATES)).json()
    assert [row["index"] for row in reply["ranking"]] == [1, 2, 0]
    assert [row["rank"] for row in reply["ranking"]] == [1, 2, 3]


def test_a_distance_is_the_metrics_own(client: TestClient[Any], engine: Engine) -> None:
    reply = post(client, "/distance", distance_body("json", [(encode(TARGET), CANDIDATES[0])])).json()
    own = weigh(expected(engine, encode(TARGET), CANDIDATES[0]), load_weights().values)
    assert reply["distances"] == pytest.approx(own.tolist(), abs=1e-6)


@pytest.mark.parametrize("path", ["/rank", "/distance"])
def test_the_three_forms_of_a_request_get_the_same_answer(client: TestClient[Any], path: str) -> None:
    target = encode(TARGET, "WEBP", lossless=True)
    for options in ({}, {"resolution": 64, "profile": "lpips"}, {"resolution": None}):
        answers = []
        for form in FORMS:
            if path == "/rank":
                body = rank_body(form, target, CANDIDATES, **options)
            else:
                pairs = [(target, candidate) for candidate in CANDIDATES]
                body = distance_body(form, pairs, layers=True, **options)
            response = post(client, path, body)
            assert response.status_code == 200, response.text
            answers.append(scored(response.json()))
        assert answers[0] == answers[1] == answers[2]


@pytest.mark.parametrize("name", ["application/vnd.msgpack", "application/msgpack", "application/x-msgpack"])
def test_answers_come_as_messagepack_where_it_is_accepted(client: TestClient[Any], name: str) -> None:
    body = rank_body("msgpack", encode(TARGET), CANDIDATES)
    response = post(client, "/rank", (body[0], name), accept=name)
    assert response.headers["content-type"] == name
    assert response.headers["vary"] == "accept"
    assert scored(msgspec.msgpack.decode(response.content)) == scored(post(client, "/rank", body).json())


def test_identical_images_are_at_distance_zero(client: TestClient[Any]) -> None:
    image = encode(TARGET)
    assert post(client, "/distance", distance_body("json", [(image, image)])).json()["distances"] == [0.0]


def test_layers_add_up_to_the_distance(client: TestClient[Any], engine: Engine) -> None:
    body = distance_body("json", [(encode(TARGET), candidate) for candidate in CANDIDATES], layers=True)
    reply = post(client, "/distance", body).json()
    assert np.sum(reply["layers"], axis=1) == pytest.approx(reply["distances"], abs=1e-6)
    own = distance_by_layer(expected(engine, encode(TARGET), CANDIDATES[0]), load_weights().values)
    assert reply["layers"][0] == pytest.approx(own[0].tolist(), abs=1e-6)
    assert [set(row) for row in reply["families"]] == [set(PLACES)] * len(CANDIDATES)
    assert [row["aligned"] for row in reply["families"]] == pytest.approx(reply["distances"], abs=1e-6)


def test_families_add_up_to_the_distance_by_weights_that_use_them_all(client: TestClient[Any], engine: Engine) -> None:
    body = distance_body("json", [(encode(TARGET), CANDIDATES[0])], layers=True, profile="balanced")
    reply = post(client, "/distance", body).json()
    z = expected(engine, encode(TARGET), CANDIDATES[0])
    by_family = distance_by_family(z, load_weights("balanced").values)[0].tolist()
    assert list(reply["families"][0].values()) == pytest.approx(by_family, abs=1e-6)
    assert reply["distances"] == pytest.approx([sum(by_family)], abs=1e-6)


def test_layers_are_left_out_unless_asked_for(client: TestClient[Any]) -> None:
    reply = post(client, "/distance", distance_body("json", [(encode(TARGET), CANDIDATES[0])])).json()
    assert not {"layers", "families"} & reply.keys()


def test_equal_distances_keep_the_order_they_came_in(client: TestClient[Any]) -> None:
    far, near, _ = CANDIDATES
    reply = post(client, "/rank", rank_body("msgpack", encode(TARGET), [far, near, far, near])).json()
    assert [row["index"] for row in reply["ranking"]] == [1, 3, 0, 2]
    assert [row["rank"] for row in reply["ranking"]] == [1, 2, 3, 4]


def test_plain_lpips_stands_beside_the_profiles_answer(client: TestClient[Any]) -> None:
    for row in post(client, "/rank", rank_body("json", encode(TARGET), CANDIDATES)).json()["ranking"]:
        assert (row["base_rank"], row["base_distance"]) == (row["rank"], row["distance"])


def test_replies_name_images_by_the_hash_of_their_bytes(client: TestClient[Any]) -> None:
    target = encode(TARGET)
    reply = post(client, "/rank", rank_body("multipart", target, CANDIDATES)).json()
    assert reply["target"] == "sha256:" + hashlib.sha256(target).hexdigest()
    for row in reply["ranking"]:
        assert row["candidate"] == "sha256:" + hashlib.sha256(CANDIDATES[row["index"]]).hexdigest()


def test_replies_say_whose_weights_and_which_engine(client: TestClient[Any], engine: Engine) -> None:
    reply = post(client, "/rank", rank_body("json", encode(TARGET), CANDIDATES)).json()
    fingerprint = hashlib.sha256(load_weights().values[NETWORK_PLACES[ALEXNET]].tobytes()).hexdigest()
    assert reply["profile"] == {"name": "lpips", "version": 1, "fingerprint": fingerprint}
    assert reply["engine"] == {
        "name": "onnx",
        "device": "cpu",
        "precision": "exact",
        "convolution": "direct",
        "backbone": engine.fingerprint,
    }


def test_native_size_scores_pixels_as_they_are(client: TestClient[Any], engine: Engine) -> None:
    reply = post(client, "/distance", distance_body("msgpack", [(encode(TARGET), CANDIDATES[0])], resolution=None))
    own = weigh(expected(engine, encode(TARGET), CANDIDATES[0], None), load_weights().values)
    assert reply.json()["distances"] == pytest.approx(own.tolist(), abs=1e-6)


def test_pairs_of_several_native_sizes_go_together(client: TestClient[Any]) -> None:
    pairs = [
        (encode(picture(seed, *size)), encode(picture(seed + 50, *size)))
        for seed, size in enumerate([(40, 50), (64, 64), (40, 50), (50, 40)])
    ]
    together = post(client, "/distance", distance_body("msgpack", pairs, resolution=None)).json()["distances"]
    alone = [
        post(client, "/distance", distance_body("msgpack", [pair], resolution=None)).json()["distances"][0]
        for pair in pairs
    ]
    assert together == pytest.approx(alone, abs=1e-6)


def test_native_size_names_every_candidate_of_another_size(client: TestClient[Any]) -> None:
    candidates = [encode(picture(3, 96, 127)), CANDIDATES[0], encode(picture(3, 128, 96))]
    problem = assert_problem(
        post(client, "/rank", rank_body("json", encode(TARGET), candidates, resolution=None)), 422, "bad-images"
    )
    assert pointers(problem) == ["/candidates/0", "/candidates/2"]
    assert "127×96" in problem["errors"][0]["detail"]


def test_a_data_url_is_an_image(client: TestClient[Any]) -> None:
    plain, urls = (
        tree("json", {"target": prefix + base64_of(encode(TARGET)), "candidates": [base64_of(CANDIDATES[0])]})
        for prefix in ("", "data:image/png;base64,")
    )
    assert scored(post(client, "/rank", urls).json()) == scored(post(client, "/rank", plain).json())


def test_base64_may_be_wrapped_in_lines(client: TestClient[Any]) -> None:
    text = base64_of(encode(TARGET))
    wrapped = "\n".join(text[start : start + 76] for start in range(0, len(text), 76)) + "\n"
    reply = post(client, "/rank", tree("json", {"target": wrapped, "candidates": [text]})).json()
    assert reply["ranking"][0]["distance"] == 0.0


@pytest.mark.parametrize("form", FORMS)
def test_npy_pixels_score_as_the_png_of_them(client: TestClient[Any], form: Form) -> None:
    reply = post(client, "/rank", rank_body(form, encode(TARGET), [npy(TARGET)])).json()
    assert reply["ranking"][0]["distance"] == 0.0


def test_a_curl_form_field_may_hold_a_data_url(client: TestClient[Any]) -> None:
    files = {"candidates": ("a.png", encode(TARGET), "image/png")}
    data = {"target": "data:image/png;base64," + base64_of(encode(TARGET))}
    assert client.post("/rank", data=data, files=files).json()["ranking"][0]["distance"] == 0.0


def test_each_distinct_image_of_a_request_is_embedded_once() -> None:
    engine = FakeEngine()
    with serving(engine) as client:
        warm_up = engine.embedded
        target, other = encode(TARGET), CANDIDATES[0]
        pairs = [(target, other), (other, target), (target, target), (target, other)]
        assert post(client, "/distance", distance_body("msgpack", pairs)).status_code == 200
    assert engine.embedded - warm_up == 2
    assert engine.compared[1:] == [4]  # after the warm-up: all pairs in one call


@pytest.mark.parametrize("form", FORMS)
def test_every_bad_image_is_named_and_not_the_first_alone(client: TestClient[Any], form: Form) -> None:
    good = CANDIDATES[0]
    candidates = [good, b"no image", good, encode(TARGET)[:300], good, good, good, b"", good, good]
    problem = assert_problem(post(client, "/rank", rank_body(form, encode(TARGET), candidates)), 422, "bad-images")
    assert pointers(problem) == ["/candidates/1", "/candidates/3", "/candidates/7"]
    assert all(error["detail"] for error in problem["errors"])


def test_a_bad_image_used_twice_is_named_twice(client: TestClient[Any]) -> None:
    body = distance_body("json", [(b"bad", CANDIDATES[0]), (CANDIDATES[0], b"bad")])
    problem = assert_problem(post(client, "/distance", body), 422, "bad-images")
    assert pointers(problem) == ["/pairs/0/target", "/pairs/1/candidate"]


def test_bad_base64_and_bad_images_are_named_together(client: TestClient[Any]) -> None:
    candidates = ["%%%", base64_of(CANDIDATES[0]), base64_of(b"no image"), 7, None, {"a": 1}, "data:,x", "sha256:12"]
    problem = assert_problem(
        post(client, "/rank", tree("json", {"target": base64_of(encode(TARGET)), "candidates": candidates})),
        400,
        "malformed-body",
    )
    assert pointers(problem) == [f"/candidates/{index}" for index in (0, 2, 3, 4, 5, 6, 7)]


@pytest.mark.parametrize("form", FORMS)
def test_an_image_named_by_a_hash_that_is_not_held_must_be_sent(client: TestClient[Any], form: Form) -> None:
    name = "sha256:" + "AB" * 32
    if form == "multipart":
        response = client.post("/rank", data={"target": name}, files={"candidates": ("a.png", CANDIDATES[0])})
    else:
        candidate = base64_of(CANDIDATES[0]) if form == "json" else CANDIDATES[0]
        response = post(client, "/rank", tree(form, {"target": name, "candidates": [candidate]}))
    problem = assert_problem(response, 409, "images-not-held")
    assert pointers(problem) == ["/target"]
    assert "ab" * 32 in problem["errors"][0]["detail"]


def test_an_unknown_profile_is_refused_with_the_names_there_are(client: TestClient[Any]) -> None:
    problem = assert_problem(
        post(client, "/rank", rank_body("json", encode(TARGET), CANDIDATES, profile="nobody")), 422, "unknown-profile"
    )
    assert pointers(problem) == ["/profile"]
    assert "lpips" in problem["detail"]


def test_a_failing_engine_is_a_500_without_internals() -> None:
    engine = FakeEngine()
    with serving(engine) as client:
        engine.failure = RuntimeError("secret path /etc/engine")
        problem = assert_problem(post(client, "/rank", rank_body("json", encode(TARGET), CANDIDATES)), 500)
        assert "secret" not in str(problem)
        engine.failure = None
        assert post(client, "/rank", rank_body("json", encode(TARGET), CANDIDATES)).status_code == 200


def test_an_engine_handed_in_is_not_closed() -> None:
    engine = FakeEngine()
    with serving(engine):
        pass
    assert not engine.closed


def test_the_service_answers_others_while_the_engine_computes() -> None:
    class SlowEngine(FakeEngine):
        begun, released = threading.Event(), threading.Event()

        def embed(self, images: Images, *, more: bool = False, network: str = ALEXNET) -> list[FakeFeatures]:
            if self.compared:  # the warm-up is over
                self.begun.set()
                assert self.released.wait(30)
            return super().embed(images, more=more, network=network)

    engine = SlowEngine()
    with serving(engine) as client, ThreadPoolExecutor(1) as other:
        answer = other.submit(post, client, "/rank", rank_body("json", encode(TARGET), CANDIDATES))
        assert engine.begun.wait(30)
        assert client.get("/healthz").status_code == 200
        assert not answer.done()
        engine.released.set()
        assert answer.result(30).status_code == 200
