"""The loop a tool lives in, over HTTP: rank, re-order, learn, rank again; on SQLite and on PostgreSQL."""

from typing import Any

import numpy as np
import pytest
from litestar.testing import TestClient

from clpips.models.metric.weights_files import load_weights, parse_weights
from tests.support.colours import CANDIDATES, bluest, colours, flat, order_of, rank, teach
from tests.support.services import FORMS, Form, assert_problem, multipart, pointers, rank_body, tree


def test_a_fresh_profile_ranks_as_balanced_does(ada: TestClient[Any]) -> None:
    reply, balanced = rank(ada, 1), rank(ada, 1, "balanced")
    assert reply["profile"]["version"] == 1
    assert reply["ranking"] == balanced["ranking"]


def test_a_fresh_profile_whose_parent_is_lpips_ranks_as_lpips_does(teachable: TestClient[Any]) -> None:
    assert teachable.post("/profiles", json={"name": "plain", "parent": "lpips"}).status_code == 201
    reply = rank(teachable, 1, "plain")
    assert all(row["rank"] == row["base_rank"] for row in reply["ranking"])
    assert [row["distance"] for row in reply["ranking"]] == [row["base_distance"] for row in reply["ranking"]]


def test_taught_rankings_change_the_next_order_towards_the_person(ada: TestClient[Any]) -> None:
    before = rank(ada, 100)
    assert order_of(before) != bluest(100)
    for seed in range(6):
        taught = teach(ada, seed)
    assert taught["taken"]
    assert taught["after"] > taught["lpips"]
    after = rank(ada, 100)
    assert order_of(after) == bluest(100)
    assert after["profile"]["version"] == taught["version"]
    assert sorted(row["base_rank"] for row in after["ranking"]) == list(range(1, CANDIDATES + 1))
    base = {row["index"]: row["base_distance"] for row in before["ranking"]}
    assert {row["index"]: row["base_distance"] for row in after["ranking"]} == base


def test_a_profile_tells_what_it_has_learned(ada: TestClient[Any]) -> None:
    for seed in range(4):
        teach(ada, seed)
    detail = ada.get("/profiles/ada").json()
    assert (detail["parent"], detail["rankings"], detail["unlearned"]) == ("balanced", 4, 0)
    assert sum(detail["family_shares"].values()) == pytest.approx(1)
    assert detail["layer_shares"][4] + detail["layer_shares"][3] > sum(detail["lpips_layer_shares"][3:])
    newest = detail["versions"][0]
    assert newest["fit"]["targets"] == 4
    for whose in ("agreement", "parent", "lpips"):
        assert 0 <= newest["fit"][whose]["pair_agreement"] <= 1
        icc = newest["fit"][whose]["icc2_k"]
        assert icc["value"] <= 1
        assert (icc["low"], icc["high"]) == (None, None), "an interval takes more targets than four"
    assert newest["fit"]["agreement"]["spearman"] > newest["fit"]["lpips"]["spearman"]
    assert [version["number"] for version in detail["versions"]] == list(range(detail["versions"][0]["number"], 0, -1))


def test_versions_come_in_pages(ada: TestClient[Any]) -> None:
    for seed in range(3):
        teach(ada, seed)
    first = ada.get("/profiles/ada", params={"limit": 2}).json()
    rest = ada.get("/profiles/ada", params={"before": first["next"]}).json()
    assert [version["number"] for version in first["versions"] + rest["versions"]] == [4, 3, 2, 1]
    assert rest["next"] is None


@pytest.mark.parametrize("form", FORMS)
def test_images_with_their_order_teach_as_a_comparison_does(ada: TestClient[Any], form: Form) -> None:
    target, *candidates = (flat(colour) for colour in colours(1))
    if form == "multipart":
        order = {"order": ",".join(map(str, bluest(1))), "rater": "ada"}
        body = multipart([("target", target), *(("candidates", one) for one in candidates)], order)
    else:
        body = tree(form, {"target": target, "candidates": candidates, "order": bluest(1), "rater": "ada"})
    response = ada.post("/profiles/ada/rankings", content=body[0], headers={"content-type": body[1]})
    assert response.status_code == 201, response.text
    assert response.json()["ranking"] == 1


