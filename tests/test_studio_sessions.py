"""A session that a tool feeds, in the studio: live in every browser, kept over a kill, and opened by its link alone."""

import re
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from subprocess import Popen
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import httpx
import pytest

from clpips.models.engines.contract import Engine
from clpips.service.admission.keys import new_key
from tests.support import studio
from tests.support.browser import needs_chromium, order_of, page_of, wait_for_order
from tests.support.colours import ColourEngine
from tests.support.pictures import encode, picture, variation
from tests.support.processes import environment, wait_for_url
from tests.support.services import listening
from tests.support.studio import DESK, grey

pytestmark = needs_chromium

PATIENT = 60.0  # seconds, on a machine that is busy with something else
HEAT = "() => document.querySelector('#viewer canvas.heat').toDataURL()"  # what is drawn of a map
HOSTILE = '<img src=x onerror="document.title=1">'

browser = studio.browser


class Fed(NamedTuple):
    """A session, as the tool sees it that feeds it."""

    service: str
    id: str
    token: str
    link: str  # of the page, behind `/studio`

    def add(self, level: int, prompt: str) -> None:
        files = [("candidates", grey(level))]
        path = f"{self.service}/sessions/{self.id}/candidates"
        httpx.post(path, files=files, data={"prompts": f'["{prompt}"]'}, timeout=PATIENT).raise_for_status()

    def state(self) -> Any:
        return httpx.get(f"{self.service}/sessions/{self.id}", timeout=PATIENT).raise_for_status().json()


def feed(service: str, profile: str = "ada", title: str = "Night") -> Fed:
    httpx.post(f"{service}/profiles", json={"name": profile}, timeout=PATIENT).raise_for_status()
    target, options = {"target": grey(0)}, {"profile": profile, "title": title}
    made = httpx.post(f"{service}/sessions", files=target, data=options, timeout=PATIENT)
    told = made.raise_for_status().json()
    fed = Fed(service, told["session"], told["token"], "#" + told["url"].partition("#")[2])
    for place, name in enumerate("abcd"):
        fed.add(40 + 40 * place, name)
    return fed


@pytest.fixture
def fed() -> Iterator[Fed]:
    with listening(ColourEngine()) as url:
        yield feed(url)


def best(page: Any, name: str) -> None:
    page.locator("#order .card .picture", has=page.locator("img")).first.wait_for()
    card = page.locator(f'#order .card:has(.name:text-is("{name}"))')
    card.hover()
    card.locator("[data-act=best]").click()


def test_what_a_tool_sends_is_seen_at_once_in_the_metrics_order(browser: Any, fed: Fed) -> None:
    with page_of(browser, fed.service, fragment=fed.link, **DESK) as page:
        assert wait_for_order(page, 4) == list("abcd")
        page.locator('#live:text-is("live")').wait_for()
        assert page.title() == "Night · CLPIPS studio"
        fed.add(60, "ab")
        page.locator('#order .card:has(.name:text-is("ab"))').wait_for(timeout=2_000)
        assert wait_for_order(page, 5) == ["a", "ab", "b", "c", "d"]


def test_an_order_teaches_the_sessions_profile_and_is_taken_back(browser: Any, fed: Fed) -> None:
    with page_of(browser, fed.service, fragment=fed.link, **DESK) as page:
        wait_for_order(page, 4)
        best(page, "c")
        page.click("#teach-button")
        page.locator("#lesson h2").wait_for()
        assert fed.state()["order"]["ranks"] == {"0": 2, "1": 2, "2": 1, "3": 2}
        page.click('#lesson button:has-text("Forget this")')
        page.locator('#lesson h2:has-text("Forgotten")').wait_for()
        assert fed.state()["order"] is None


def test_a_second_browser_sees_the_first_ones_change_within_a_second(browser: Any, fed: Fed) -> None:
    with (
        page_of(browser, fed.service, fragment=fed.link, **DESK) as first,
        page_of(browser, fed.service, fragment=fed.link, **DESK) as second,
    ):
        wait_for_order(first, 4)
        wait_for_order(second, 4)
        for page in (first, second):
            page.locator('#live:text-is("live")').wait_for()
        best(first, "d")
        second.evaluate("""() => new Promise((resolve) => {
            window.seen = new Promise((seen) => {
                const list = document.querySelector("#order");
                const look = () => list.firstElementChild.textContent.includes("d") && seen(Date.now());
                new MutationObserver(look).observe(list, { childList: true, subtree: true, characterData: true });
            });
            resolve();
        })""")
        with first.expect_response(lambda answer: answer.request.method == "PUT") as answered:
            first.click("#teach-button")
        assert answered.value.ok
        ended = """() => {
            const [order] = performance.getEntriesByType("resource").filter((one) => one.name.endsWith("/order"));
            return order && performance.timeOrigin + order.responseEnd;
        }"""
        sent = first.wait_for_function(ended).json_value()  # it is noted a moment after the answer
        assert second.evaluate("() => window.seen") - sent < 1000
        assert order_of(second) == list("dabc")


