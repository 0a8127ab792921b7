"""A whole session in the studio by mouse, by touch and by keyboard alone."""

from typing import Any

import httpx

from tests.support import studio
from tests.support.browser import drop, needs_chromium, order_of, page_of, wait_for_order
from tests.support.studio import PHONE, PICTURES, centre, left_edge, lesson, ranks_taught

pytestmark = needs_chromium

browser = studio.browser
service = studio.service
page = studio.page
ordered = studio.ordered


def test_a_whole_session_by_mouse(ordered: Any, service: str) -> None:
    page = ordered
    (x, y), (to_x, to_y) = centre(page, "d"), left_edge(page, "a")
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x - 20, y, steps=4)
    page.mouse.move(to_x, to_y, steps=12)
    page.mouse.up()
    page.locator('#order .card:nth-child(1):has-text("d.png")').wait_for()
    assert order_of(page) == list("dabce")
    page.locator('#order .card:has-text("e.png")').hover()
    page.locator('#order .card:has-text("e.png") [data-act=out]').click()
    page.locator('#order .card:has-text("b.png")').hover()
    page.locator('#order .card:has-text("b.png") [data-act=tie]').click()
    assert page.locator("#agree").inner_text() == "You and balanced order 2 of 5 pairs alike."
    page.fill("#teach-name", "ada")
    page.click("#teach-button")
    assert "Before you said it, ada had guessed 40 % of your pairs." in lesson(page)
    assert ranks_taught(service, "ada") == {"a": 2, "b": 2, "c": 4, "d": 1}
    page.click('#lesson button:has-text("Forget this")')
    page.locator('#lesson h2:has-text("Forgotten")').wait_for()
    assert httpx.get(f"{service}/profiles/ada").json()["rankings"] == 0


def test_a_whole_session_by_touch(browser: Any, service: str) -> None:
    with page_of(browser, service, **PHONE) as page:
        drop(page, PICTURES)
        assert wait_for_order(page, 5) == list("abcde")
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
        page.locator('#order .card:has-text("b.png")').scroll_into_view_if_needed()
        (x, y), (to_x, to_y) = centre(page, "b"), left_edge(page, "a")
        touch = page.context.new_cdp_session(page)

        def finger(kind: str, *points: tuple[float, float]) -> None:
            touch.send(
                "Input.dispatchTouchEvent", {"type": kind, "touchPoints": [{"x": px, "y": py} for px, py in points]}
            )

        finger("touchStart", (x, y))
        page.wait_for_timeout(400)  # a finger is held before it drags; one that moves at once scrolls
        for part in range(1, 13):
            finger("touchMove", (x + (to_x - x) * part / 12, y + (to_y - y) * part / 12))
        finger("touchEnd")
        page.locator('#order .card:nth-child(1):has-text("b.png")').wait_for()
        # A tap shows the buttons of a picture; they do all that dragging does.
        card = page.locator('#order .card:has-text("e.png")')
        card.locator(".picture").tap()
        card.locator("[data-act=earlier]").tap()
        assert order_of(page) == list("baced")
        card.locator("[data-act=best]").tap()
        assert order_of(page) == list("ebacd")
        page.fill("#teach-name", "ada")
        page.locator("#teach-button").tap()
        assert "ada had guessed" in lesson(page)
        assert ranks_taught(service, "ada") == {"a": 2, "b": 2, "c": 2, "d": 2, "e": 1}


def test_a_whole_session_by_keyboard_alone(page: Any, service: str) -> None:
    def press(*keys: str) -> None:
        for key in keys:
            page.keyboard.press(key)

    def focused() -> str:
        name: str = page.evaluate(
            "() => document.activeElement.getAttribute('aria-label') ?? document.activeElement.id"
        )
        return name

    def tab_to(name: str) -> None:
        for _ in range(40):
            if focused().startswith(name):
                return
            press("Tab")
        raise AssertionError(f"{name} is not reached by Tab")

    tab_to("choose")
    with page.expect_file_chooser() as chooser:
        press("Enter")
    chooser.value.set_files([{"name": name, "mimeType": "image/png", "buffer": content} for name, content in PICTURES])
    assert wait_for_order(page, 5) == list("abcde")
    tab_to("Rank 1, 1 of 5: a.png")
    press("ArrowRight", "ArrowRight", " ", "ArrowLeft", "ArrowLeft", " ")
    assert order_of(page) == list("cabde")
    assert focused() == "Rank 1, 1 of 5: c.png; balanced has it at 3"
    page.locator('#spoken:has-text("c.png is put down")').wait_for()
    press(" ", "End")
    page.locator('#spoken:has-text("c.png is now 5 of 5")').wait_for()
    press("Escape")
    assert order_of(page) == list("cabde")
    press("ArrowRight", "ArrowRight", "t")  # b is as near as a
    page.locator('#spoken:has-text("b.png is as near as a.png")').wait_for()
    press("End", "x")
    assert order_of(page) == list("cabd")
    assert focused().startswith("Rank 4, 4 of 4: d.png")
    press("Enter")
    page.locator("#viewer[open]").wait_for()
    press("Escape")
    assert focused().startswith("Rank 4, 4 of 4: d.png")
    press("Control+z")
    assert order_of(page) == list("cabde")
    for _ in range(40):
        if focused() == "teach-name":
            break
        press("Shift+Tab")
    press("Control+a")
    page.keyboard.type("ada")
    press("Enter")
    assert "ada had guessed" in lesson(page)
    assert ranks_taught(service, "ada") == {"a": 2, "b": 2, "c": 1, "d": 4, "e": 5}


def test_a_profile_is_taught_in_a_few_acts_with_three_pictures_and_the_page_says_each(page: Any, service: str) -> None:
    drop(page, PICTURES[:3])
    wait_for_order(page, 2)
    assert page.locator("#hint").inner_text().startswith("This is how balanced has them. Drag them into the order")
    assert page.locator("#agree").inner_text() == "You have not changed balanced’s order yet."
    page.locator('#order .card:has-text("b.png")').hover()
    page.locator('#order .card:has-text("b.png") [data-act=earlier]').click()
    assert page.locator("#hint").inner_text() == "Is this how you see them? Then press Teach my order."
    page.click("#teach-button")
    told = lesson(page)
    assert "Kept: my-eye has your first order" in told
    assert "my-eye had guessed none of this" in told
    assert ranks_taught(service, "my-eye") == {"a": 2, "b": 1}
    assert page.locator("#hint").inner_text() == ""
    page.click('#lesson button:has-text("Next target")')
    assert page.evaluate("() => document.activeElement.id") == "choose"
    drop(page, [PICTURES[3], PICTURES[1], PICTURES[2]])
    assert wait_for_order(page, 2) == list("ba")
    page.click("#teach-button")
    page.locator('#lesson h2:has-text("my-eye has 2 orders of yours")').wait_for()
