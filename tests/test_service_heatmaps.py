"""`POST /heatmap`: a picture or values, from features that are held, with what has no place in its headers."""

import hashlib
import io
from typing import Any

import numpy as np
import pytest
from litestar.testing import TestClient
from PIL import Image

from clpips.models.engines.contract import Engine
from tests.support.pictures import encode, picture, variation
from tests.support.services import FORMS, FakeEngine, Form, assert_problem, multipart, pointers, post, serving, tree

TARGET = encode(picture(1, 80))
CANDIDATE = encode(variation(picture(1, 80), 2, 0.4))


def body(form: Form = "multipart", target: bytes = TARGET, candidate: bytes = CANDIDATE, **options: Any) -> Any:
    if form == "multipart":
        return multipart([("target", target), ("candidate", candidate)], options)
    return tree(form, {"target": target, "candidate": candidate, **options})


def draw(client: TestClient[Any], form: Form = "multipart", **options: Any) -> Any:
    answer = post(client, body(form, **options), "/heatmap")
    assert answer.status_code == 200, answer.text
    return answer


def named(content: bytes) -> str:
    return "sha256:" + hashlib.sha256(content).hexdigest()


def values_of(answer: Any) -> Any:
    assert answer.headers["content-type"] == "application/x-npy"
    return np.load(io.BytesIO(answer.content), allow_pickle=False)


def pixels_of(answer: Any) -> Any:
    assert answer.headers["content-type"] == "image/png"
    return np.asarray(Image.open(io.BytesIO(answer.content)).convert("RGB"))


def pairs(header: str) -> dict[str, float]:
    return {name: float(value) for name, value in (part.split("=") for part in header.split(", "))}


def counter(client: TestClient[Any], name: str) -> float:
    lines = client.get("/metrics").text.splitlines()
    return next(float(line.rpartition(" ")[2]) for line in lines if line.startswith(name))


@pytest.mark.parametrize("form", FORMS)
def test_the_mean_of_the_values_is_the_distance_that_the_header_says(client: TestClient[Any], form: Form) -> None:
    answer = draw(client, form, format="npy")
    values = values_of(answer)
    assert (values.shape, values.dtype) == ((256, 256), np.float32)
    assert values.mean(dtype=np.float64) == pytest.approx(float(answer.headers["clpips-distance"]), abs=1e-6)
    assert pairs(answer.headers["clpips-legend"]) == {"low": 0.0, "high": pytest.approx(float(values.max()))}
    assert answer.headers["clpips-profile"] == "lpips; version=1"


def test_its_distance_is_the_one_of_distance_to_the_bit(client: TestClient[Any]) -> None:
    for profile in ("lpips", "balanced"):
        answer = draw(client, profile=profile)
        pair = {"target": named(TARGET), "candidate": named(CANDIDATE)}
        told = client.post("/distance", json={"pairs": [pair], "profile": profile, "layers": True}).json()
        assert float(answer.headers["clpips-distance"]) == told["distances"][0]
        assert pairs(answer.headers["clpips-families"]) == pytest.approx(told["families"][0], abs=1e-7)


def test_what_has_no_place_is_a_share_beside_the_map_and_not_in_it(client: TestClient[Any]) -> None:
    answer = draw(client, profile="balanced", format="npy")
    families = pairs(answer.headers["clpips-families"])
    assert values_of(answer).mean(dtype=np.float64) == pytest.approx(families["aligned"], abs=1e-6)
    unplaced = float(answer.headers["clpips-unplaced"])
    assert unplaced == pytest.approx(1 - families["aligned"] / sum(families.values()), abs=1e-4)
    assert unplaced > 0.3
    assert draw(client).headers["clpips-unplaced"] == "0.0000"


def test_it_says_how_many_layers_there_are_to_choose_from(client: TestClient[Any]) -> None:
    layers = int(draw(client).headers["clpips-layers"])
    draw(client, layer=layers)
    refused = post(client, body(layer=layers + 1), "/heatmap")
    assert pointers(assert_problem(refused, 422, "invalid-request")) == ["/layer"]


def test_at_native_size_the_map_is_as_large_as_the_images(client: TestClient[Any]) -> None:
    target = picture(5, 70, 110)
    images = {"target": encode(target), "candidate": encode(variation(target, 1, 0.3))}
    assert values_of(draw(client, "json", **images, resolution=None, format="npy")).shape == (70, 110)


