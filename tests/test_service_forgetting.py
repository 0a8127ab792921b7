"""Rankings that are forgotten or replaced, over HTTP: they count nowhere, and neither does what learned from them."""

from typing import Any

from litestar.testing import TestClient

from tests.support.colours import bluest, order_of, rank, teach
from tests.support.judging import detail, exported, look, say
from tests.support.services import assert_problem


def test_what_is_forgotten_counts_nowhere(ada: TestClient[Any]) -> None:
    for seed in range(4):
        teach(ada, seed)
    answer = ada.delete("/profiles/ada/rankings/2")
    assert answer.status_code == 200, answer.text
    forgotten = answer.json()
    assert (forgotten["forgotten"], forgotten["rankings"]) == (2, 3)
    seen = detail(ada)
    assert (seen["rankings"], seen["unlearned"]) == (3, 0)
    assert seen["versions"][0]["fit"]["rankings"] == 3
    assert [line["set"] for line in exported(ada)] == ["1", "3", "4"]
    assert_problem(look(ada, 2), 404, "ranking-not-found")
    assert_problem(ada.delete("/profiles/ada/rankings/2"), 404, "ranking-not-found")


def test_forgetting_leaves_the_weights_that_the_others_alone_teach(ada: TestClient[Any]) -> None:
    ada.post("/profiles", json={"name": "grace"})
    for seed in range(6):
        teach(ada, seed)
        teach(ada, seed, "grace")
    say(ada, rank(ada, 50)["comparison"], order=bluest(50)[::-1])
    ada.delete("/profiles/ada/rankings/7")
    assert order_of(rank(ada, 100, "ada")) == order_of(rank(ada, 100, "grace"))
    versions = [detail(ada)["versions"][0], ada.get("/profiles/grace").json()["versions"][0]]
    assert versions[0]["fit"] == versions[1]["fit"]


def test_forgetting_all_answers_as_the_profile_began(ada: TestClient[Any]) -> None:
    before = rank(ada, 100)
    for seed in range(6):
        teach(ada, seed)
    assert detail(ada)["version"] > 1
    for number in range(1, 7):
        answer = ada.delete(f"/profiles/ada/rankings/{number}").json()
    assert (answer["version"], answer["rankings"], answer["taken"], answer["pairs"]) == (1, 0, False, None)
    assert "no rankings" in answer["reason"]
    after = rank(ada, 100)
    assert [row["distance"] for row in after["ranking"]] == [row["distance"] for row in before["ranking"]]
    assert "no rankings yet" in detail(ada)["waiting"]
    assert teach(ada, 1)["ranking"] == 7


def test_a_version_that_learned_from_what_is_forgotten_is_not_used_again(ada: TestClient[Any]) -> None:
    for seed in range(6):
        teach(ada, seed)
    ada.delete("/profiles/ada/rankings/4")
    status = {version["number"]: version["status"] for version in detail(ada)["versions"]}
    fitted = {version["number"]: version["fit"]["rankings"] for version in detail(ada)["versions"] if "fit" in version}
    learned = [number for number, rankings in fitted.items() if rankings >= 4 and number <= 7]
    assert learned
    for number in learned:
        assert status[number] == "superseded"
        problem = ada.post("/profiles/ada/rollback", json={"version": number})
        assert_problem(problem, 409, "version-superseded")
    assert ada.post("/profiles/ada/rollback", json={"version": 3}).json()["version"] == 3


def test_a_replaced_order_counts_nowhere(ada: TestClient[Any]) -> None:
    comparison = rank(ada, 1)["comparison"]
    say(ada, comparison, order=bluest(1)[::-1])
    first = {version["number"] for version in detail(ada)["versions"]} - {1}
    say(ada, comparison, order=bluest(1))
    seen = detail(ada)
    assert (seen["rankings"], seen["unlearned"]) == (1, 0)
    assert [line["set"] for line in exported(ada)] == ["2"]
    assert {one["status"] for one in seen["versions"] if one["number"] in first} == {"superseded"}
    assert_problem(look(ada, 1), 404, "ranking-not-found")
    ada.delete("/profiles/ada/rankings/2")  # which does not bring the first one back
    assert detail(ada)["rankings"] == 0
    assert exported(ada) == []
