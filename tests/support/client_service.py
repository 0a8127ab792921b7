"""A service that tells colours apart, a client of it, and the pictures that are sent to it."""

from collections.abc import Iterator

import pytest
from clpips_client import Client

from tests.support.colours import ColourEngine
from tests.support.pictures import picture, variation
from tests.support.services import listening

TARGET = picture(1, 64)
CANDIDATES = [variation(TARGET, seed, 0.9 - 0.1 * seed) for seed in range(6)]


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """A service that tells colours apart, and allows deleting and uploading to whoever asks."""
    with listening(ColourEngine()) as url:
        yield url


@pytest.fixture
def client(url: str) -> Iterator[Client]:
    with Client(url) as client:
        yield client
