"""Ranking files for tests."""

from collections.abc import Iterable
from pathlib import Path

from clpips.models.rankings.files import Ranking, format_ranking


def write_rankings(path: Path, rankings: Iterable[Ranking]) -> Path:
    """A ranking file of these, one a line."""
    path.write_text("".join(format_ranking(ranking) + "\n" for ranking in rankings), encoding="utf-8")
    return path
