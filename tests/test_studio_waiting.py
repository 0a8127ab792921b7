"""The studio where something is in the way: a key that is asked for, a service that is busy, a name that is taken."""

import json
import re
import time
from pathlib import Path
from typing import Any

import httpx

from clpips.service.admission.keys import new_key
from tests.support import studio
from tests.support.browser import drop, needs_chromium, order_of, page_of, wait_for_order
from tests.support.colours import ColourEngine, teach
from tests.support.services import base64_of, listening
from tests.support.studio import DESK, PHONE, grey

pytestmark = needs_chromium

PICTURES = studio.PICTURES[:4]

# Keeps each thing that the page says of a wait: some stand for a second only, in which nobody may have looked.
NOTE_WAITS = """() => {
    window.waits = [];
    const line = document.querySelector("#waiting");
    const note = () => line.textContent === "" || waits.push(line.textContent);
    new MutationObserver(note).observe(line, { childList: true, characterData: true, subtree: true });
}"""

browser = studio.browser
service = studio.service
page = studio.page


def paste(page: Any, files: list[tuple[str, bytes]]) -> None:
    """Paste pictures from the clipboard, where screenshots are all called `image.png`."""
    carried = [base64_of(content) for _, content in files]
    page.evaluate(
        """(files) => {
            const clipboardData = new DataTransfer();
            for (const base64 of files) {
                const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
                clipboardData.items.add(new File([bytes], "image.png", { type: "image/png" }));
            }
            const how = { clipboardData, bubbles: true, cancelable: true };
            document.body.dispatchEvent(new ClipboardEvent("paste", how));
        }""",
        carried,
    )


def test_screenshots_are_pasted_and_are_told_apart_by_their_moments(page: Any) -> None:
    drop(page, PICTURES[:2])
    wait_for_order(page, 1)
    paste(page, PICTURES[2:3])
    names = wait_for_order(page, 2)
    assert names[0] == "a"
    assert names[1].startswith("pasted ")


def test_a_key_is_asked_for_once_is_asked_again_where_it_is_wrong_and_goes_with_the_tab(browser: Any) -> None:
    key, line = new_key("ada", "studio", ("score", "teach"))
    with listening(ColourEngine(), api_keys=line) as url, page_of(browser, url, **DESK) as page:
        assert "It stays in this tab" in page.locator("#key-why").inner_text()
        page.fill("#key-input", "clpips_wrong")
        page.click("#key button")
        page.locator('label:has-text("Another API key")').wait_for()
        assert "It stays in this tab" not in page.locator("#key-why").inner_text()
        page.fill("#key-input", key)
        page.click("#key button")
        drop(page, PICTURES)
        assert wait_for_order(page, 3) == list("abc")
        page.reload()
        drop(page, PICTURES)
        assert wait_for_order(page, 3) == list("abc")
        assert page.locator("#key-input").count() == 0
        other = page.context.new_page()
        other.goto(f"{url}/studio")
        other.locator("#key-input").wait_for()


def test_a_busy_service_is_a_wait_with_a_countdown_and_what_was_asked_is_asked_again(page: Any) -> None:
    refused: list[float] = []

    def refuse_once(route: Any) -> None:
        if refused:
            route.fallback()
            return
        refused.append(time.monotonic())
        problem = {"type": "urn:clpips:problem:overloaded", "title": "Overloaded", "detail": "later", "status": 503}
        route.fulfill(
            status=503,
            headers={"retry-after": "3", "content-type": "application/problem+json"},
            body=json.dumps(problem),
        )

    page.route("**/rank", refuse_once)
    page.evaluate(NOTE_WAITS)
    drop(page, PICTURES)
    assert wait_for_order(page, 3) == list("abc")
    assert time.monotonic() - refused[0] >= 3.0
    told = [re.fullmatch(r"The service is busy\. Trying again in (\d) s", one) for one in page.evaluate("waits")]
    left = [int(one[1]) for one in told if one is not None]
    assert len(left) == len(told) >= 2
    assert left == sorted(left, reverse=True)
    assert left[0] == 3
    assert page.locator("#waiting").inner_text() == ""
    assert page.locator("#fault").inner_text() == ""


def test_a_service_that_is_away_is_waited_for_however_long_it_takes(browser: Any, service: str) -> None:
    with page_of(browser, service, may_be_away=True, **DESK) as page:
        page.clock.install()
        page.context.set_offline(True)
        drop(page, PICTURES)
        for _ in range(12):
            page.locator("#waiting", has_text="The service does not answer. Trying again in").wait_for()
            page.clock.run_for(11_000)
        assert page.locator("#fault").inner_text() == ""
        page.context.set_offline(False)  # which the browser tells
        page.clock.run_for(1_500)
        assert wait_for_order(page, 3) == list("abc")


