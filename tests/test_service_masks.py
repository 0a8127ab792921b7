"""Masks in requests: a region of the target counts, in every form of a body and in whatever it teaches."""

import io
import json
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from litestar.testing import TestClient
from numpy.typing import NDArray
from PIL import Image

from clpips.models.api import Metric
from clpips.models.engines.contract import Engine, EngineName
from clpips.models.engines.opening import open_engine
from clpips.models.engines.several import compare_images, embed_images
from clpips.models.images.decoding import load_image
from clpips.models.metric.families import CONTENT, FAMILIES_OF, PLACES
from clpips.models.metric.masks import region
from clpips.models.metric.packing import unpack_z
from clpips.models.metric.weights_files import load_weights
from clpips.models.rankings.stored_z import decode_z
from tests.support.masked import CANDIDATES, FILES, FULL, HEIGHT, LEFT, MASK, TARGET, WIDTH, distances_of, named, rank
from tests.support.pictures import encode, npy, picture, variation
from tests.support.services import (
    FORMS,
    FakeEngine,
    Form,
    assert_problem,
    base64_of,
    multipart,
    pointers,
    post,
    serving,
    tree,
)

Values = NDArray[np.uint8]


def expected(engine: Engine, mask: Values | None, weights: str = "lpips", resolution: int | None = 256) -> list[float]:
    """The distances that the metric gives of the same images."""
    metric = Metric(load_weights(weights), engine, resolution)
    rows = metric.rank(TARGET, CANDIDATES, mask)
    return [row.distance for row in sorted(rows, key=lambda row: row.index)]


@pytest.mark.parametrize("form", ["json", "multipart"])
@pytest.mark.parametrize("profile", ["lpips", "balanced"])
def test_a_region_of_the_target_counts(client: TestClient[Any], engine: Engine, form: Form, profile: str) -> None:
    found = distances_of(rank(client, form, profile=profile))
    assert found == pytest.approx(expected(engine, LEFT, profile), abs=1e-6)
    assert found != pytest.approx(expected(engine, None, profile), abs=1e-3)


@pytest.mark.parametrize("profile", ["lpips", "balanced"])
def test_at_native_size_a_region_counts_too(client: TestClient[Any], engine: Engine, profile: str) -> None:
    found = distances_of(rank(client, "json", profile=profile, resolution=None))
    assert found == pytest.approx(expected(engine, LEFT, profile, None), abs=1e-6)


@pytest.mark.torch
def test_the_other_engine_says_the_same(engine: Engine) -> None:
    name: EngineName = "torch"
    with serving(open_engine(name, "cpu")) as client:
        for profile in ("lpips", "balanced"):
            assert distances_of(rank(client, profile=profile)) == pytest.approx(
                expected(engine, LEFT, profile), abs=1e-5
            )


def told_of(answer: Any) -> Any:
    """All that an answer says of the pictures."""
    assert answer.status_code == 200, answer.text
    if answer.headers["content-type"] == "image/png":
        return answer.content, answer.headers["clpips-distance"], answer.headers["clpips-families"]
    return {name: value for name, value in answer.json().items() if name != "comparison"}


def one_pair(path: str, mask: bytes | None, form: Form = "json", **options: Any) -> tuple[bytes, str]:
    """The body of a request of one pair and its mask."""
    second = "candidates" if path == "/rank" else "candidate"
    if form == "multipart":
        files = [("target", FILES[0]), (second, FILES[1]), *([("mask", mask)] if mask is not None else [])]
        return multipart(files, options)
    pair = {"target": FILES[0], second: [FILES[1]] if path == "/rank" else FILES[1], "mask": mask}
    return tree(form, ({"pairs": [pair]} if path == "/distance" else pair) | options)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("path", ["/rank", "/distance", "/heatmap"])
def test_every_form_of_a_body_takes_a_mask_everywhere(client: TestClient[Any], form: Form, path: str) -> None:
    masks = (MASK, npy(LEFT), npy(np.asfortranarray(LEFT)))
    found = [told_of(post(client, one_pair(path, mask, form), path)) for mask in masks]
    assert found[1:] == [found[0]] * 2
    assert found[0] != told_of(post(client, one_pair(path, None, form), path))


