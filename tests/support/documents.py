"""The README and the pages of docs/: what is in their fences, and what stands before a fence for the tests.

Readers do not see the comments that say how a block is to be tested:

    <!-- not run: REASON -->    the block cannot run where the tests run
    <!-- run by tests/X.py -->  it needs more than a newcomer's folder, and this test has it
    <!-- answers 422 -->        its request is one that is refused, with this status
    <!-- excerpt -->            the JSON leaves fields of the answer out
    <!-- ranking file -->       the JSON is no answer; it is lines of a ranking file
"""

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from tests.support.processes import environment

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", ROOT / "clients" / "python" / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
DEPLOY = ROOT / "deploy" / "README.md"
WEIGHTS = ROOT / "models" / "data" / "README.md"

_FENCE = re.compile(
    r"^(?:<!-- (?P<mark>[^\n]*?) -->\n)?```(?P<language>\S*)\n(?P<text>.*?)^```$", re.MULTILINE | re.DOTALL
)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    line: int  # of the fence
    language: str
    text: str
    mark: str  # what the comment before it says

    @property
    def reason(self) -> str | None:
        """Why it is not run; None where it is."""
        return self.mark.removeprefix("not run:").strip() if self.mark.startswith("not run") else None

    @property
    def test(self) -> str | None:
        """The test, from the root, that runs it in place of that of all pages; None for most."""
        return self.mark.removeprefix("run by ") if self.mark.startswith("run by ") else None

    @property
    def status(self) -> int | None:
        """The status of the refusal that it shows; None where it shows none."""
        return int(self.mark.removeprefix("answers ")) if self.mark.startswith("answers ") else None

    def __str__(self) -> str:
        return f"{named(self.page)}:{self.line}"


def blocks(page: Path) -> list[Block]:
    """The fenced blocks of a page, in the order printed."""
    text = page.read_text()
    return [
        Block(
            page,
            text.count("\n", 0, match.start("language")) + 1,
            match["language"],
            match["text"],
            match["mark"] or "",
        )
        for match in _FENCE.finditer(text)
    ]


def prose(page: Path) -> str:
    """A page without its fenced blocks."""
    return _FENCE.sub("", page.read_text())


def named(page: Path) -> str:
    return page.relative_to(ROOT).as_posix()


def block_run_by(test: str, page: str, beginning: str) -> Block:
    """The block of a page of docs/ that a test runs in place of that of all pages, and that begins so."""
    [found] = [
        block
        for block in blocks(ROOT / "docs" / page)
        if block.test == f"tests/{Path(test).name}" and block.text.startswith(beginning)
    ]
    return found


def a_home(folder: Path) -> dict[str, str]:
    """An environment with `clpips` on the path, and a home of its own for curl and the cache."""
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    return environment(PATH=path, HOME=str(folder), CLPIPS_REQUEST_SECONDS="100")


def run_block(block: Block, folder: Path) -> str:
    """What the commands of a block print, run in a folder as a newcomer would; all must succeed."""
    command = ["bash", "-euo", "pipefail", "-c", block.text]
    done = subprocess.run(command, cwd=folder, env=a_home(folder), capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{block}\n{done.stdout}{done.stderr}"
    return done.stdout