def test_a_seen_pair_costs_neither_decoding_nor_a_forward_pass(engine: Engine) -> None:
    with serving(engine) as client:
        draw(client)
        before = [counter(client, f'clpips_stage_seconds_count{{stage="{stage}"}}') for stage in ("decode", "embed")]
        images = {"target": named(TARGET), "candidate": named(CANDIDATE)}
        for options in ({}, {"format": "npy"}, {"upsample": "bilinear"}, {"style": "overlay"}):
            assert client.post("/heatmap", json={**images, **options}).status_code == 200
        after = [counter(client, f'clpips_stage_seconds_count{{stage="{stage}"}}') for stage in ("decode", "embed")]
        assert after == before
        assert counter(client, 'clpips_stage_seconds_count{stage="locate"}') == 5


def test_two_maps_with_one_legend_can_be_compared(client: TestClient[Any]) -> None:
    answer = draw(client, high=1000)
    assert pairs(answer.headers["clpips-legend"]) == {"low": 0.0, "high": 1000.0}
    assert pixels_of(answer).max() < pixels_of(draw(client)).max()


def test_an_overlay_lies_over_the_candidate(client: TestClient[Any]) -> None:
    candidate = Image.open(io.BytesIO(CANDIDATE)).resize((256, 256), Image.Resampling.BICUBIC).convert("L")
    clear = pixels_of(draw(client, style="overlay", opacity=0))
    np.testing.assert_array_equal(clear[..., 0], np.asarray(candidate))
    np.testing.assert_array_equal(pixels_of(draw(client, style="overlay", opacity=1)), pixels_of(draw(client)))


def test_an_overlay_of_an_image_whose_pixels_are_gone_asks_for_them(engine: Engine) -> None:
    with serving(engine) as client:
        draw(client, profile="balanced")  # both networks have seen the images: their pixels are given up
        images = {"target": named(TARGET), "candidate": named(CANDIDATE)}
        refused = client.post("/heatmap", json={**images, "style": "overlay"})
        assert pointers(assert_problem(refused, 409, "images-not-held")) == ["/candidate"]
        draw(client, style="overlay")  # with the bytes it is drawn


@pytest.mark.parametrize(
    ("options", "pointer"),
    [
        ({"format": "npy", "style": "overlay"}, "/style"),
        ({"opacity": 1.5}, "/opacity"),
        ({"high": 0}, "/high"),
        ({"format": "gif"}, "/format"),
        ({"upsample": "cubic"}, "/upsample"),
        ({"resolution": 5000}, "/resolution"),
        ({"profile": "nobody"}, "/profile"),
    ],
)
@pytest.mark.parametrize("form", ["json", "multipart"])
def test_what_it_cannot_do_is_refused_and_named(form: Form, options: dict[str, Any], pointer: str) -> None:
    with serving() as client:
        problem = assert_problem(
            post(client, body(form, **options), "/heatmap"),
            422,
            "unknown-profile" if pointer == "/profile" else "invalid-request",
        )
        assert pointers(problem) == [pointer]


def test_images_that_cannot_be_read_are_named() -> None:
    with serving() as client:
        answer = post(client, body(candidate=b"no image"), "/heatmap")
        assert pointers(assert_problem(answer, 422, "bad-images")) == ["/candidate"]
        unknown = client.post("/heatmap", json={"target": named(b"1"), "candidate": named(b"2")})
        assert pointers(assert_problem(unknown, 409, "images-not-held")) == ["/target", "/candidate"]


def test_an_engine_that_fails_to_locate_is_a_fault_of_the_service() -> None:
    class Lost(FakeEngine):
        def locate(self, *_: Any) -> Any:
            raise RuntimeError("lost")

    with serving(Lost()) as client:
        assert_problem(post(client, body(), "/heatmap"), 500)
        assert counter(client, 'clpips_failures_total{fault="service",stage="locate"}') == 1


def test_the_maps_of_the_layers_add_up_to_the_whole(client: TestClient[Any]) -> None:
    whole = values_of(draw(client, format="npy"))
    layers = [values_of(draw(client, format="npy", layer=layer)) for layer in range(1, 6)]
    assert all(layer.max() > 0 for layer in layers)
    assert np.allclose(sum(layers), whole, atol=1e-6)


@pytest.mark.parametrize(("layer", "said"), [(0, ">= 1"), (6, "AlexNet has 5 layers"), (8, "<= 7")])
def test_a_layer_that_there_is_not_is_refused(client: TestClient[Any], layer: int, said: str) -> None:
    answer = post(client, body("json", layer=layer), "/heatmap")
    problem = assert_problem(answer, 422, "invalid-request")
    assert pointers(problem) == ["/layer"]
    assert said in problem["detail"]
