"""Changes in the studio that are taken back and done again, and what is never brought back by that."""

from typing import Any

from tests.support import studio
from tests.support.browser import drop, needs_chromium, order_of, wait_for_order
from tests.support.studio import grey

pytestmark = needs_chromium

browser = studio.browser
service = studio.service
page = studio.page
ordered = studio.ordered


def test_what_was_taken_back_is_done_again_until_something_else_is_done(ordered: Any) -> None:
    page = ordered
    page.locator("#order .card .picture").nth(2).focus()
    page.keyboard.press("Alt+Home")
    page.keyboard.press("Alt+End")
    assert order_of(page) == list("abdec")
    page.keyboard.press("Control+z")
    page.keyboard.press("Control+z")
    assert order_of(page) == list("abcde")
    assert page.locator("#undo").is_disabled()
    page.keyboard.press("Control+Shift+z")
    assert order_of(page) == list("cabde")
    page.click("#redo")
    assert order_of(page) == list("abdec")
    assert page.locator("#redo").is_disabled()
    page.click("#undo")
    page.locator("#order .card .picture").nth(4).focus()
    page.keyboard.press("Alt+Home")
    page.keyboard.press("Control+y")
    assert order_of(page) == list("ecabd")


def test_a_table_that_is_cleared_is_not_taken_back_into_the_next_one(ordered: Any) -> None:
    page = ordered
    page.locator("#order .card .picture").nth(2).focus()
    page.keyboard.press("Alt+Home")
    assert not page.locator("#undo").is_disabled()
    page.locator("#export").evaluate("(menu) => { menu.open = true; }")
    page.click("#clear")
    drop(page, [("other.png", grey(10)), ("x.png", grey(90)), ("y.png", grey(150))])
    assert wait_for_order(page, 2) == list("xy")
    assert page.locator("#undo").is_disabled()
    page.keyboard.press("Control+z")
    assert order_of(page) == list("xy")
