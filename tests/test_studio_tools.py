"""What the studio offers beside the order: a closer look, plain LPIPS, files to carry away, and profiles."""

import json
from pathlib import Path
from typing import Any

import httpx

from tests.support import studio
from tests.support.browser import needs_chromium

pytestmark = needs_chromium

browser = studio.browser
service = studio.service
page = studio.page
ordered = studio.ordered


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


def test_the_menu_of_layers_has_as_many_as_the_backbone_that_is_served(ordered: Any) -> None:
    page = ordered

    def of_squeezenet(route: Any) -> None:
        answer = route.fetch()
        assert answer.headers["clpips-layers"] == "5"
        route.fulfill(response=answer, headers={**answer.headers, "clpips-layers": "7"})

    page.locator("#order .card .picture").first.click()
    page.locator("#viewer").get_by_text("Heat map", exact=True).click()
    page.locator("#viewer .shares li").first.wait_for()
    options = page.locator("#viewer select option")
    page.locator("#viewer select option[value='5']").wait_for(state="attached")
    assert options.all_inner_texts()[1::4] == ["layer 1: edges, colours", "layer 5: things"]
    page.locator("#viewer").get_by_text("Swipe", exact=True).click()
    page.route("**/heatmap", of_squeezenet)
    page.locator("#viewer").get_by_text("Heat map", exact=True).click()
    page.locator("#viewer select option[value='7']").wait_for(state="attached")
    assert options.all_inner_texts() == ["all layers", *(f"layer {layer} of 7" for layer in range(1, 8))]


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
