"""What the studio must not do: take names for markup, send a key that is none, or be framed."""

from typing import Any

from clpips.service.admission.keys import new_key
from tests.support import studio
from tests.support.browser import drop, needs_chromium, page_of, wait_for_order
from tests.support.colours import ColourEngine
from tests.support.services import listening
from tests.support.studio import DESK, PICTURES, grey

pytestmark = needs_chromium

browser = studio.browser
service = studio.service
page = studio.page

HOSTILE = '<img src=x onerror="document.title=1">.png'


def test_markup_in_names_stays_text(page: Any) -> None:
    drop(page, [PICTURES[0], (HOSTILE, grey(80)), PICTURES[1]])
    wait_for_order(page, 2)
    assert HOSTILE in page.locator("#order .card .name").all_inner_texts()
    assert page.locator('#order img[src="x"]').count() == 0
    page.locator("#order .card").nth(1).hover()
    page.locator("#order .card").nth(1).locator("[data-act=earlier]").click()
    page.click("#pairs-box summary")
    assert HOSTILE in page.locator("#pairs").inner_text()
    assert page.title() == "CLPIPS studio"


def test_a_key_of_other_letters_is_refused_at_its_place_and_the_next_one_opens(browser: Any) -> None:
    key, line = new_key("ada", "studio", ("score", "teach"))
    with listening(ColourEngine(), api_keys=line) as url, page_of(browser, url, **DESK) as page:
        page.fill("#key-input", "schlüssel €")
        page.click("#key button")
        assert page.evaluate("() => document.querySelector('#key-input').validity.patternMismatch")
        page.fill("#key-input", f" {key} ")
        page.click("#key button")
        drop(page, PICTURES[:3])
        assert wait_for_order(page, 2) == list("ab")


def test_the_page_is_not_framed(browser: Any, service: str) -> None:
    context = browser.new_context()
    page = context.new_page()
    page.route(
        "http://other.test/",
        lambda route: route.fulfill(body=f'<iframe src="{service}/studio"></iframe>', content_type="text/html"),
    )
    page.goto("http://other.test/")
    page.wait_for_timeout(500)
    assert [frame.url for frame in page.frames if frame.url.startswith(service)] == []
    context.close()