def test_a_file_that_is_gone_before_it_is_sent_is_told_so_at_its_place(
    browser: Any, service: str, tmp_path: Path
) -> None:
    for name, content in PICTURES:
        (tmp_path / name).write_bytes(content)
    with page_of(browser, service, may_be_away=True, **DESK) as page:
        page.context.set_offline(True)
        with page.expect_file_chooser() as chooser:
            page.click("#choose")
        chooser.value.set_files([tmp_path / name for name, _ in PICTURES])
        page.locator("#waiting", has_text="does not answer").wait_for()
        (tmp_path / "b.png").unlink()
        page.context.set_offline(False)
        page.locator("#faulty li", has_text="this file has changed or gone").wait_for()
        assert wait_for_order(page, 2) == ["a", "c"]


def test_the_first_picture_is_the_target_where_notes_come_before_it(page: Any) -> None:
    drop(page, [("README.txt", b"what these are"), ("first.png", grey(0)), *PICTURES[1:]])
    assert wait_for_order(page, 3) == list("abc")
    assert page.locator("#target .name").inner_text() == "first.png"
    assert "README.txt" in page.locator("#faulty").inner_text()


def test_a_name_of_the_services_own_is_refused_at_its_place_and_the_page_keeps_its_profile(
    page: Any, service: str
) -> None:
    drop(page, PICTURES)
    wait_for_order(page, 3)
    page.fill("#teach-name", "lpips")
    page.click("#teach-button")
    page.locator("#teach .fault", has_text="give yours another name").wait_for()
    assert page.locator("#profile .value").inner_text() == "balanced"
    assert httpx.get(f"{service}/profiles").json()["profiles"] == []
    page.fill("#teach-name", "ada")
    page.click("#teach-button")
    page.locator("#lesson h2").wait_for()
    assert page.locator("#teach .fault").inner_text() == ""
    assert httpx.get(f"{service}/profiles/ada").json()["rankings"] == 1


def test_a_profile_goes_back_to_a_version_before(browser: Any) -> None:
    with listening(ColourEngine()) as url:
        with httpx.Client(base_url=url, timeout=60) as client:
            client.post("/profiles", json={"name": "ada"}).raise_for_status()
            for seed in range(8):
                teach(client, seed)
            assert client.get("/profiles/ada").json()["version"] > 1
        with page_of(browser, url, **DESK) as page:
            page.click("#profile")
            dialog = page.locator("#profiles")
            dialog.locator('.choices button:has-text("ada")').click()
            first = dialog.locator(".versions li").filter(has_text="1: ")
            first.get_by_text("Use this").click()
            page.locator('#profile .version:text-is("v1")').wait_for()
            assert httpx.get(f"{url}/profiles/ada").json()["version"] == 1


def test_a_candidate_becomes_the_target_while_it_is_looked_at(page: Any) -> None:
    drop(page, PICTURES)
    wait_for_order(page, 3)
    page.locator("#order .card .picture").nth(2).click()
    page.locator("#viewer").get_by_label("Make this the target").click()
    page.locator('#target .name:text-is("c.png")').wait_for()
    page.locator('#order .card:first-child .name:text-is("b.png")').wait_for()
    assert order_of(page) == ["b", "a", "target"]


def test_an_order_of_a_session_with_shipped_weights_is_kept_and_teaches_nobody(browser: Any, service: str) -> None:
    made = httpx.post(f"{service}/sessions", files={"target": grey(0)}, data={"profile": "balanced"})
    told = made.raise_for_status().json()
    candidates = [("candidates", content) for _, content in PICTURES[1:]]
    httpx.post(f"{service}/sessions/{told['session']}/candidates", files=candidates).raise_for_status()
    fragment = "#" + told["url"].partition("#")[2]
    with page_of(browser, service, fragment=fragment, **DESK) as page:
        wait_for_order(page, 3)
        assert page.locator("#teach-button").inner_text() == "Keep my order"
        page.click("#teach-button")
        page.locator("#teach", has_text="Your order is kept. Nothing was taught").wait_for()


def test_the_head_stays_one_line_on_a_phone(browser: Any, service: str) -> None:
    httpx.post(f"{service}/profiles", json={"name": "a-rather-long-name-of-somebody"}).raise_for_status()
    with page_of(browser, service, **PHONE) as page:
        drop(page, PICTURES)
        wait_for_order(page, 3)
        page.click("#profile")
        page.locator("#profiles .choices button", has_text="a-rather-long").click()
        page.locator("#profiles header button").click()
        page.locator('#profile .value:has-text("a-rather")').wait_for()
        assert page.locator(".top").bounding_box()["height"] < 60
        assert page.evaluate("() => document.documentElement.scrollWidth <= innerWidth")