def test_ranks_with_ties_teach_what_is_not_tied(ada: TestClient[Any]) -> None:
    ranks = [0] * CANDIDATES
    for place, index in enumerate(bluest(1)):
        ranks[index] = (1, 1, 1, 2, 2, 9)[place]
    taught = ada.post("/profiles/ada/rankings", json={"comparison": rank(ada, 1)["comparison"], "ranks": ranks})
    assert taught.json()["pairs"] == 3 * 2 + 3 + 2


@pytest.mark.parametrize(
    ("fields", "pointer"),
    [
        ({"order": [0, 1, 2]}, "/order"),
        ({"order": [0, 0, 1, 2, 3, 4]}, "/order"),
        ({"order": [1, 2, 3, 4, 5, 6]}, "/order"),
        ({"ranks": [1, 2]}, "/ranks"),
        ({"ranks": [2] * CANDIDATES}, "/ranks"),
        ({"ranks": [0] * CANDIDATES}, "/ranks/0"),
        ({}, ""),
        ({"order": [0], "ranks": [1]}, "/order"),
        ({"order": [0, 1], "rater": "a\0b"}, "/rater"),
        ({"order": [0, 1], "surprise": 1}, "/surprise"),
    ],
)
def test_an_order_that_is_none_is_refused_and_names_its_field(
    teachable: TestClient[Any], fields: dict[str, Any], pointer: str
) -> None:
    teachable.post("/profiles", json={"name": "ada"})
    comparison = rank(teachable, 1)["comparison"]
    response = teachable.post("/profiles/ada/rankings", json={"comparison": comparison, **fields})
    assert pointers(assert_problem(response, 422, "invalid-request")) == [pointer]
    assert teachable.get("/profiles/ada").json()["rankings"] == 0


def test_a_comparison_that_never_was_is_not_found(ada: TestClient[Any]) -> None:
    for name in ("nothing", "a\0b", ""):
        response = ada.post("/profiles/ada/rankings", json={"comparison": name, "order": [0, 1]})
        assert_problem(response, 404, "comparison-not-found")


def test_the_same_ranking_sent_again_is_one_ranking(ada: TestClient[Any]) -> None:
    order = {"comparison": rank(ada, 1)["comparison"], "order": bluest(1)}
    first, again = (ada.post("/profiles/ada/rankings", json=order) for _ in range(2))
    assert (first.status_code, again.status_code) == (201, 200)
    assert again.json() == first.json()
    assert (first.json()["ranking"], first.json()["rankings"]) == (1, 1)
    assert 0 < first.json()["guessed"] < 1


def test_a_second_thought_replaces_the_first_and_one_ranking_counts(ada: TestClient[Any]) -> None:
    comparison = rank(ada, 1)["comparison"]
    for number, order in enumerate((bluest(1)[::-1], bluest(1)), start=1):
        taught = ada.post("/profiles/ada/rankings", json={"comparison": comparison, "order": order})
        assert taught.status_code == 201
        assert (taught.json()["ranking"], taught.json()["rankings"]) == (number, 1)
    assert ada.get("/profiles/ada").json()["rankings"] == 1
    assert [one["rankings"] for one in ada.get("/profiles").json()["profiles"]] == [1]
    assert len(ada.get("/profiles/ada/rankings").text.splitlines()) == 1


def test_two_raters_of_one_comparison_count_as_two(ada: TestClient[Any]) -> None:
    comparison = rank(ada, 1)["comparison"]
    for number, rater in enumerate(("ada", "grace"), start=1):
        order = {"comparison": comparison, "order": bluest(1), "rater": rater}
        assert ada.post("/profiles/ada/rankings", json=order).json()["rankings"] == number


