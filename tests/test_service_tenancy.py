"""What one tenant's images tell another: nothing. A name of an image is good for the tenant alone that has sent it."""

import hashlib
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from litestar.testing import TestClient

from clpips.service.admission.keys import KeyScope, new_key
from clpips.service.batching.feature_cache import FeatureCache
from tests.support.pictures import npy, picture
from tests.support.services import FakeEngine, assert_problem, pointers, post, rank_body, serving, tree

SCOPES: tuple[KeyScope, ...] = ("score", "teach")
KEYS = {name: new_key(name, tenant, SCOPES) for name, tenant in (("ada", "a"), ("alan", "a"), ("eve", "b"))}
IMAGES = [npy(picture(seed, 40)) for seed in range(3)]


def name_of(image: bytes) -> str:
    return "sha256:" + hashlib.sha256(image).hexdigest()


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine()


@pytest.fixture
def client(engine: FakeEngine) -> Iterator[TestClient[Any]]:
    with serving(engine, api_keys="\n".join(line for _, line in KEYS.values())) as client:
        client.post("/profiles", json={"name": "hers"}, headers=bearer("eve"))
        yield client


def bearer(name: str) -> dict[str, str]:
    return {"authorization": f"Bearer {KEYS[name][0]}"}


def send(client: TestClient[Any], who: str, images: list[bytes]) -> Any:
    return post(client, rank_body("msgpack", images[0], images[1:]), **bearer(who))


def name(client: TestClient[Any], who: str, names: list[str], path: str = "/rank") -> Any:
    return client.post(path, json={"target": names[0], "candidates": names[1:]}, headers=bearer(who))


def test_the_tenant_that_has_sent_an_image_may_name_it_by_any_of_its_keys(client: TestClient[Any]) -> None:
    assert send(client, "ada", IMAGES).status_code == 200
    for who in ("ada", "alan"):
        assert name(client, who, [name_of(image) for image in IMAGES]).status_code == 200


def test_to_another_tenant_a_held_image_is_as_unknown_as_any(client: TestClient[Any], engine: FakeEngine) -> None:
    send(client, "ada", IMAGES)
    embedded = engine.embedded
    held = name(client, "eve", [name_of(image) for image in IMAGES[:2]])
    unknown = name(client, "eve", ["sha256:" + "0" * 64, "sha256:" + "1" * 64])
    for answer in (held, unknown):
        problem = assert_problem(answer, 409, "images-not-held")
        assert pointers(problem) == ["/target", "/candidates/0"]
    assert held.json()["detail"] == unknown.json()["detail"]
    assert held.headers.keys() == unknown.headers.keys()
    assert engine.embedded == embedded  # the same work for both: none
    body, content_type = tree(
        "json", {"order": [0, 1], "target": name_of(IMAGES[0]), "candidates": [name_of(IMAGES[1])] * 2}
    )
    taught = client.post(
        "/profiles/hers/rankings", content=body, headers={"content-type": content_type, **bearer("eve")}
    )
    assert_problem(taught, 409, "images-not-held")


def test_whoever_sends_an_image_too_may_name_it_from_then_on(client: TestClient[Any], engine: FakeEngine) -> None:
    send(client, "ada", IMAGES)
    embedded = engine.embedded
    assert send(client, "eve", IMAGES[:2]).status_code == 200
    assert engine.embedded == embedded  # the features are there, whoever asks
    assert name(client, "eve", [name_of(image) for image in IMAGES[:2]]).status_code == 200
    assert_problem(name(client, "eve", [name_of(image) for image in IMAGES[1:]]), 409, "images-not-held")


class Blob(bytes):
    @property
    def nbytes(self) -> int:
        return len(self)


async def fetched(cache: FeatureCache[Blob], key: str, make: Callable[[object], Awaitable[Blob]], owner: str) -> None:
    """A request of this owner, which comes and goes."""
    with cache.loan("request", float("inf"), owner) as loan:
        await cache.fetch(loan, key, make)


async def test_owners_are_forgotten_with_the_features() -> None:
    cache: FeatureCache[Blob] = FeatureCache(10, lambda _: None)

    async def make(_: object) -> Blob:
        return Blob(b"12345678")

    await fetched(cache, "one", make, "ada")
    assert cache.known_to("ada", "one")
    assert not cache.known_to("eve", "one")
    await fetched(cache, "two", make, "eve")  # has room in place of the first alone
    assert not cache.known_to("ada", "one")
    await fetched(cache, "one", make, "eve")
    assert not cache.known_to("ada", "one")
    assert cache.known_to("eve", "one")
    assert len(cache._owners) == 1


async def test_an_image_that_cannot_be_read_has_no_owner() -> None:
    cache: FeatureCache[Blob] = FeatureCache(10, lambda _: None)

    async def fail(_: object) -> Blob:
        raise ValueError("no image")

    with pytest.raises(ValueError, match="no image"):
        await fetched(cache, "bad", fail, "ada")
    assert not cache.known_to("ada", "bad")
    assert cache._owners == {}
