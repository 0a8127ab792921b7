"""The studio for everybody: axe finds nothing in any of its states, light or dark, on a desk or a phone."""

from typing import Any

import pytest

from tests.support import studio
from tests.support.browser import AXE, drop, needs_axe, needs_chromium, page_of, wait_for_order
from tests.support.studio import DESK, PHONE, PICTURES, lesson

pytestmark = needs_chromium

browser = studio.browser
service = studio.service


@needs_axe
@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("device", [DESK, PHONE], ids=["desk", "phone"])
def test_axe_finds_nothing(browser: Any, service: str, scheme: str, device: dict[str, Any]) -> None:
    with page_of(browser, service, color_scheme=scheme, **device) as page:

        def check() -> None:
            page.evaluate(AXE.read_text())
            found = page.evaluate("() => axe.run({ resultTypes: ['violations'] })")
            faults = [(one["id"], [node["html"][:200] for node in one["nodes"]]) for one in found["violations"]]
            assert faults == []

        check()
        drop(page, PICTURES)
        wait_for_order(page, 5)
        page.click("#target button")
        page.locator("#targets h2").wait_for()
        check()
        page.keyboard.press("Escape")
        page.locator("#order .card .picture").nth(2).focus()
        page.keyboard.press("Alt+ArrowLeft")
        page.keyboard.press("t")
        page.locator("#order .card .picture").nth(4).focus()
        page.keyboard.press("x")
        check()
        page.fill("#teach-name", "ada")
        page.click("#teach-button")
        lesson(page)
        page.click("#lesson summary")
        check()
        page.locator("#order .card .picture").nth(0).focus()
        page.keyboard.press("Enter")
        for mode in ("Side by side", "Swipe", "Blink", "Heat map"):
            page.locator("#viewer").get_by_text(mode, exact=True).click()
            page.wait_for_timeout(100)
            check()
        page.keyboard.press("Escape")
        page.click("#profile")
        page.locator("#profiles h3").wait_for()
        check()
        page.keyboard.press("Escape")
        page.click('#lesson button:has-text("Ask me about two")')
        page.locator("#pair h2").wait_for()
        check()
