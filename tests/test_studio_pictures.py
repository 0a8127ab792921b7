"""Pictures that come to the studio: more of them, another target, faulty files, and places that they hold meanwhile."""

from typing import Any

from tests.support import studio
from tests.support.browser import drop, needs_chromium, order_of, page_of, wait_for_order
from tests.support.studio import DESK, PICTURES, grey

pytestmark = needs_chromium

browser = studio.browser
service = studio.service
page = studio.page
ordered = studio.ordered


def test_more_pictures_come_in_where_the_metric_has_them_and_my_order_stays(ordered: Any) -> None:
    page = ordered
    page.locator('#order .card:has-text("e.png")').hover()
    page.locator('#order .card:has-text("e.png") [data-act=best]').click()
    drop(page, [("ab.png", grey(60))])
    assert wait_for_order(page, 6) == ["e", "a", "ab", "b", "c", "d"]


def test_another_target_has_another_order(ordered: Any) -> None:
    drop(ordered, [("white.png", grey(255))], on="#target")
    ordered.locator('#order .card:nth-child(1):has-text("e.png")').wait_for()
    assert order_of(ordered) == list("edcba")


def test_a_candidate_becomes_the_target_and_the_target_a_candidate(ordered: Any) -> None:
    page = ordered
    page.click("#target button")
    assert page.locator("#targets .choice span").all_inner_texts() == [name for name, _ in PICTURES[1:]]
    page.keyboard.press("Escape")
    page.click("#target button")
    page.click('#targets .choice:has-text("e.png")')
    page.locator('#order .card:nth-child(1):has-text("d.png")').wait_for()
    assert wait_for_order(page, 5) == ["d", "c", "b", "a", "target"]
    assert page.locator("#target .name").inner_text() == "e.png"
    assert page.evaluate("() => document.activeElement.textContent") == "Change"
    page.click("#target button")
    with page.expect_file_chooser() as chooser:
        page.click('#targets button:has-text("Another file")')
    chooser.value.set_files([{"name": "white.png", "mimeType": "image/png", "buffer": grey(255)}])
    page.locator('#target .name:text-is("white.png")').wait_for()


def test_a_file_that_is_no_picture_is_told_at_its_place_and_never_shown(page: Any) -> None:
    script = b"<svg xmlns='http://www.w3.org/2000/svg'><script>document.title = 'run'</script></svg>"
    drop(page, [*PICTURES[:3], ("evil.png", script), ("broken.png", PICTURES[1][1][:60])])
    assert wait_for_order(page, 2) == ["a", "b"]
    faults = page.locator("#faulty li")
    faults.nth(1).wait_for()
    assert sorted(faults.locator("strong").all_inner_texts()) == ["broken.png", "evil.png"]
    assert all(faults.locator("span").all_inner_texts())
    sources = page.evaluate("() => [...document.images].map((image) => image.src.split(':')[0])")
    assert set(sources) == {"blob"}
    assert page.title() == "CLPIPS studio"
    faults.nth(0).locator("button").click()
    faults.nth(0).locator("button").click()
    assert faults.count() == 0


def test_pictures_hold_their_places_while_they_arrive(browser: Any, service: str) -> None:
    with page_of(browser, service, **DESK) as page:
        drop(page, [PICTURES[0]])
        page.locator("#target img").wait_for()
        page.evaluate("""() => {
            window.jumps = [];
            const note = (list) => window.jumps.push(...list.getEntries().map((one) => one.value));
            new PerformanceObserver(note).observe({ type: "layout-shift" });
        }""")
        drop(page, PICTURES[1:])
        wait_for_order(page, 5)
        page.wait_for_timeout(300)
        assert sum(page.evaluate("() => window.jumps")) < 0.05
