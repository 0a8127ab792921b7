"""The README and the pages of docs/: what is in their fences, and what stands before a fence for the tests.

Readers do not see the comments that say how a block is to be tested:

    <!-- not run: REASON -->    the block cannot run where the tests run
    <!-- run by tests/X.py -->  it needs more than a newcomer's folder, and this test has it
    <!-- answers 422 -->        its request is one that is refused, with this status
    <!-- excerpt -->            the JSON leaves fields of the answer out
    <!-- ranking file -->       the JSON is no answer; it is lines of a ranking file
"""

import re
from dataclasses import dataclass
from pathlib import Path

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
