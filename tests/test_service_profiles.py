"""The loop a tool lives in, over HTTP: rank, re-order, learn, rank again; on SQLite and on PostgreSQL."""

import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner
from litestar.testing import TestClient
from numpy.typing import NDArray

from models.backbone import LAYERS, SHIPPED_FINGERPRINT, TOTAL_CHANNELS
from models.cli import commands
from models.weights import LayerWeights, load_weights, parse_weights
from tests.databases import KINDS, fresh_database
from tests.pictures import npy
from tests.services import FORMS, FakeEngine, Form, assert_problem, multipart, pointers, rank_body, serving, tree

CANDIDATES = 6
EQUAL = np.ones(TOTAL_CHANNELS, np.float32)


class ColourEngine(FakeEngine):
    """The first layers see red, the third green, the last ones blue: a person may care for one of them alone."""

    def compare(self, targets: Sequence[Any], candidates: Sequence[Any]) -> NDArray[np.float32]:
        z = np.zeros((len(targets), TOTAL_CHANNELS), np.float32)
        for row, (target, candidate) in enumerate(zip(targets, candidates, strict=True)):
            for layer, colour in zip(LAYERS, (0, 0, 1, 2, 2), strict=True):
                z[row, layer] = (target.colour[colour] - candidate.colour[colour]) ** 2
        return z


def flat(colour: Sequence[int]) -> bytes:
    return npy(np.full((64, 64, 3), colour, np.uint8))


def colours(seed: int) -> NDArray[np.int64]:
    """A target's colour and its candidates', `(1 + n, 3)`."""
    return np.random.default_rng(seed).integers(0, 256, (1 + CANDIDATES, 3))


def rank(client: TestClient[Any], seed: int, profile: str = "ada", **headers: str) -> Any:
    target, *candidates = colours(seed)
    body, content_type = rank_body("msgpack", flat(target), [flat(one) for one in candidates], profile=profile)
    response = client.post("/rank", content=body, headers={"content-type": content_type, **headers})
    assert response.status_code == 200, response.text
    return response.json()


def bluest(seed: int) -> list[int]:
    """The order of somebody who sees nothing but blue."""
    target, *candidates = colours(seed)
    order: list[int] = np.argsort([abs(one[2] - target[2]) for one in candidates], kind="stable").tolist()
    return order


def order_of(reply: Any) -> list[int]:
    return [row["index"] for row in reply["ranking"]]


def teach(client: TestClient[Any], seed: int, profile: str = "ada") -> Any:
    shown = rank(client, seed, profile)
    order = {"comparison": shown["comparison"], "order": bluest(seed)}
    response = client.post(f"/profiles/{profile}/rankings", json=order)
    assert response.status_code == 201, response.text
    return response.json()


@pytest.fixture(params=KINDS)
def client(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[TestClient[Any]]:
    with (
        fresh_database(request.param, tmp_path) as url,
        serving(ColourEngine(), database_url=url, max_profiles=5) as client,
    ):
        yield client


@pytest.fixture
def ada(client: TestClient[Any]) -> TestClient[Any]:
    """A client of a service that has a profile `ada`, fresh."""
    assert client.post("/profiles", json={"name": "ada"}).status_code == 201
    return client


def test_a_fresh_profile_ranks_as_lpips_does(ada: TestClient[Any]) -> None:
    reply = rank(ada, 1)
    assert reply["profile"]["version"] == 1
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
    assert (detail["parent"], detail["rankings"], detail["unlearned"]) == ("lpips", 4, 0)
    assert detail["layer_shares"][4] + detail["layer_shares"][3] > sum(detail["lpips_layer_shares"][3:])
    newest = detail["versions"][0]
    assert newest["fit"]["targets"] == 4
    for whose in ("agreement", "parent", "lpips"):
        assert 0 <= newest["fit"][whose]["pair_agreement"] <= 1
        assert newest["fit"][whose]["icc2_k"]["low"] <= newest["fit"][whose]["icc2_k"]["value"]
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
    client: TestClient[Any], fields: dict[str, Any], pointer: str
) -> None:
    client.post("/profiles", json={"name": "ada"})
    comparison = rank(client, 1)["comparison"]
    response = client.post("/profiles/ada/rankings", json={"comparison": comparison, **fields})
    assert pointers(assert_problem(response, 422, "invalid-request")) == [pointer]
    assert client.get("/profiles/ada").json()["rankings"] == 0


def test_a_comparison_that_never_was_is_not_found(ada: TestClient[Any]) -> None:
    for name in ("nothing", "a\0b", ""):
        response = ada.post("/profiles/ada/rankings", json={"comparison": name, "order": [0, 1]})
        assert_problem(response, 404, "comparison-not-found")


def test_the_same_ranking_sent_again_is_one_ranking(ada: TestClient[Any]) -> None:
    order = {"comparison": rank(ada, 1)["comparison"], "order": bluest(1)}
    answers = [ada.post("/profiles/ada/rankings", json=order).json() for _ in range(2)]
    assert [answer["ranking"] for answer in answers] == [1, 1]
    assert ada.get("/profiles/ada").json()["rankings"] == 1


def test_weights_go_out_as_the_file_that_the_command_line_takes(ada: TestClient[Any], tmp_path: Path) -> None:
    for seed in range(4):
        teach(ada, seed)
    reply = rank(ada, 50)
    file = tmp_path / "ada.safetensors"
    file.write_bytes(ada.get("/profiles/ada/weights").content)
    weights = load_weights(file)
    z = np.zeros((1, TOTAL_CHANNELS), np.float32)
    target, *candidates = colours(50)
    first = candidates[reply["ranking"][0]["index"]]
    for layer, colour in zip(LAYERS, (0, 0, 1, 2, 2), strict=True):
        z[:, layer] = ((target[colour] - first[colour]) / 255) ** 2
    assert reply["ranking"][0]["distance"] == pytest.approx(float(z[0] @ weights.values), rel=1e-5)
    assert (weights.name, weights.parent, weights.backbone) == ("ada", "lpips", SHIPPED_FINGERPRINT)


