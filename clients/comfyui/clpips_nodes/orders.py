"""A person's order of candidates, as text: `2, 0, 1`, with ties `2 > 0 = 1`, `best 3`, or `top 3, 0`."""

import re
from typing import Any, Final

HELP: Final = (
    "write the places of the batch, the most similar first: 2, 0, 1; with ties 2 > 0 = 1; or best 3; or top 3, 0"
)


def said(text: str, count: int | None = None) -> dict[str, Any]:
    """What a text says, as the arguments `order`, `ranks`, `best` or `top` of a client; {} for an empty one.

    Places begin with 0. Ties need all places: `count` candidates where it is given. Raises `ValueError`.
    """
    text = text.strip().lower()
    if not text:
        return {}
    word = re.match(r"(best|top)\b[\s:]*", text)
    if word is None and "=" in text:
        return {"ranks": _ranks(text, count)}
    places = _places(text[word.end() :] if word else text)
    if word is None:
        return {"order": places}
    if word[1] == "top":
        return {"top": places}
    if len(places) != 1:
        raise ValueError(f"best is followed by one place, and these are {len(places)}: {HELP}")
    return {"best": places[0]}


def written(order: list[int]) -> str:
    """An order as `said` reads it."""
    return ", ".join(map(str, order))


def _places(text: str) -> list[int]:
    parts = re.split(r"\s*[,>]\s*|\s+", text.strip())
    if not all(re.fullmatch(r"\d{1,6}", part) for part in parts):
        raise ValueError(f"{text[:80]!r} is no order: {HELP}")
    return [int(part) for part in parts]


def _ranks(text: str, count: int | None) -> list[int]:
    """Equal places have equal ranks, and the next rank counts them all: `2 > 0 = 1` is [2, 2, 1]."""
    ranks: dict[int, int] = {}
    for group in re.split(r"[,>]", text):
        rank = len(ranks) + 1
        for place in _places(group.replace("=", ",")):
            if place in ranks:
                raise ValueError(f"{place} stands twice in {text[:80]!r}: {HELP}")
            ranks[place] = rank
    expected = len(ranks) if count is None else count
    if sorted(ranks) != list(range(expected)):
        raise ValueError(f"an order with ties names every place from 0 to {expected - 1}: {HELP}")
    return [ranks[place] for place in range(expected)]
