"""Every command of the README and of docs/ runs, in the order printed, and answers what is printed below it.

A page is read as a newcomer would read it: in a folder with a few images and a ranking file, with `clpips` on the path,
and with a service of its own where the page speaks to `localhost:8000`. JSON below a command shows the answer of that
command with other numbers and hashes: its fields must be those of the real one.
"""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.support.documents import PAGES, ROOT, Block, a_home, blocks, named
from tests.support.pictures import encode, picture, variation
from tests.support.processes import wait_for_url

ADDRESS = "localhost:8000"
LANGUAGES = {"bash", "python", "html", "json", "text", "bibtex", "{toctree}"}
RUN = {"bash", "python"}
REFUSED = 22  # curl's exit code for a status of 400 or more, with `fail-with-body`
MOST_NOT_RUN = 10


def runnable(page: Path) -> list[Block]:
    return [block for block in blocks(page) if block.language in RUN and block.reason is None and block.test is None]


READ = [page for page in PAGES if runnable(page)]


@pytest.mark.parametrize("page", READ, ids=named)
def test_every_block_of_a_page_runs_in_the_order_printed(page: Path, tmp_path: Path) -> None:
    lay_out(tmp_path)
    with a_service(tmp_path, wanted=any(ADDRESS in block.text for block in runnable(page))) as address:
        reader = Reader(tmp_path, address)
        for block in blocks(page):
            reader.read(block)


def test_every_block_says_what_it_is() -> None:
    unknown = [str(block) for page in PAGES for block in blocks(page) if block.language not in LANGUAGES]
    assert not unknown, f"fence them as one of {', '.join(sorted(LANGUAGES))}"


def test_what_is_not_run_is_little_and_says_why() -> None:
    skipped = [block for page in PAGES for block in blocks(page) if block.reason is not None]
    assert all(len(block.reason or "") > len("a reason") for block in skipped), "<!-- not run: REASON -->"
    assert len(skipped) <= MOST_NOT_RUN
    assert sum(len(runnable(page)) for page in PAGES) > 2 * len(skipped)


def test_what_another_test_runs_is_read_there() -> None:
    pages = {(page, block.test) for page in PAGES for block in blocks(page) if block.test is not None}
    assert pages
    for page, test in pages:
        assert f'"{page.name}"' in (ROOT / str(test)).read_text(), f"{test} does not read {named(page)}"


class Reader:
    """Somebody who pastes one block of a page after the other."""

    def __init__(self, folder: Path, address: str) -> None:
        self._folder = folder
        self._names = {ADDRESS: address}  # what is printed → what it is here
        self._answer: Any = None  # of the last command, where it was JSON

    def read(self, block: Block) -> None:
        if block.language == "json" and block.mark == "ranking file":
            for line in block.text.splitlines():
                json.loads(line)
        elif block.language == "json":
            self._compare(block)
        elif block.language in RUN:
            self._answer = self._run(block) if block.reason is None and block.test is None else None

    def _run(self, block: Block) -> Any:
        text = block.text
        for printed, real in self._names.items():
            text = text.replace(printed, real)
        command = ["bash", "-euo", "pipefail", "-c", text] if block.language == "bash" else [sys.executable, "-c", text]
        done = subprocess.run(
            command,
            cwd=self._folder,
            env=a_home(self._folder),
            capture_output=True,
            text=True,
            check=False,
        )
        expected = 0 if block.status is None else REFUSED
        assert done.returncode == expected, f"{block}\n{text}\n{done.stdout}{done.stderr}"
        try:
            answer = json.loads(done.stdout)
        except json.JSONDecodeError:
            return None
        assert block.status is None or answer["status"] == block.status, block
        return answer

    def _compare(self, block: Block) -> None:
        assert self._answer is not None, f"{block}: the block before it answers no JSON"
        printed = json.loads(block.text)
        for name in ("comparison", "session"):
            if isinstance(printed, dict) and name in printed:
                self._names[printed[name]] = self._answer[name]
        differing = list(differences(printed, self._answer, excerpt=block.mark == "excerpt"))
        assert not differing, f"{block}\n" + "\n".join(differing)


def differences(printed: Any, real: Any, *, excerpt: bool = False, place: str = "") -> Iterator[str]:
    """Where two answers differ in fields or kinds of values; null is of any kind, a list is like its first item."""
    kinds = [
        "object" if isinstance(value, dict) else "number" if type(value) in (int, float) else type(value).__name__
        for value in (printed, real)
    ]
    if printed is None or real is None:
        return
    if kinds[0] != kinds[1]:
        yield f"{place}: {kinds[0]} is printed, {kinds[1]} is answered"
    elif isinstance(printed, dict):
        if missing := ({} if excerpt else real.keys()) - printed.keys():
            yield f"{place}: {', '.join(sorted(missing))} is answered and not printed"
        if invented := printed.keys() - real.keys():
            yield f"{place}: {', '.join(sorted(invented))} is printed and not answered"
        for name in printed.keys() & real.keys():
            yield from differences(printed[name], real[name], place=f"{place}/{name}")
    elif isinstance(printed, list):
        for item in printed[: len(printed) if real else 0]:
            yield from differences(item, real[0], place=f"{place}/0")


def lay_out(folder: Path) -> None:
    """The files that the pages speak of: four images, two that are none, and a ranking file with its images."""
    target = picture(1, 128)
    near, middle, far = (variation(target, seed, strength) for seed, strength in enumerate((0.1, 0.3, 0.6)))
    files = {
        "target.png": encode(target),
        "a.png": encode(far),
        "b.jpg": encode(near, "JPEG"),
        "c.webp": encode(middle, "WEBP"),
        "broken.jpg": encode(near, "JPEG")[:1000],
        "notes.txt": b"no image",
    }
    lines = []
    for number in range(6):
        scene = picture(10 + number, 64)
        names = [f"{number}-{place}.png" for place in range(4)]
        files[f"{number}.png"] = encode(scene)
        files |= {name: encode(variation(scene, place, 0.15 + 0.2 * place)) for place, name in enumerate(names)}
        order = [2, 1, 3, 4] if number % 2 else [1, 2, 3, 4]
        lines.append(json.dumps({"set": str(number), "target": f"{number}.png", "candidates": names, "ranks": order}))
    files["rankings.jsonl"] = "\n".join(lines).encode()
    files[".curlrc"] = b"fail-with-body\nsilent\nshow-error\n"
    for name, content in files.items():
        (folder / name).write_bytes(content)


@contextmanager
def a_service(folder: Path, *, wanted: bool) -> Iterator[str]:
    """The address of a running `clpips serve`, if one is wanted."""
    if not wanted:
        yield ADDRESS
        return
    command = [sys.executable, "-m", "clpips.service.cli", "serve", "--port", "0"]
    log = folder / "service.log"
    with (
        log.open("w") as stderr,
        subprocess.Popen(command, cwd=folder, env=a_home(folder), stderr=stderr) as service,
    ):
        try:
            yield wait_for_url(service, log).removeprefix("http://")
        finally:
            service.terminate()
