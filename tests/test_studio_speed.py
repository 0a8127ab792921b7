"""The studio with many pictures and with large ones: it scrolls evenly, and a first order stands soon."""

from pathlib import Path
from typing import Any

import numpy as np

from clpips.models.engines.contract import Engine
from tests.support import studio
from tests.support.browser import drop, drop_from, needs_chromium, page_of, scroll_tasks, wait_for_order
from tests.support.pictures import encode, picture
from tests.support.services import listening
from tests.support.studio import DESK, PICTURES, grey

pytestmark = needs_chromium

browser = studio.browser
service = studio.service


def test_two_hundred_candidates_scroll_without_a_frame_that_is_late(browser: Any, service: str) -> None:
    many = [(f"{place}.png", grey(20 + place)) for place in range(200)]
    with page_of(browser, service, **DESK) as page:
        drop(page, [PICTURES[0], *many])
        page.locator("#order .card .picture img").nth(199).wait_for()
        tasks = scroll_tasks(page)
        assert len(tasks) > 100
        late = [task for task in tasks if task > 1000 / 60]
        assert len(late) <= len(tasks) // 100, late


def test_a_first_order_of_twenty_large_pictures_stands_soon(browser: Any, engine: Engine, tmp_path: Path) -> None:
    """Within ten times what it may take on two idle cores: `loadtest/bench_studio.py` measures it."""
    target = picture(1, 1024)
    for place in range(20):
        (tmp_path / f"{place:02}.png").write_bytes(encode(np.roll(target, 16 * place, axis=1), compress_level=1))
    with listening(engine) as url, page_of(browser, url, **DESK) as page:
        page.evaluate("() => addEventListener('drop', () => { window.dropped = performance.now(); }, true)")
        drop_from(page, tmp_path)
        assert wait_for_order(page, 19)[0] == "01"
        assert page.evaluate("() => performance.now() - window.dropped") < 20_000


def test_large_pictures_go_few_at_a_time_and_fewest_at_first(browser: Any, service: str, tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (1024, 1024, 3), np.uint8)
    for place in range(9):  # 3 MB each: they cannot be compressed
        (tmp_path / f"{place}.png").write_bytes(encode(np.roll(noise, place, axis=1), compress_level=1))
    ranked: list[int] = []

    def note(answer: Any) -> None:
        if answer.url.endswith("/rank"):
            ranked.append(len(answer.json()["ranking"]))

    with page_of(browser, service, **DESK) as page:
        page.on("response", note)
        drop_from(page, tmp_path)
        wait_for_order(page, 8)
        page.wait_for_load_state("networkidle")
    assert ranked[0] == 1
    assert sorted(ranked) == [1, 1, 2, 2, 2, 8]  # and all of them, by their names


def test_what_waits_is_drawn_once_and_nothing_moves_for_who_wants_no_motion(browser: Any, service: str) -> None:
    with page_of(browser, service, **DESK) as page:
        page.route("**/rank", lambda _: None)  # no answer comes
        drop(page, PICTURES)
        page.locator("#waiting-shots img").nth(4).wait_for()
        page.evaluate("() => { window.first = document.querySelector('#waiting-shots li img'); }")
        drop(page, [("more.png", grey(90))])
        page.locator("#waiting-shots img").nth(5).wait_for()
        assert page.evaluate("() => document.querySelector('#waiting-shots li img') === window.first")
        assert page.evaluate("() => document.getAnimations().length") == 0
