"""Where things are in the studio, on a desk and on a phone: in sight, labelled, and large enough for a finger."""

from typing import Any

import numpy as np
import pytest

from tests.support import studio
from tests.support.browser import drop, needs_chromium, page_of, wait_for_order
from tests.support.pictures import encode
from tests.support.studio import PHONE

pytestmark = needs_chromium

browser = studio.browser
service = studio.service

EIGHT = [
    (f"{name}.png", encode(np.full((48, 48, 3), 25 * place, np.uint8)))
    for place, name in enumerate(["target", *"abcdefgh"])
]
SMALLEST = 24  # pixels across of what is pressed (WCAG 2.2, 2.5.8)


def test_eight_candidates_are_seen_at_once_on_a_small_desk(browser: Any, service: str) -> None:
    with page_of(browser, service, viewport={"width": 1280, "height": 800}) as page:
        drop(page, EIGHT)
        wait_for_order(page, 8)
        for card in page.locator("#order .card").all():
            box = card.bounding_box()
            assert box["y"] + box["height"] <= 800


@pytest.mark.parametrize("width", [360, 390, 800, 1280, 3840])
def test_nothing_is_cut_and_each_number_says_whose_it_is(browser: Any, service: str, width: int) -> None:
    with page_of(browser, service, viewport={"width": width, "height": 800}) as page:
        drop(page, EIGHT)
        wait_for_order(page, 8)
        page.locator("#order .card .picture").nth(1).focus()
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
        assert page.locator("#order .card .metric").nth(1).inner_text() == "balanced 2"
        cut = """() => [...document.querySelectorAll("#order .metric")]
            .filter((one) => getComputedStyle(one).overflow === "hidden" && one.scrollWidth > one.clientWidth).length"""
        assert page.evaluate(cut) == 0
        sides = page.evaluate("""() => [...document.querySelectorAll(".current .actions button")]
            .flatMap((one) => [one.getBoundingClientRect().width, one.getBoundingClientRect().height])""")
        assert len(sides) == 12
        assert min(sides) >= SMALLEST


def test_the_ring_around_the_picture_that_is_chosen_is_whole_beside_the_lines(browser: Any, service: str) -> None:
    with page_of(browser, service, viewport={"width": 1280, "height": 800}) as page:
        drop(page, EIGHT)
        wait_for_order(page, 8)
        room = page.evaluate("""() => {
            const box = document.querySelector("#differ").getBoundingClientRect();
            const sides = [...document.querySelectorAll("#slope .thumb")].map((one) => one.getBoundingClientRect());
            return sides.flatMap((one) => [one.left - box.left, box.right - one.right]);
        }""")
        assert len(room) == 32
        assert min(room) >= 3


def test_what_was_learned_comes_into_sight_on_a_phone(browser: Any, service: str) -> None:
    with page_of(browser, service, **PHONE) as page:
        drop(page, studio.PICTURES)
        wait_for_order(page, 5)
        page.locator("#teach-button").tap()
        page.locator("#lesson h2").wait_for()
        page.wait_for_function(
            """() => {
                const place = (one) => document.querySelector(one).getBoundingClientRect();
                const [head, bar, lesson] = ["#target", "#teach", "#lesson h2"].map(place);
                return lesson.top >= head.bottom && lesson.bottom <= bar.top;
            }"""
        )


def test_a_phone_is_not_told_to_drop_pictures(browser: Any, service: str) -> None:
    with page_of(browser, service, **PHONE) as page:
        assert page.locator("#welcome h2").inner_text() == "Bring your pictures"
    with page_of(browser, service, **studio.DESK) as page:
        assert page.locator("#welcome h2").inner_text() == "Drop your pictures here"