@pytest.mark.parametrize("path", ["/rank", "/distance", "/heatmap"])
def test_a_mask_of_255_gives_the_same_bits_as_none(client: TestClient[Any], path: str) -> None:
    for profile in ("lpips", "balanced"):
        masks = (None, FULL, npy(np.full((HEIGHT, WIDTH), 255, np.uint8)))
        found = [told_of(post(client, one_pair(path, mask, profile=profile), path)) for mask in masks]
        assert found[1:] == [found[0]] * 2


def test_a_heat_map_is_of_the_region(client: TestClient[Any], engine: Engine) -> None:
    images = [("target", FILES[0]), ("candidate", FILES[1]), ("mask", MASK)]
    answer = post(client, multipart(images, {"format": "npy"}), "/heatmap")
    values = np.load(io.BytesIO(answer.content), allow_pickle=False)
    assert values.mean(dtype=np.float64) == pytest.approx(float(answer.headers["clpips-distance"]), abs=1e-6)
    assert values[:, 140:].max() == 0  # what does not count, but for the cells at the edge
    found = Metric(load_weights(), engine, 256).heatmap(TARGET, CANDIDATES[0], mask=LEFT)
    np.testing.assert_allclose(values, found.values, atol=1e-6)


def test_each_pair_may_have_a_mask_of_its_own(client: TestClient[Any], engine: Engine) -> None:
    right = np.ascontiguousarray(255 - LEFT)
    metric = Metric(load_weights(), engine, 256)
    alone = {
        name: metric.distance(TARGET, CANDIDATES[0], mask).value
        for name, mask in (("left", LEFT), ("right", right), ("none", None))
    }
    pair = {"target": FILES[0], "candidate": FILES[1]}
    pairs = [pair | {"mask": npy(right)}, pair, pair | {"mask": FULL}]
    told = post(client, tree("json", {"pairs": pairs, "mask": MASK}), "/distance").json()["distances"]
    assert told == pytest.approx([alone["right"], alone["left"], alone["none"]], abs=1e-6)
    told = post(client, tree("json", {"pairs": pairs[:2]}), "/distance").json()["distances"]
    assert told == pytest.approx([alone["right"], alone["none"]], abs=1e-6)
    form = [("target", FILES[0]), ("candidate", FILES[1])] * 2
    told = post(client, multipart([*form, ("mask", MASK)], {}), "/distance").json()["distances"]
    assert told == pytest.approx([alone["left"]] * 2, abs=1e-6)
    told = post(client, multipart([*form, ("mask", MASK), ("mask", npy(right))], {}), "/distance").json()["distances"]
    assert told == pytest.approx([alone["left"], alone["right"]], abs=1e-6)


@settings(max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 10**6), inverted=st.booleans())
def test_any_mask_says_what_the_metric_says(client: TestClient[Any], engine: Engine, seed: int, inverted: bool) -> None:
    rng = np.random.default_rng(seed)
    y, x, h, w = rng.integers(0, 80), rng.integers(0, 110), rng.integers(1, 60), rng.integers(1, 60)
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[y : y + h, x : x + w] = rng.integers(1, 256)
    mask = 255 - mask if inverted else mask
    body = tree("msgpack", {"target": FILES[0], "candidate": FILES[1], "mask": npy(mask), "format": "npy"})
    answer = post(client, body, "/heatmap")
    told = float(answer.headers["clpips-distance"])
    assert told == pytest.approx(
        Metric(load_weights(), engine, 256).distance(TARGET, CANDIDATES[0], mask).value, abs=1e-6
    )
    values = np.load(io.BytesIO(answer.content), allow_pickle=False)
    assert values.mean(dtype=np.float64) == pytest.approx(told, abs=1e-6)


def test_images_are_embedded_once_whatever_their_masks() -> None:
    engine = FakeEngine()
    with serving(engine) as client:
        before = distances_of(rank(client, mask=None))
        embedded = engine.embedded
        other = np.ascontiguousarray(LEFT[:, ::-1])
        assert distances_of(rank(client)) != before
        assert distances_of(rank(client, mask=npy(other))) != before
        assert distances_of(rank(client, mask=None)) == before
        assert engine.embedded == embedded


