"""What all tests share: those that need more than the default install skip, and say how to get it."""

import importlib.util
from collections.abc import Iterator
from typing import Any

import pytest
from litestar.testing import TestClient

from models.engines import Engine, open_engine
from tests.services import serving

HAS_TORCH = all(importlib.util.find_spec(name) for name in ("torch", "lpips", "onnx"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    if HAS_TORCH:
        return
    skip = pytest.mark.skip(reason="needs PyTorch, lpips and onnx: pip install -e '.[torch]'")
    for item in items:
        if item.get_closest_marker("torch"):
            item.add_marker(skip)


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """The engine of the default install."""
    engine = open_engine("onnx", "cpu")
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def client(engine: Engine) -> Iterator[TestClient[Any]]:
    """A client of the whole service, real engine included."""
    with serving(engine) as client:
        yield client
