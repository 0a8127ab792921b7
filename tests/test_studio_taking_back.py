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


def clear(page: Any) -> None:
    page.locator("#export").evaluate("(menu) => { menu.open = true; }")
    page.click("#clear")
    page.locator("#welcome").wait_for()


def test_a_table_that_is_cleared_comes_back_with_its_order_by_button_and_by_key(ordered: Any) -> None:
    page = ordered
    page.locator("#order .card .picture").nth(2).focus()
    page.keyboard.press("Alt+Home")
    clear(page)
    page.click("#table-back")
    assert wait_for_order(page, 5) == list("cabde")
    assert page.locator("#target img").count() == 1
    clear(page)
    page.keyboard.press("Control+z")
    assert wait_for_order(page, 5) == list("cabde")
    page.wait_for_function(
        "() => [...document.querySelectorAll('#order img')].filter((one) => one.naturalWidth).length === 5"
    )


def test_a_table_that_is_cleared_comes_back_in_place_of_the_next_one_and_never_into_it(ordered: Any) -> None:
    page = ordered
    clear(page)
    drop(page, [("other.png", grey(10)), ("x.png", grey(90)), ("y.png", grey(150))])
    assert wait_for_order(page, 2) == list("xy")
    page.locator("#order .card .picture").nth(1).focus()
    page.keyboard.press("Alt+Home")
    assert order_of(page) == list("yx")
    page.keyboard.press("Control+z")  # the order first
    assert order_of(page) == list("xy")
    page.click("#undo")
    assert wait_for_order(page, 5) == list("abcde")
    page.click("#redo")
    assert wait_for_order(page, 2) == list("xy")


def test_an_answer_that_comes_after_the_table_was_cleared_says_nothing_of_the_next_one(page: Any) -> None:
    held: list[Any] = []

    def hold_the_first(route: Any) -> None:
        if held:
            route.fallback()
        else:
            held.append(route)

    page.route("**/rank", hold_the_first)
    with page.expect_request("**/rank"):
        drop(page, [("black.png", grey(0)), ("p.png", grey(60)), ("q.png", grey(120))])
    clear(page)
    drop(page, [("white.png", grey(250)), ("x.png", grey(90)), ("y.png", grey(150))])
    page.locator("#waiting-shots li").nth(1).wait_for()
    held[0].fallback()
    assert wait_for_order(page, 2) == list("yx")  # the nearer to white first


def test_a_reload_that_would_lose_a_table_asks_and_one_of_an_empty_table_does_not(ordered: Any) -> None:
    page = ordered
    asked: list[str] = []

    def answer(dialog: Any) -> None:
        asked.append(dialog.type)
        dialog.accept()

    page.on("dialog", answer)
    page.locator("#order .card .picture").first.click()  # a browser asks where somebody has touched the page
    page.reload()
    assert asked == ["beforeunload"]
    page.locator("#welcome").click()
    page.reload()
    assert asked == ["beforeunload"]