def test_a_profile_fitted_offline_equals_the_one_fitted_online(ada: TestClient[Any], tmp_path: Path) -> None:
    for seed in range(5):
        teach(ada, seed)
    lines, out = tmp_path / "ada.jsonl", tmp_path / "offline.safetensors"
    lines.write_bytes(ada.get("/profiles/ada/rankings").content)
    arguments = ["fit", str(lines), "--recipe", "personal", "--out", str(out), "--json", "--cache", str(tmp_path)]
    result = CliRunner().invoke(commands, arguments, catch_exceptions=False)
    assert result.exit_code == 0, result.output
    online = parse_weights(ada.get("/profiles/ada/weights").content)
    np.testing.assert_array_equal(load_weights(out).values, online.values)


def test_exported_rankings_hold_channel_distances_and_no_image(ada: TestClient[Any]) -> None:
    teach(ada, 1)
    (line,) = ada.get("/profiles/ada/rankings").text.splitlines()
    fields = json.loads(line)
    assert re.fullmatch("sha256:[0-9a-f]{64}", fields["target"])
    assert set(fields) == {"set", "target", "z", "backbone", "resolution", "ranks"}


def test_imported_weights_are_used_and_later_fits_start_from_them(ada: TestClient[Any]) -> None:
    values = np.zeros(TOTAL_CHANNELS, np.float32)
    values[LAYERS[4]] = 1
    response = ada.put("/profiles/blue/weights", content=LayerWeights(values, "lab-7").to_bytes())
    assert (response.status_code, response.json()["parent"]) == (201, "lab-7")
    assert order_of(rank(ada, 3, "blue")) == bluest(3)
    response = ada.put("/profiles/ada/weights", content=LayerWeights(values, "lab-7").to_bytes())
    assert (response.status_code, response.json()["version"]) == (200, 2)
    assert teach(ada, 1)["before"] == 1.0


@pytest.mark.parametrize(
    ("weights", "reason"),
    [
        (b"", "not a safetensors file"),
        (b"\x80\x04K*.", "not a safetensors file"),
        (
            LayerWeights(np.ones(TOTAL_CHANNELS, np.float32), "x", backbone="0" * 64).to_bytes(),
            "belong to the backbone",
        ),
    ],
)
def test_weights_that_cannot_be_used_are_refused(client: TestClient[Any], weights: bytes, reason: str) -> None:
    problem = assert_problem(client.put("/profiles/x/weights", content=weights), 422, "invalid-request")
    assert reason in problem["detail"]
    assert client.get("/profiles/x").status_code == 404


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
    versions = teach(ada, 1)["version"]
    assert ada.delete("/profiles/ada").json() == {"deleted": "ada", "versions": versions, "rankings": 1}
    assert_problem(ada.get("/profiles/ada"), 404, "profile-not-found")
    assert_problem(ada.delete("/profiles/ada"), 404, "profile-not-found")
    body, content_type = rank_body("json", flat((1, 2, 3)), [flat((3, 2, 1))], profile="ada")
    response = ada.post("/rank", content=body, headers={"content-type": content_type})
    assert pointers(assert_problem(response, 422, "unknown-profile")) == ["/profile"]


def test_shipped_weights_can_be_looked_at_and_not_changed(client: TestClient[Any]) -> None:
    assert client.get("/profiles/lpips").json()["versions"][0]["origin"] == "shipped"
    assert "lpips" in client.get("/profiles").json()["shipped"]
    np.testing.assert_array_equal(
        parse_weights(client.get("/profiles/lpips/weights").content).values, load_weights("lpips").values
    )
    for response in (
        client.post("/profiles", json={"name": "lpips"}),
        client.delete("/profiles/lpips"),
        client.post("/profiles/lpips/reset"),
        client.post("/profiles/lpips/rankings", json={"comparison": "x", "order": [1, 0]}),
    ):
        assert_problem(response, 409, "profile-exists")


def test_a_profile_can_begin_where_another_is(ada: TestClient[Any]) -> None:
    for seed in range(4):
        teach(ada, seed)
    assert ada.post("/profiles", json={"name": "team", "parent": "ada"}).json()["parent"] == "ada"
    ada.delete("/profiles/ada")
    assert order_of(rank(ada, 100, "team")) == bluest(100)


@pytest.mark.parametrize("name", ["", ".hidden", "a b", "a/b", "é", "x" * 129])
def test_a_name_that_cannot_be_one_is_refused(client: TestClient[Any], name: str) -> None:
    response = client.post("/profiles", json={"name": name})
    assert pointers(assert_problem(response, 422, "invalid-request")) == ["/name"]


def test_hostile_names_in_a_path_are_simply_not_there(client: TestClient[Any]) -> None:
    for name in ("%00", "..%2f..", "a%20b", "x" * 300):
        assert client.get(f"/profiles/{name}").status_code == 404


def test_fits_and_lookups_are_counted(ada: TestClient[Any]) -> None:
    teach(ada, 1)
    rank(ada, 2)
    rank(ada, 2)
    lines = dict(line.rsplit(" ", 1) for line in ada.get("/metrics").text.splitlines() if not line.startswith("#"))
    outcomes = sum(float(lines[f'clpips_fits_total{{outcome="{one}"}}']) for one in ("taken", "proposed"))
    assert outcomes == float(lines["clpips_fit_seconds_count"]) == 1
    assert float(lines['clpips_profile_lookups_total{result="hit"}']) >= 2
