"""A real Chromium for the pages' tests: found by `CLPIPS_TEST_CHROMIUM`, kept from every host but the service."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.support.services import base64_of

CHROMIUM = os.environ.get("CLPIPS_TEST_CHROMIUM", "")
ARGUMENTS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
AXE = Path(__file__).parent / "clients" / "node_modules" / "axe-core" / "axe.min.js"

needs_chromium = pytest.mark.skipif(
    not CHROMIUM, reason="needs Chromium: apt-get install chromium; export CLPIPS_TEST_CHROMIUM=/usr/bin/chromium"
)
needs_axe = pytest.mark.skipif(not AXE.exists(), reason="needs axe-core: `make clients` installs it, with npm")


@contextmanager
def browsing() -> Iterator[Any]:
    """A browser with a new profile of its own, until the end."""
    from playwright.sync_api import sync_playwright  # not where no browser is

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)
        try:
            yield browser
        finally:
            browser.close()


@contextmanager
def page_of(
    browser: Any,
    url: str,
    fragment: str = "",
    watch: Callable[[Any], None] = lambda _: None,
    *,
    may_be_away: bool = False,
    **options: Any,
) -> Iterator[Any]:
    """The studio, which reaches the service at `url` and nothing else; whatever goes wrong in it fails the test.

    `fragment` is the end of its address, from `#` on; `watch` is called with each request. `may_be_away` says that the
    service may not answer for a while, which browsers print.
    """
    wrong: list[str] = []
    own = urlsplit(url).netloc
    with TemporaryDirectory() as downloads:
        context = browser.new_context(accept_downloads=True, reduced_motion="reduce", **options)
        context.set_default_timeout(30_000)

        def keep_in(route: Any) -> None:
            watch(route.request)
            if urlsplit(route.request.url).netloc == own:
                route.continue_()
            else:
                wrong.append(f"asked for {route.request.url}")
                route.abort()

        context.route("**/*", keep_in)
        page = context.new_page()
        page.on("filechooser", lambda _: None)  # from now on no dialog of the system's opens
        page.on("pageerror", lambda error: wrong.append(f"failed with {error}"))
        page.on("console", lambda said: wrong.extend(_error(said, away=may_be_away)))
        page.downloads_here = Path(downloads)
        page.goto(f"{url}/studio{fragment}")
        try:
            yield page
        finally:
            context.close()
    assert wrong == []


def drop(page: Any, files: list[tuple[str, bytes]], *, on: str = "body") -> None:
    """Drop files on an element, as from a file manager."""
    carried = [{"name": name, "base64": base64_of(content)} for name, content in files]
    page.evaluate(
        """([files, on]) => {
            const carried = new DataTransfer();
            for (const { name, base64 } of files) {
                const bytes = Uint8Array.from(atob(base64), (character) => character.charCodeAt(0));
                carried.items.add(new File([bytes], name));
            }
            const how = { dataTransfer: carried, bubbles: true, cancelable: true };
            for (const type of ["dragenter", "dragover", "drop"])
                document.querySelector(on).dispatchEvent(new DragEvent(type, how));
        }""",
        [carried, on],
    )


def drop_from(page: Any, folder: Path) -> None:
    """Drop the files of a folder on the page, in the order of their names, as the system does: through no script."""
    data = {"items": [], "files": [str(path) for path in sorted(folder.iterdir())], "dragOperationsMask": 1}
    size = page.viewport_size
    where = {"x": size["width"] // 2, "y": size["height"] // 2, "data": data}
    pointer = page.context.new_cdp_session(page)
    for kind in ("dragEnter", "dragOver", "drop"):
        pointer.send("Input.dispatchDragEvent", {"type": kind, **where})


def order_of(page: Any) -> list[str]:
    """The names of the candidates in the person's order, without what is behind the dot."""
    names: list[str] = page.locator("#order .card .name").all_text_contents()  # those out of sight have no inner text
    return [name.partition(".")[0] for name in names]


def wait_for_order(page: Any, count: int) -> list[str]:
    """The order, once all candidates are in it and drawn."""
    page.locator("#order .card .picture img").nth(count - 1).wait_for()
    return order_of(page)


def _error(said: Any, *, away: bool) -> list[str]:
    """What a page has printed as an error; a browser does so itself for every answer that is one, or does not come."""
    usual = "status of" in said.text or (away and "net::ERR" in said.text)
    return [f"printed {said.text}"] if said.type == "error" and not usual else []


def scroll_tasks(page: Any, pixels: int = 6000) -> list[float]:
    """Milliseconds of processor time of each task of the page's main thread, while a person scrolls through it.

    Of a trace, in the thread's own time: what else the machine does at that moment does not count.
    """
    tracing = page.context.new_cdp_session(page)
    events: list[Any] = []
    done: list[bool] = []
    tracing.on("Tracing.dataCollected", lambda some: events.extend(some["value"]))
    tracing.on("Tracing.tracingComplete", lambda _: done.append(True))
    categories = ["toplevel", "devtools.timeline", "disabled-by-default-devtools.timeline", "__metadata"]
    tracing.send("Tracing.start", {"traceConfig": {"includedCategories": categories}, "transferMode": "ReportEvents"})
    size = page.viewport_size
    middle = {"x": size["width"] // 2, "y": size["height"] // 2}
    for distance in (-pixels, pixels):
        gesture = {**middle, "yDistance": distance, "speed": 3000, "gestureSourceType": "mouse"}
        tracing.send("Input.synthesizeScrollGesture", gesture)
    tracing.send("Tracing.end")
    while not done:
        page.wait_for_timeout(50)
    main = [
        (event["pid"], event["tid"])
        for event in events
        if event["name"] == "thread_name" and event["args"]["name"] == "CrRendererMain"
    ]
    return [
        event["tdur"] / 1000
        for event in events
        if event["name"] == "RunTask" and "tdur" in event and (event["pid"], event["tid"]) in main
    ]
