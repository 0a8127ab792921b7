"""Which two candidates to ask about next, over HTTP, until all is said."""

from typing import Any

import pytest
from litestar.testing import TestClient

from tests.support.colours import CANDIDATES, bluest, colours, flat, rank
from tests.support.judging import detail, say
from tests.support.services import assert_problem, tree


def suggest(client: TestClient[Any], comparison: str) -> Any:
    return client.get("/profiles/ada/suggest", params={"comparison": comparison})


def test_the_two_to_ask_about_are_two_of_the_comparison(ada: TestClient[Any]) -> None:
    shown = rank(ada, 1)
    answer = suggest(ada, shown["comparison"]).json()
    first, second = answer["pair"]
    assert 0 <= first < second < CANDIDATES
    hashes = {row["index"]: row["candidate"] for row in shown["ranking"]}
    assert answer["candidates"] == [hashes[first], hashes[second]]
    assert (answer["comparison"], answer["target"]) == (shown["comparison"], shown["target"])


def test_what_was_suggested_is_taught_by_hash_and_not_asked_again(ada: TestClient[Any]) -> None:
    comparison = rank(ada, 1)["comparison"]
    seen = set()
    for _ in range(3):
        answer = suggest(ada, comparison).json()
        seen.add(tuple(answer["pair"]))
        body = {"target": answer["target"], "candidates": answer["candidates"], "best": 1}
        assert ada.post("/profiles/ada/rankings", json=body).status_code == 201
    assert len(seen) == 3
    assert detail(ada)["rankings"] == 3


def test_when_all_is_said_there_is_nothing_to_ask(ada: TestClient[Any]) -> None:
    comparison = rank(ada, 1)["comparison"]
    say(ada, comparison, order=bluest(1))
    answer = suggest(ada, comparison).json()
    assert (answer["pair"], answer["candidates"]) == (None, [])
    assert "has been ordered" in answer["reason"]
    ada.delete("/profiles/ada/rankings/1")
    assert suggest(ada, comparison).json()["pair"] is not None


@pytest.mark.parametrize(
    ("candidates", "reason"), [(3, "cannot tell these candidates apart"), (1, "one candidate alone")]
)
def test_what_cannot_be_told_apart_is_not_asked_about(ada: TestClient[Any], candidates: int, reason: str) -> None:
    target, candidate, *_ = (flat(colour) for colour in colours(1))
    content, content_type = tree("json", {"target": target, "candidates": [candidate] * candidates, "profile": "ada"})
    shown = ada.post("/rank", content=content, headers={"content-type": content_type}).json()
    answer = suggest(ada, shown["comparison"]).json()
    assert (answer["pair"], answer["candidates"]) == (None, [])
    assert reason in answer["reason"]


def test_a_suggestion_needs_a_comparison_and_a_profile_that_there_are(ada: TestClient[Any]) -> None:
    for name in ("nothing", "a\0b", ""):
        assert_problem(suggest(ada, name), 404, "comparison-not-found")
    response = ada.get("/profiles/nobody/suggest", params={"comparison": rank(ada, 1)["comparison"]})
    assert_problem(response, 404, "profile-not-found")
    assert_problem(ada.get("/profiles/ada/suggest"), 400)
