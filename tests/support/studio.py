"""The studio in a browser before a service that tells colours apart: devices, pictures, and what a person does."""

from collections.abc import Iterator
from typing import Any

import httpx
import numpy as np
import pytest

from tests.support.browser import browsing, drop, page_of, wait_for_order
from tests.support.colours import ColourEngine
from tests.support.pictures import encode
from tests.support.services import listening

PHONE: dict[str, Any] = {
    "viewport": {"width": 360, "height": 740},
    "has_touch": True,
    "is_mobile": True,
    "device_scale_factor": 2,
}
DESK: dict[str, Any] = {"viewport": {"width": 1280, "height": 900}}


def grey(level: int) -> bytes:
    return encode(np.full((48, 64, 3), level, np.uint8))


# The target is black: the darker a candidate, the nearer.
PICTURES = [("target.png", grey(0)), *((f"{name}.png", grey(40 + 40 * place)) for place, name in enumerate("abcde"))]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with browsing() as browser:
        yield browser


@pytest.fixture
def service() -> Iterator[str]:
    with listening(ColourEngine()) as url:
        yield url


@pytest.fixture
def page(browser: Any, service: str) -> Iterator[Any]:
    with page_of(browser, service, **DESK) as page:
        yield page


@pytest.fixture
def ordered(page: Any) -> Any:
    drop(page, PICTURES)
    assert wait_for_order(page, 5) == list("abcde")
    return page


def ranks_taught(service: str, profile: str, number: int = 1) -> dict[str, int]:
    """What the service keeps of a ranking: a rank for each candidate, by its name."""
    kept = httpx.get(f"{service}/profiles/{profile}/rankings/{number}").raise_for_status().json()
    # Candidates stand in the order in which they were dropped.
    return dict(zip("abcde", kept["ranks"], strict=False))


def centre(page: Any, name: str) -> tuple[float, float]:
    box = page.locator(f'#order .card:has-text("{name}.png") .picture').bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 3


def left_edge(page: Any, name: str) -> tuple[float, float]:
    box = page.locator(f'#order .card:has-text("{name}.png") .picture').bounding_box()
    return box["x"] + 12, box["y"] + box["height"] / 3


def lesson(page: Any) -> str:
    page.locator("#lesson h2").wait_for()
    text: str = page.locator("#lesson").inner_text()
    return text