@pytest.mark.parametrize("profile", ["lpips", "balanced"])
@pytest.mark.parametrize("resolution", [64, None])
def test_targets_that_are_named_know_the_size_of_their_picture(
    client: TestClient[Any], profile: str, resolution: int | None
) -> None:
    options: dict[str, Any] = {"profile": profile, "resolution": resolution}
    sent = distances_of(rank(client, "json", **options))
    names = {"target": named(FILES[0]), "candidates": [named(one) for one in FILES[1:]], **options}
    assert distances_of(client.post("/rank", json=names | {"mask": base64_of(MASK)})) == sent
    small = npy(np.ascontiguousarray(LEFT[:-1]))
    problem = assert_problem(client.post("/rank", json=names | {"mask": base64_of(small)}), 422, "bad-images")
    assert pointers(problem) == ["/mask"]
    assert "120×89 pixels and its target 120×90" in problem["errors"][0]["detail"]


def test_a_mask_lies_on_the_picture_as_it_is_looked_at(client: TestClient[Any]) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned by a quarter
    turned = encode(Image.fromarray(TARGET), "JPEG", exif=exif.tobytes(), quality=95)
    files = [("target", turned), ("candidates", FILES[1])]
    upright = np.ascontiguousarray(LEFT.T)
    assert post(client, multipart([*files, ("mask", npy(upright))], {})).status_code == 200
    problem = assert_problem(post(client, multipart([*files, ("mask", MASK)], {})), 422, "bad-images")
    assert "120×90 pixels and its target 90×120" in problem["errors"][0]["detail"]
    lying = encode(Image.fromarray(LEFT), "PNG", exif=exif.tobytes())
    assert post(client, multipart([*files, ("mask", lying)], {})).status_code == 200


def test_large_requests_take_a_window_of_masked_pairs_at_a_time(engine: Engine) -> None:
    target = picture(5, 64)
    pairs = [(encode(target), encode(variation(target, seed, 0.5))) for seed in range(12)]
    values = np.random.default_rng(0).integers(0, 256, (64, 64), np.uint8)
    body = {"pairs": [{"target": a, "candidate": b} for a, b in pairs], "mask": npy(values), "resolution": 64}
    with serving(engine, feature_cache_bytes=0, inflight_feature_bytes=10**6) as narrow, serving(engine) as wide:
        found = [post(client, tree("msgpack", body), "/distance").content for client in (narrow, wide)]
        bad = post(narrow, tree("msgpack", body | {"mask": npy(values[:60])}), "/distance")
    assert found[0] == found[1]
    assert pointers(assert_problem(bad, 422, "bad-images")) == ["/mask"]


@pytest.mark.parametrize("profile", ["lpips", "ada"])
def test_an_order_of_a_masked_comparison_teaches_what_counted_in_it(engine: Engine, profile: str) -> None:
    with serving(engine) as client:
        assert client.post("/profiles", json={"name": "ada"}).status_code == 201
        ranked = rank(client, profile=profile).json()
        order = {"comparison": ranked["comparison"], "order": [2, 0, 1]}
        taught = client.post("/profiles/ada/rankings", json=order)
        assert taught.status_code == 201, taught.text
        unknown = frozenset(taught.json()["unknown"])
        assert unknown == (FAMILIES_OF[CONTENT] if profile == "lpips" else frozenset())  # the mask is not kept
        (line,) = client.get("/profiles/ada/rankings").text.splitlines()
        z = unpack_z(decode_z(json.loads(line)["z"], len(CANDIDATES)))
    target, *candidates = embed_images(engine, np.stack([load_image(one, 256) for one in FILES]))
    within = compare_images(engine, [target] * len(candidates), candidates, mask=region(LEFT))
    for name in unknown:
        within[:, PLACES[name]] = 0
    np.testing.assert_allclose(z, within, rtol=2**-10, atol=1e-8)