def test_a_rollback_uses_the_older_version_again(ada: TestClient[Any]) -> None:
    before = rank(ada, 100)
    for seed in range(4):
        teach(ada, seed)
    assert ada.post("/profiles/ada/rollback", json={"version": 1}).json()["version"] == 1
    assert order_of(rank(ada, 100)) == order_of(before)
    assert_problem(ada.post("/profiles/ada/rollback", json={"version": 99}), 404, "version-not-found")


def test_a_reset_begins_again(ada: TestClient[Any]) -> None:
    before = rank(ada, 100)
    teach(ada, 1)
    reset = ada.post("/profiles/ada/reset").json()
    assert reset["rankings"] == 0
    assert order_of(rank(ada, 100)) == order_of(before)
    assert ada.get("/profiles/ada/rankings").content == b""


def test_deleting_a_profile_says_what_went_and_leaves_nothing(ada: TestClient[Any]) -> None:
    teach(ada, 1)
    versions = len(ada.get("/profiles/ada").json()["versions"])  # one that is only proposed is one, too
    assert ada.delete("/profiles/ada").json() == {"deleted": "ada", "versions": versions, "rankings": 1}
    assert_problem(ada.get("/profiles/ada"), 404, "profile-not-found")
    assert_problem(ada.delete("/profiles/ada"), 404, "profile-not-found")
    body, content_type = rank_body("json", flat((1, 2, 3)), [flat((3, 2, 1))], profile="ada")
    response = ada.post("/rank", content=body, headers={"content-type": content_type})
    assert pointers(assert_problem(response, 422, "unknown-profile")) == ["/profile"]


def test_shipped_weights_can_be_looked_at_and_not_changed(teachable: TestClient[Any]) -> None:
    assert teachable.get("/profiles/lpips").json()["versions"][0]["origin"] == "shipped"
    assert "lpips" in teachable.get("/profiles").json()["shipped"]
    np.testing.assert_array_equal(
        parse_weights(teachable.get("/profiles/lpips/weights").content).values, load_weights("lpips").values
    )
    for response in (
        teachable.post("/profiles", json={"name": "lpips"}),
        teachable.delete("/profiles/lpips"),
        teachable.post("/profiles/lpips/reset"),
        teachable.post("/profiles/lpips/rankings", json={"comparison": "x", "order": [1, 0]}),
    ):
        assert_problem(response, 409, "profile-exists")


def test_a_profile_can_begin_where_another_is(ada: TestClient[Any]) -> None:
    for seed in range(6):
        teach(ada, seed)
    assert ada.post("/profiles", json={"name": "team", "parent": "ada"}).json()["parent"] == "ada"
    ada.delete("/profiles/ada")
    assert order_of(rank(ada, 100, "team")) == bluest(100)


@pytest.mark.parametrize("name", ["", ".hidden", "a b", "a/b", "é", "x" * 129])
def test_a_name_that_cannot_be_one_is_refused(teachable: TestClient[Any], name: str) -> None:
    response = teachable.post("/profiles", json={"name": name})
    assert pointers(assert_problem(response, 422, "invalid-request")) == ["/name"]


def test_hostile_names_in_a_path_are_simply_not_there(teachable: TestClient[Any]) -> None:
    for name in ("%00", "..%2f..", "a%20b", "x" * 300):
        assert teachable.get(f"/profiles/{name}").status_code == 404


def test_fits_and_lookups_are_counted(ada: TestClient[Any]) -> None:
    teach(ada, 1)
    rank(ada, 2)
    rank(ada, 2)
    lines = dict(line.rsplit(" ", 1) for line in ada.get("/metrics").text.splitlines() if not line.startswith("#"))
    outcomes = sum(float(lines[f'clpips_fits_total{{outcome="{one}"}}']) for one in ("taken", "proposed"))
    assert outcomes == float(lines["clpips_fit_seconds_count"]) == 1
    assert float(lines['clpips_profile_lookups_total{result="hit"}']) >= 2
