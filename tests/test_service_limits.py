"""What a request may have at most, and the refusal that says so."""

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from litestar.testing import TestClient

from tests.support.pictures import encode, picture
from tests.support.services import (
    FORMS,
    Form,
    assert_problem,
    base64_of,
    distance_body,
    multipart,
    pointers,
    post,
    rank_body,
    serving,
    tree,
)

IMAGE = encode(picture(1, 40))


def test_a_body_above_the_limit_is_refused_by_its_announced_length(bounded: TestClient[Any]) -> None:
    problem = assert_problem(post(bounded, (b"x" * 100_001, "application/json")), 413, "body-too-large")
    assert "100,000" in problem["detail"]


def test_a_body_above_the_limit_is_refused_when_it_comes_in_chunks(bounded: TestClient[Any]) -> None:
    def chunks() -> Iterator[bytes]:
        for _ in range(20):
            yield b" " * 10_000

    response = bounded.post("/rank", content=chunks(), headers={"content-type": "application/json"})
    assert_problem(response, 413, "body-too-large")


def test_a_body_at_the_limit_is_read(bounded: TestClient[Any]) -> None:
    body, content_type = rank_body("json", IMAGE, [IMAGE])
    assert post(bounded, (body.ljust(100_000), content_type)).status_code == 200


@pytest.mark.parametrize("form", FORMS)
def test_the_limit_of_images_counts_target_and_candidates(bounded: TestClient[Any], form: Form) -> None:
    assert post(bounded, rank_body(form, IMAGE, [IMAGE] * 7)).status_code == 200
    problem = assert_problem(post(bounded, rank_body(form, IMAGE, [IMAGE] * 8)), 422, "invalid-request")
    assert pointers(problem) == ["/candidates"]
    assert "more than 8 images" in problem["detail"]


@pytest.mark.parametrize("form", FORMS)
def test_the_limit_of_images_counts_both_images_of_each_pair(bounded: TestClient[Any], form: Form) -> None:
    assert post(bounded, distance_body(form, [(IMAGE, IMAGE)] * 4), "/distance").status_code == 200
    problem = assert_problem(
        post(bounded, distance_body(form, [(IMAGE, IMAGE)] * 5), "/distance"), 422, "invalid-request"
    )
    assert pointers(problem) == ["/pairs"]


@pytest.mark.parametrize("form", FORMS)
def test_data_urls_and_their_commas_do_not_count_as_more_images(bounded: TestClient[Any], form: Form) -> None:
    url = "data:image/png;base64," + base64_of(IMAGE)
    if form == "multipart":
        body = multipart([], {"target": url, "candidates": url})
    else:
        body = tree(form, {"target": url, "candidates": [url] * 7})
    assert post(bounded, body).status_code == 200


@pytest.mark.parametrize("form", ["json", "msgpack"])
def test_a_list_far_above_the_limit_is_refused_before_it_is_decoded(bounded: TestClient[Any], form: Form) -> None:
    body = tree(form, {"target": "", "candidates": [0] * 45_000})
    problem = assert_problem(post(bounded, body), 422, "invalid-request")
    assert pointers(problem) == ["/candidates"]


def test_an_image_of_too_many_pixels_is_refused(bounded: TestClient[Any]) -> None:
    large = encode(np.zeros((400, 300, 3), np.uint8))
    problem = assert_problem(post(bounded, rank_body("json", IMAGE, [IMAGE, large])), 422, "bad-images")
    assert pointers(problem) == ["/candidates/1"]
    assert "120,000" in problem["errors"][0]["detail"]


def test_a_resolution_above_the_limit_is_refused(bounded: TestClient[Any]) -> None:
    problem = assert_problem(post(bounded, rank_body("json", IMAGE, [IMAGE], resolution=513)), 422, "invalid-request")
    assert pointers(problem) == ["/resolution"]
    assert "512" in problem["detail"]


def test_the_pixels_of_all_images_together_are_bounded() -> None:
    images = [encode(picture(seed, 40)) for seed in range(4)]
    with serving(max_scored_pixels=3 * 64**2) as client:
        assert post(client, rank_body("json", images[0], images[1:3], resolution=64)).status_code == 200
        assert post(client, rank_body("json", images[0], [images[1]] * 5, resolution=64)).status_code == 200
        problem = assert_problem(
            post(client, rank_body("json", images[0], images[1:], resolution=64)), 422, "invalid-request"
        )
        assert pointers(problem) == ["/resolution"]


def test_the_pixels_of_all_images_together_are_bounded_at_native_size() -> None:
    images = [encode(picture(seed, 40)) for seed in range(3)]
    with serving(max_scored_pixels=2 * 40**2) as client:
        assert post(client, rank_body("json", images[0], images[1:2], resolution=None)).status_code == 200
        body = rank_body("json", images[0], images[1:], resolution=None)
        problem = assert_problem(post(client, body), 422, "bad-images")
        assert pointers(problem) == ["/target", "/candidates/0", "/candidates/1"]


@pytest.mark.parametrize("name", ["order", "ranks", "top"])
@pytest.mark.parametrize("form", ["json", "msgpack"])
def test_a_list_of_far_more_numbers_than_images_is_refused_before_it_is_decoded(form: Form, name: str) -> None:
    with serving() as client:
        assert client.post("/profiles", json={"name": "ada"}).status_code == 201
        body = tree(form, {"comparison": "x", name: [1] * 2_000_000})
        problem = assert_problem(post(client, body, "/profiles/ada/rankings"), 422, "invalid-request")
        assert "far more values than a request of 256 images" in problem["detail"]


@pytest.mark.parametrize("form", ["json", "msgpack"])
def test_a_large_body_of_many_values_is_refused_wherever_they_stand(form: Form) -> None:
    with serving() as client:
        for content in ([1] * 2_000_000, [[1, 2]] * 700_000, {str(number): 1 for number in range(300_000)}):
            problem = assert_problem(
                post(client, tree(form, {"target": "", "candidates": content})), 422, "invalid-request"
            )
            assert "far more values" in problem["detail"]


@pytest.mark.parametrize("form", FORMS)
def test_as_many_images_as_may_be_are_no_such_body(form: Form) -> None:
    large = encode(picture(2, 64), "PNG") + b" " * 10_000
    with serving() as client:
        pairs = [(large, large)] * 128
        assert post(client, distance_body(form, pairs), "/distance").status_code == 200
        assert post(client, rank_body(form, large, [large] * 255)).status_code == 200
