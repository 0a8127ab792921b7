"""What people say of images, over HTTP: all of their order or a part of it; kept, looked at, and waited for."""

import re
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from litestar.testing import TestClient

from clpips.models.metric.backbone import SHIPPED_FINGERPRINT
from clpips.models.rankings.pairs import expand_ranks
from tests.support.colours import CANDIDATES, bluest, colours, flat, rank, teach
from tests.support.judging import detail, exported, look, say
from tests.support.services import FORMS, Form, assert_problem, multipart, pointers, tree

HASH = re.compile("sha256:[0-9a-f]{64}")


def pairs_of(ranks: Sequence[int]) -> set[tuple[int, int]]:
    """The better and the worse of every ordered pair."""
    better, worse = expand_ranks(ranks)
    return set(zip(better.tolist(), worse.tolist(), strict=True))


@pytest.mark.parametrize(
    ("said", "pairs"),
    [
        ({"best": 3}, {(3, other) for other in (0, 1, 2, 4, 5)}),
        ({"top": [3]}, {(3, other) for other in (0, 1, 2, 4, 5)}),
        ({"top": [3, 0]}, {(3, other) for other in (0, 1, 2, 4, 5)} | {(0, other) for other in (1, 2, 4, 5)}),
    ],
)
def test_what_is_said_of_some_is_kept_as_the_pairs_that_were_said(
    ada: TestClient[Any], said: dict[str, Any], pairs: set[tuple[int, int]]
) -> None:
    teach(ada, 2)
    shown = rank(ada, 1)
    answer = say(ada, shown["comparison"], **said)
    assert answer.status_code == 201, answer.text
    assert answer.json()["pairs"] == len(pairs) + CANDIDATES * (CANDIDATES - 1) / 2
    assert pairs_of(look(ada, 2).json()["ranks"]) == pairs
    assert pairs_of(exported(ada)[1]["ranks"]) == pairs
    places = {row["index"]: row["rank"] for row in shown["ranking"]}
    guessed = np.mean([places[better] < places[worse] for better, worse in pairs])
    assert answer.json()["guessed"] == pytest.approx(guessed)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize(("said", "ranks"), [({"best": 3}, [2, 2, 2, 1, 2, 2]), ({"top": [3, 0]}, [2, 3, 3, 1, 3, 3])])
def test_it_is_said_of_images_and_of_comparisons_in_every_encoding(
    ada: TestClient[Any], form: Form, said: dict[str, Any], ranks: list[int]
) -> None:
    target, *candidates = (flat(colour) for colour in colours(1))
    comparison = rank(ada, 2)["comparison"]
    if form == "multipart":
        texts = {name: str(value).strip("[]").replace(" ", "") for name, value in said.items()}
        images = [("target", target), *(("candidates", one) for one in candidates)]
        bodies = [multipart(images, texts), multipart([], {"comparison": comparison, **texts})]
    else:
        bodies = [
            tree(form, {"target": target, "candidates": candidates, **said}),
            tree(form, {"comparison": comparison, **said}),
        ]
    for number, (content, content_type) in enumerate(bodies, start=1):
        answer = ada.post("/profiles/ada/rankings", content=content, headers={"content-type": content_type})
        assert answer.status_code == 201, answer.text
        assert look(ada, number).json()["ranks"] == ranks


@pytest.mark.parametrize(
    ("said", "pointer"),
    [
        ({"best": CANDIDATES}, "/best"),
        ({"best": -1}, "/best"),
        ({"best": "3"}, "/best"),
        ({"best": 2**40}, "/best"),
        ({"top": []}, "/top"),
        ({"top": [0, 0]}, "/top"),
        ({"top": [0, CANDIDATES]}, "/top"),
        ({"top": [0, -1]}, "/top/1"),
        ({"top": 3}, "/top"),
        ({"top": list(range(CANDIDATES + 1))}, "/top"),
        ({"best": 1, "top": [1]}, ""),
        ({"best": 1, "order": bluest(1)}, ""),
        ({"best": None}, ""),
    ],
)
def test_what_cannot_be_said_is_refused_and_names_its_field(
    ada: TestClient[Any], said: dict[str, Any], pointer: str
) -> None:
    response = say(ada, rank(ada, 1)["comparison"], **said)
    found = pointers(assert_problem(response, 422, "invalid-request"))
    assert [one.partition("/1")[0] if pointer == "/top" else one for one in found] == [pointer]
    assert detail(ada)["rankings"] == 0


@pytest.mark.parametrize(
    ("text", "pointer"), [({"best": "x"}, "/best"), ({"best": "1,2"}, "/best"), ({"top": "a"}, "/top")]
)
def test_a_form_that_says_nothing_sensible_is_refused(ada: TestClient[Any], text: dict[str, str], pointer: str) -> None:
    content, content_type = multipart([], {"comparison": rank(ada, 1)["comparison"], **text})
    response = ada.post("/profiles/ada/rankings", content=content, headers={"content-type": content_type})
    assert pointers(assert_problem(response, 422, "invalid-request")) == [pointer]