def test_markup_in_titles_and_prompts_stays_text(browser: Any) -> None:
    with listening(ColourEngine()) as url:
        fed = feed(url, title=HOSTILE)
        fed.add(200, HOSTILE.replace('"', '\\"'))
        with page_of(browser, url, fragment=fed.link, **DESK) as page:
            wait_for_order(page, 5)
            assert page.title() == f"{HOSTILE} · CLPIPS studio"
            assert HOSTILE in page.locator("#order .card .name").all_text_contents()
            assert page.locator('img[src="x"]').count() == 0


def test_the_token_leaves_the_address_and_travels_in_a_header(browser: Any, fed: Fed) -> None:
    asked: list[Any] = []
    with page_of(browser, fed.service, fragment=fed.link, watch=asked.append, **DESK) as page:
        wait_for_order(page, 4)
        assert fed.token not in page.url
        page.reload()
        wait_for_order(page, 4)
    assert not [request.url for request in asked if fed.token in request.url]
    to_session = [request for request in asked if f"/sessions/{fed.id}" in request.url]
    assert to_session
    assert {request.headers.get("x-session-token") for request in to_session} == {fed.token}


@pytest.mark.parametrize("token", ["wrong", "%E2%82%AC"])
def test_a_link_that_opens_nothing_says_so(browser: Any, fed: Fed, token: str) -> None:
    with page_of(browser, fed.service, fragment=f"#session={fed.id}&token={token}", **DESK) as page:
        page.locator("#ended").wait_for()
        assert page.locator("#live").inner_text() == "ended"
        assert not page.locator("#work").is_visible()
        page.click("#own")
        page.locator("#welcome").wait_for()
        assert "session" not in page.url


@pytest.fixture(scope="module")
def keyed(engine: Engine) -> Iterator[Fed]:
    """A session of a service that has API keys."""
    key, line = new_key("ada", "studio", ("score", "teach"))
    target, *candidates = (encode(variation(picture(1, 96), seed, 0.3)) for seed in range(4))
    with listening(engine, api_keys=line) as url:
        with httpx.Client(base_url=url, headers={"authorization": f"Bearer {key}"}, timeout=PATIENT) as client:
            told = client.post("/sessions", files={"target": target}).raise_for_status().json()
            files = [("candidates", one) for one in candidates]
            client.post(f"/sessions/{told['session']}/candidates", files=files).raise_for_status()
        yield Fed(url, told["session"], told["token"], "#" + told["url"].partition("#")[2])


def test_a_link_draws_heat_maps_where_there_are_keys(browser: Any, keyed: Fed) -> None:
    asked: list[Any] = []
    with page_of(browser, keyed.service, fragment=keyed.link, watch=asked.append, **DESK) as page:
        wait_for_order(page, 3)
        page.locator("#order .card .picture").first.click()
        page.locator("#viewer").get_by_text("Heat map", exact=True).click()
        page.locator("#viewer .about", has_text="Distance").wait_for()
        whole = page.evaluate(HEAT)
        page.locator("#viewer select").select_option("2")
        page.wait_for_function(f"before => ({HEAT})() !== before", arg=whole)
        assert page.locator("#viewer .fault").count() == 0
    drawn = [request for request in asked if "/heatmap" in request.url]
    assert {urlsplit(request.url).path for request in drawn} == {f"/sessions/{keyed.id}/heatmap"}
    assert {request.headers.get("x-session-token") for request in drawn} == {keyed.token}
    assert all(re.fullmatch("[0-9a-f]{64}", request.headers["x-target-hash"]) for request in drawn)
    assert not [request for request in asked if "authorization" in request.headers]


def test_a_heat_map_of_pictures_that_the_service_has_given_up_says_so(browser: Any, keyed: Fed) -> None:
    with page_of(browser, keyed.service, fragment=keyed.link, **DESK) as page:
        wait_for_order(page, 3)
        gone = {"type": "urn:problem-type:clpips:images-not-held", "title": "", "status": 409, "detail": "for a tool"}
        page.route("**/heatmap*", lambda route: route.fulfill(status=409, json=gone))
        page.locator("#order .card .picture").first.click()
        page.locator("#viewer").get_by_text("Heat map", exact=True).click()
        page.locator("#viewer .fault", has_text="The service no longer holds what it needs for a heat map").wait_for()


