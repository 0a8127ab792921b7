"""How soon the studio shows a first order, and how smoothly it scrolls: Chromium beside a real service on this machine.

    CLPIPS_TEST_CHROMIUM=/usr/bin/chromium python -m loadtest.bench_studio [--pictures 20] [--side 1024] [--rounds 5]

Browser and service share the machine's cores, as they do where a person tries it at home; over a network they do not,
and the network's time comes in. Prints seconds from the drop to the order with every picture drawn, and what scrolling
200 candidates costs the browser's main thread: its own processor time, a task at a time.
"""

import argparse
import json
import statistics
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from clpips.models.engines.opening import open_engine
from tests.support.browser import browsing, drop, drop_from, page_of, scroll_tasks, wait_for_order
from tests.support.pictures import encode, picture
from tests.support.services import listening

DESK: dict[str, Any] = {"viewport": {"width": 1280, "height": 900}}
MANY = 200


def pictures(count: int, side: int, seed: int) -> list[tuple[str, bytes]]:
    """A target and `count - 1` candidates, PNGs of `side` pixels a side: the target moved further and further."""
    target = picture(seed, side)
    moved = [np.roll(target, place * side // count, axis=1) for place in range(1, count)]
    return [
        ("target.png", encode(target)),
        *((f"{place}.png", encode(pixels)) for place, pixels in enumerate(moved, 1)),
    ]


def first_order(browser: Any, url: str, files: list[tuple[str, bytes]]) -> float:
    """Seconds from the drop to an order in which every picture is drawn; the clock is the page's."""
    with page_of(browser, url, **DESK) as page:
        page.evaluate("() => addEventListener('drop', () => { window.dropped = performance.now(); }, true)")
        with TemporaryDirectory() as folder:
            for place, (name, content) in enumerate(files):
                Path(folder, f"{place:03}-{name}").write_bytes(content)
            drop_from(page, Path(folder))
            wait_for_order(page, len(files) - 1)
        return float(page.evaluate("() => (performance.now() - window.dropped) / 1000"))


def scrolling(browser: Any, url: str) -> list[float]:
    """Milliseconds of the main thread's own time, for each of its tasks, while 200 candidates scroll by."""
    with page_of(browser, url, **DESK) as page:
        drop(page, pictures(1 + MANY, 96, 1))
        wait_for_order(page, MANY)
        return scroll_tasks(page)


def main() -> None:
    """Measure, and print a line of JSON for each figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=20, help="target and candidates")
    parser.add_argument("--side", type=int, default=1024, help="pixels")
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    engine = open_engine("onnx", "cpu")
    with browsing() as browser, listening(engine) as url:
        first_order(browser, url, pictures(3, 64, 0))  # the content network is loaded when it is first needed
        seconds = []
        for turn in range(arguments.rounds):
            files = pictures(arguments.pictures, arguments.side, 100 * (turn + 1))
            time.sleep(0.5)
            seconds.append(first_order(browser, url, files))
        print(json.dumps({"first order, seconds": seconds, "median": statistics.median(seconds)}))
        tasks = scrolling(browser, url)
        longest = sorted(tasks)[-5:]
        print(json.dumps({"tasks while 200 candidates scroll": len(tasks), "longest, ms": longest}))
    engine.close()


if __name__ == "__main__":
    main()