def test_two_ways_at_once_are_named(ada: TestClient[Any]) -> None:
    response = say(ada, "c", best=1, ranks=[1, 2])
    assert "not `ranks` and `best` together" in assert_problem(response, 422, "invalid-request")["detail"]


def test_the_best_of_one_candidate_says_nothing(ada: TestClient[Any]) -> None:
    target, candidate, *_ = (flat(colour) for colour in colours(1))
    content, content_type = tree("json", {"target": target, "candidates": [candidate], "profile": "ada"})
    shown = ada.post("/rank", content=content, headers={"content-type": content_type}).json()
    response = say(ada, shown["comparison"], best=0)
    assert pointers(assert_problem(response, 422, "invalid-request")) == ["/best"]


def test_the_best_and_the_ranks_that_say_the_same_are_one_ranking(ada: TestClient[Any]) -> None:
    comparison = rank(ada, 1)["comparison"]
    answers = [say(ada, comparison, **said) for said in ({"best": 0}, {"ranks": [1, 7, 7, 7, 7, 7]}, {"top": [0]})]
    assert [answer.status_code for answer in answers] == [201, 200, 200]
    assert detail(ada)["rankings"] == 1


def test_a_ranking_is_known_by_its_hashes_and_moment(ada: TestClient[Any]) -> None:
    shown = rank(ada, 1)
    answer = say(ada, shown["comparison"], order=bluest(1), rater="grace").json()
    known = look(ada, answer["ranking"]).json()
    hashes = {row["index"]: row["candidate"] for row in shown["ranking"]}
    assert known == {
        "profile": "ada",
        "ranking": 1,
        "target": shown["target"],
        "candidates": [hashes[index] for index in range(CANDIDATES)],
        "ranks": [1 + bluest(1).index(index) for index in range(CANDIDATES)],
        "rater": "grace",
        "comparison": shown["comparison"],
        "resolution": 256,
        "at": known["at"],
        "guessed": answer["guessed"],
    }
    assert known["at"].endswith("Z")


def test_a_download_can_be_joined_to_the_pictures_again(ada: TestClient[Any]) -> None:
    shown = rank(ada, 1)
    say(ada, shown["comparison"], best=2)
    (line,) = exported(ada)
    known = look(ada, 1).json()
    for field in ("target", "candidates", "comparison", "ranks", "at"):
        assert line[field] == known[field]
    assert (line["set"], line["backbone"]) == ("1", SHIPPED_FINGERPRINT)
    assert all(HASH.fullmatch(name) for name in (line["target"], *line["candidates"]))


@pytest.mark.parametrize("number", ["0", "2", "-1", "99999999999999999999", "1%0A", "%2B1", "01", "%D9%A1"])
def test_a_ranking_that_never_was_is_not_found(ada: TestClient[Any], number: str) -> None:
    teach(ada, 1)
    for method in ("GET", "DELETE"):
        response = ada.request(method, f"/profiles/ada/rankings/{number}")
        assert_problem(response, 404, "ranking-not-found")
    assert detail(ada)["rankings"] == 1


def test_shipped_weights_have_no_rankings(teachable: TestClient[Any]) -> None:
    for method, path in (("GET", "rankings/1"), ("DELETE", "rankings/1"), ("GET", "suggest?comparison=c")):
        assert_problem(teachable.request(method, f"/profiles/lpips/{path}"), 409, "profile-exists")


def test_until_a_version_is_taken_a_profile_says_what_it_waits_for(ada: TestClient[Any]) -> None:
    assert "no rankings yet" in detail(ada)["waiting"]
    taught = teach(ada, 1)
    assert (taught["taken"], taught["version"], taught["rankings"]) == (False, 1, 1)
    assert taught["waiting"] == taught["reason"] == detail(ada)["waiting"]
    for seed in range(2, 8):
        taught = teach(ada, seed)
    assert taught["taken"]
    assert taught["waiting"] is None
    assert detail(ada)["waiting"] is None


def test_rankings_that_give_no_version_say_why_too(ada: TestClient[Any]) -> None:
    target, first, second, *_ = (flat(colour) for colour in colours(1))
    content, content_type = tree("json", {"target": target, "candidates": [first, second], "order": [1, 0]})
    taught = ada.post("/profiles/ada/rankings", content=content, headers={"content-type": content_type}).json()
    assert taught["proposed"] is None
    assert detail(ada)["waiting"] == taught["waiting"] == taught["reason"]
    assert len(detail(ada)["versions"]) == 1
