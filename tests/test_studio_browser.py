"""The studio in a real browser: a whole session by mouse, by touch and by keyboard alone, and what it must not do."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from clpips.models.engines.contract import Engine
from clpips.service.admission.keys import new_key
from tests.support.browser import (
    AXE,
    browsing,
    drop,
    drop_from,
    needs_axe,
    needs_chromium,
    order_of,
    page_of,
    scroll_tasks,
    wait_for_order,
)
from tests.support.colours import ColourEngine
from tests.support.pictures import encode, picture
from tests.support.services import listening

pytestmark = needs_chromium

PHONE: dict[str, Any] = {
    "viewport": {"width": 360, "height": 740},
    "has_touch": True,
    "is_mobile": True,
    "device_scale_factor": 2,
}
DESK: dict[str, Any] = {"viewport": {"width": 1280, "height": 900}}
HOSTILE = '<img src=x onerror="document.title=1">.png'


def grey(level: int) -> bytes:
    return encode(np.full((48, 64, 3), level, np.uint8))


# The target is black: the darker a candidate, the nearer.
PICTURES = [("target.png", grey(0)), *((f"{name}.png", grey(40 + 40 * place)) for place, name in enumerate("abcde"))]


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with browsing() as browser:
        yield browser


@pytest.fixture
def service() -> Iterator[str]:
    with listening(ColourEngine()) as url:
        yield url


@pytest.fixture
def page(browser: Any, service: str) -> Iterator[Any]:
    with page_of(browser, service, **DESK) as page:
        yield page


@pytest.fixture
def ordered(page: Any) -> Any:
    drop(page, PICTURES)
    assert wait_for_order(page, 5) == list("abcde")
    return page


def ranks_taught(service: str, profile: str, number: int = 1) -> dict[str, int]:
    """What the service keeps of a ranking: a rank for each candidate, by its name."""
    kept = httpx.get(f"{service}/profiles/{profile}/rankings/{number}").raise_for_status().json()
    # Candidates stand in the order in which they were dropped.
    return dict(zip("abcde", kept["ranks"], strict=False))


def centre(page: Any, name: str) -> tuple[float, float]:
    box = page.locator(f'#order .card:has-text("{name}.png") .picture').bounding_box()
    return box["x"] + box["width"] / 2, box["y"] + box["height"] / 3


def left_edge(page: Any, name: str) -> tuple[float, float]:
    box = page.locator(f'#order .card:has-text("{name}.png") .picture').bounding_box()
    return box["x"] + 12, box["y"] + box["height"] / 3


def lesson(page: Any) -> str:
    page.locator("#lesson h2").wait_for()
    text: str = page.locator("#lesson").inner_text()
    return text


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


def test_a_profile_is_taught_in_a_few_acts_with_three_pictures(page: Any, service: str) -> None:
    drop(page, PICTURES[:3])
    wait_for_order(page, 2)
    page.locator('#order .card:has-text("b.png")').hover()
    page.locator('#order .card:has-text("b.png") [data-act=earlier]').click()
    page.click("#teach-button")
    assert "my-eye had guessed 0 % of your pairs" in lesson(page)
    assert ranks_taught(service, "my-eye") == {"a": 2, "b": 1}


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


def test_looking_closely_compares_at_one_zoom_and_shows_where_they_differ(ordered: Any) -> None:
    page = ordered
    page.locator('#order .card:has-text("b.png") .picture').click()
    viewer = page.locator("#viewer")
    drawn = "() => [...document.querySelectorAll('.pane canvas')].map((canvas) => canvas.width)"
    page.wait_for_timeout(200)
    assert page.evaluate(drawn)[:2] == [64, 64]
    page.keyboard.press("+")
    shapes = page.evaluate(
        "() => [...document.querySelectorAll('.pane canvas')].slice(0, 2).map((one) => getComputedStyle(one).transform)"
    )
    assert len(set(shapes)) == 1
    assert shapes[0].startswith("matrix(1.5")
    viewer.get_by_text("Heat map", exact=True).click()
    page.locator("#viewer .shares li").first.wait_for()
    assert page.evaluate(drawn)[2] == 64
    assert "Distance" in page.locator("#viewer .about").inner_text()
    page.locator("#viewer select").select_option("3")
    page.locator("#viewer input[type=range]").fill("20")
    assert page.evaluate("() => getComputedStyle(document.querySelector('.heat')).opacity") == "0.2"
    viewer.get_by_text("Swipe", exact=True).click()
    page.locator("#viewer input[type=range]").fill("25")
    assert "25%" in page.evaluate("() => getComputedStyle(document.querySelector('.pane.candidate')).clipPath")
    viewer.get_by_text("Blink", exact=True).click()
    faces = set()
    for _ in range(2):
        faces.add(page.locator(".stage").get_attribute("data-face"))
        viewer.get_by_text("Flip", exact=True).click()
    assert faces == {"target", "candidate"}


def test_plain_lpips_stands_beside_mine_at_a_press(ordered: Any) -> None:
    ordered.locator("#shown").get_by_text("plain LPIPS").click()
    assert ordered.locator("#their-name").inner_text() == "LPIPS"
    assert ordered.locator("#order .card .metric").first.inner_text().startswith("LPIPS")


def test_what_is_on_the_table_is_carried_away_as_csv_json_and_a_contact_sheet(ordered: Any) -> None:
    page = ordered

    def saved(button: str) -> bytes:
        page.locator("#export").evaluate("(menu) => { menu.open = true; }")
        with page.expect_download() as download:
            page.click(button)
        path: Path = page.downloads_here / download.value.suggested_filename
        download.value.save_as(path)
        return path.read_bytes()

    rows = saved("#save-csv").decode().splitlines()
    assert [row.split(",")[:3] for row in rows[1:]] == [
        [f"{name}.png", str(rank), str(rank)] for rank, name in enumerate("abcde", 1)
    ]
    found = json.loads(saved("#save-json"))
    assert [one["name"] for one in found["candidates"]] == [f"{name}.png" for name in "abcde"]
    assert found["candidates"][0]["distance"] > 0
    assert saved("#save-sheet").startswith(b"\x89PNG")


def test_profiles_are_made_chosen_carried_away_and_brought_back(ordered: Any, service: str) -> None:
    page = ordered
    page.click("#profile")
    dialog = page.locator("#profiles")
    dialog.locator("input[name=name]").fill("ada")
    dialog.get_by_text("Make", exact=True).click()
    dialog.locator('button[aria-pressed=true]:has-text("ada")').wait_for()
    with page.expect_download() as download:
        dialog.get_by_text("Export weights").click()
    path = page.downloads_here / "copy.safetensors"
    download.value.save_as(path)
    with page.expect_file_chooser() as chooser:
        dialog.get_by_text("Import weights").click()
    chooser.value.set_files(path)
    dialog.locator('button[aria-pressed=true]:has-text("copy")').wait_for()
    assert {one["name"] for one in httpx.get(f"{service}/profiles").json()["profiles"]} == {"ada", "copy"}
    dialog.locator("input[name=name]").fill("no spaces")
    dialog.get_by_text("Make", exact=True).click()
    assert dialog.locator("input[name=name]:invalid").count() == 1


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
