"""What all tests share: those that need more than the default install skip, and say how to get it."""

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from litestar.testing import TestClient
from threadpoolctl import threadpool_limits

from clpips.models.engines.contract import Engine
from clpips.models.engines.opening import open_engine
from tests.support.colours import ColourEngine
from tests.support.databases import KINDS, fresh_database
from tests.support.services import serving

ON_GPU = os.environ.get("CLPIPS_TEST_GPU") == "1"
if not ON_GPU:
    os.environ["TRITON_INTERPRET"] = "1"  # read when Triton is imported: its kernels then run on the CPU

HAS_TORCH = all(importlib.util.find_spec(name) for name in ("torch", "lpips", "onnx"))


# What some tests need and not every machine has, by their marker: whether it is here, and how to get it. The default
# install, on which `make test` runs, has no PyTorch by design (CI has it); a card is what `make on-device` is for.
NEEDED = {
    "torch": (HAS_TORCH, "needs PyTorch, lpips and onnx: pip install -e '.[torch]'"),
    "gpu": (ON_GPU, "needs an NVIDIA GPU: set CLPIPS_TEST_GPU=1 on a machine that has one"),
}


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        for marker, (is_here, how) in NEEDED.items():
            if item.get_closest_marker(marker):
                item.add_marker(pytest.mark.skipif(not is_here, reason=how))


@pytest.fixture(autouse=True)
def plain_logs() -> Iterator[None]:
    """Logs as structlog prints them by default: a test that configures them as a service does leaves nothing behind."""
    yield
    structlog.reset_defaults()


@pytest.fixture(scope="session", autouse=True)
def _one_thread_for_each_matrix_product() -> Iterator[None]:
    """As in the service, which fits beside an engine that keeps all cores busy.

    Threads of one product wait for each other in a loop that never sleeps: on a machine that is busy with something
    else, such as the tests beside these, a fit takes thirty times as long.
    """
    with threadpool_limits(1):
        yield


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


@pytest.fixture(scope="module")
def bounded() -> Iterator[TestClient[Any]]:
    """A client of an app with small limits, on an engine of a few lines: for what never gets so far."""
    with serving(max_body_bytes=100_000, max_images=8, max_pixels=100_000, max_resolution=512) as client:
        yield client


@pytest.fixture(params=KINDS)
def database_url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """The URL of a database of each kind: empty, migrated, and this test's own."""
    with fresh_database(request.param, tmp_path) as url:
        yield url


@pytest.fixture
def teachable(database_url: str) -> Iterator[TestClient[Any]]:
    """A client of a service that tells colours apart, on each kind of database."""
    with serving(ColourEngine(), database_url=database_url, max_profiles=5) as client:
        yield client


@pytest.fixture
def ada(teachable: TestClient[Any]) -> TestClient[Any]:
    """A client of a service that has a profile `ada`, fresh."""
    assert teachable.post("/profiles", json={"name": "ada"}).status_code == 201
    return teachable