def test_a_session_that_is_deleted_keeps_its_pictures_in_sight_and_says_so(browser: Any, fed: Fed) -> None:
    with page_of(browser, fed.service, fragment=fed.link, **DESK) as page:
        assert wait_for_order(page, 4) == list("abcd")
        httpx.delete(f"{fed.service}/sessions/{fed.id}").raise_for_status()
        page.locator("#ended").wait_for()
        assert order_of(page) == list("abcd")
        assert not page.locator("#add").is_visible()
        assert page.locator("#fault").inner_text() == ""


def test_pictures_whose_answer_was_lost_are_sent_again_and_added_once(browser: Any, fed: Fed) -> None:
    lost: list[int] = []

    def lose_the_first(route: Any) -> None:
        if lost:
            route.fallback()
            return
        lost.append(route.fetch().status)  # the service has taken them
        route.abort("connectionreset")

    with page_of(browser, fed.service, fragment=fed.link, may_be_away=True, **DESK) as page:
        wait_for_order(page, 4)
        page.route("**/candidates*", lose_the_first)
        with page.expect_file_chooser() as chooser:
            page.click("#add")
        files = [{"name": f"{level}.png", "mimeType": "image/png", "buffer": grey(level)} for level in (60, 100)]
        with page.expect_response(lambda answer: "/candidates" in answer.url) as answered:
            chooser.value.set_files(files)
        assert (lost, answered.value.ok) == ([200], True)
        page.locator('#order .card:has(.name:text-is("100.png"))').wait_for()  # the event came before the answer
        assert wait_for_order(page, 6) == ["a", "60", "b", "100", "c", "d"]
        assert len(fed.state()["candidates"]) == 6


def test_what_has_come_meanwhile_stays_when_a_change_is_taken_back(browser: Any, fed: Fed) -> None:
    with page_of(browser, fed.service, fragment=fed.link, **DESK) as page:
        wait_for_order(page, 4)
        page.locator('#live:text-is("live")').wait_for()
        best(page, "d")
        fed.add(60, "ab")
        page.locator('#order .card:has(.name:text-is("ab"))').wait_for()
        page.click("#undo")
        assert order_of(page) == ["a", "ab", "b", "c", "d"]
        page.locator("#order .card .picture").nth(4).focus()
        page.keyboard.press(" ")
        page.keyboard.press("Home")
        fed.add(100, "bc")
        page.locator('#order .card:has(.name:text-is("bc"))').wait_for()
        page.keyboard.press("Escape")
        assert order_of(page) == ["a", "ab", "b", "bc", "c", "d"]


def test_an_order_for_a_session_that_ends_meanwhile_is_told_so_in_a_persons_words(browser: Any, fed: Fed) -> None:
    with page_of(browser, fed.service, fragment=fed.link, **DESK) as page:
        wait_for_order(page, 4)
        page.route("**/events*", lambda route: route.abort())  # the page is not told of the end
        page.route("**/order", lambda route: (httpx.delete(f"{fed.service}/sessions/{fed.id}"), route.fallback()))
        best(page, "d")
        page.click("#teach-button")
        page.locator("#ended").wait_for()
        assert not page.locator("#teach").is_visible()
        assert "POST" not in page.locator("body").inner_text()
        assert order_of(page) == list("dabc")


def test_a_killed_service_loses_no_order_and_the_page_goes_on(browser: Any, tmp_path: Path) -> None:
    def start(port: str) -> tuple[Popen[bytes], str]:
        log = tmp_path / f"log-{time.monotonic_ns()}"
        with log.open("wb") as stream:
            variables = environment(CLPIPS_DATABASE_URL=f"sqlite:///{tmp_path}/clpips.db", CLPIPS_LOG_FORMAT="json")
            command = [sys.executable, "-m", "clpips", "serve", "--port", port]
            process = Popen(command, env=variables, stdout=stream, stderr=stream, cwd=tmp_path)
        return process, wait_for_url(process, log)

    process, url = start("0")
    try:
        fed = feed(url)
        with page_of(browser, url, fragment=fed.link, may_be_away=True, **DESK) as page:
            wait_for_order(page, 4)
            best(page, "d")
            page.click("#teach-button")
            page.locator("#lesson h2").wait_for()
            process.send_signal(signal.SIGKILL)
            process.wait()
            page.locator('#live:not(:text-is("live"))').wait_for()
            process, again = start(url.rpartition(":")[2])
            assert again == url
            page.locator('#live:text-is("live")').wait_for()
            assert order_of(page) == list("dabc")
            page.reload()
            page.locator("#order .card").nth(3).wait_for()
            assert order_of(page) == list("dabc")
            assert fed.state()["order"]["kind"] == "best"
            card = page.locator('#order .card:has(.name:text-is("b"))')  # pictures are gone; the order goes on
            card.hover()
            card.locator("[data-act=best]").click()
            page.click("#teach-button")
            page.locator("#lesson h2").wait_for()
            assert fed.state()["order"]["ranks"]["1"] == 1
    finally:
        process.kill()
        process.wait()
