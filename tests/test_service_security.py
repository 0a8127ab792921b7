"""API keys, tenants, scopes and rates: who may do what, and what the others do not even learn."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from litestar.testing import TestClient

import clpips.service.cli
from clpips.models.cli.commands import commands
from clpips.service.admission.access import Access, Caller
from clpips.service.admission.binding import is_reachable, require_safe_binding
from clpips.service.admission.keys import KeyScope, new_key, parse_keys
from clpips.service.admission.rates import Bounds, Rates
from clpips.service.problems import TooManyRequests
from clpips.service.settings import Settings, SettingsError
from tests.support.pictures import npy, picture
from tests.support.services import assert_problem, rank_body, serving

IMAGES = [npy(picture(seed, 40)) for seed in range(3)]
KEYS: dict[str, tuple[str, str]] = {
    "ada": new_key("ada", "studio", ("score", "teach", "admin")),
    "viewer": new_key("viewer", "studio", ("score",)),
    "eve": new_key("eve", "rivals", ("score", "teach", "admin")),
}
LINES = "\n".join(line for _, line in KEYS.values())


def bearer(name: str) -> dict[str, str]:
    return {"authorization": f"Bearer {KEYS[name][0]}"}


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient[Any]]:
    with serving(api_keys=LINES) as client:
        client.post("/profiles", json={"name": "warm"}, headers=bearer("ada"))
        yield client


def rank(client: TestClient[Any], name: str, profile: str) -> Any:
    body, content_type = rank_body("msgpack", IMAGES[0], IMAGES[1:], profile=profile)
    return client.post("/rank", content=body, headers={"content-type": content_type, **bearer(name)})


@pytest.mark.parametrize("headers", [{}, {"authorization": "Bearer"}, {"authorization": "Basic YTpi"}])
def test_without_a_key_nothing_is_answered_and_the_challenge_says_how(
    client: TestClient[Any], headers: dict[str, str]
) -> None:
    for method, path in (("POST", "/rank"), ("POST", "/distance"), ("GET", "/profiles"), ("DELETE", "/profiles/warm")):
        response = client.request(method, path, headers=headers)
        assert_problem(response, 401, "unauthenticated")
        assert response.headers["www-authenticate"].startswith("Bearer")


def test_an_unknown_key_is_refused_without_being_repeated(client: TestClient[Any]) -> None:
    response = client.get("/profiles", headers={"authorization": "Bearer clpips_guess"})
    assert_problem(response, 401, "unauthenticated")
    assert "guess" not in response.text


def test_health_and_the_description_need_no_key(client: TestClient[Any]) -> None:
    for path in ("/healthz", "/readyz", "/metrics", "/schema", "/schema/openapi.json"):
        assert client.get(path).status_code == 200


def test_a_key_may_do_what_its_scopes_say_and_no_more(client: TestClient[Any]) -> None:
    assert rank(client, "viewer", "warm").status_code == 200
    assert client.get("/profiles", headers=bearer("viewer")).status_code == 200
    comparison = rank(client, "viewer", "warm").json()["comparison"]
    suggested = client.get("/profiles/warm/suggest", params={"comparison": comparison}, headers=bearer("viewer"))
    assert suggested.status_code == 200
    for method, path in (
        ("POST", "/profiles"),
        ("POST", "/profiles/warm/rankings"),
        ("POST", "/profiles/warm/fit"),
        ("POST", "/profiles/warm/rollback"),
        ("POST", "/profiles/warm/reset"),
        ("GET", "/profiles/warm/weights"),
        ("GET", "/profiles/warm/rankings"),
        ("GET", "/profiles/warm/rankings/1"),
        ("DELETE", "/profiles/warm/rankings/1"),
        ("PUT", "/profiles/warm/weights"),
        ("DELETE", "/profiles/warm"),
    ):
        problem = assert_problem(client.request(method, path, headers=bearer("viewer")), 403, "forbidden")
        assert "'viewer' has score" in problem["detail"]


def test_a_tenant_cannot_tell_anothers_profile_from_none(client: TestClient[Any]) -> None:
    comparison = rank(client, "ada", "warm").json()["comparison"]
    for method, path, body in (
        ("GET", "/profiles/{}", None),
        ("DELETE", "/profiles/{}", None),
        ("POST", "/profiles/{}/fit", None),
        ("POST", "/profiles/{}/reset", None),
        ("POST", "/profiles/{}/rollback", {"version": 1}),
        ("GET", "/profiles/{}/weights", None),
        ("GET", "/profiles/{}/rankings", None),
        ("GET", "/profiles/{}/rankings/1", None),
        ("DELETE", "/profiles/{}/rankings/1", None),
        ("GET", f"/profiles/{{}}/suggest?comparison={comparison}", None),
        ("POST", "/profiles/{}/rankings", {"comparison": comparison, "order": [1, 0]}),
    ):
        answers = [
            client.request(method, path.format(name), json=body, headers=bearer("eve")) for name in ("warm", "none")
        ]
        warm, none = (assert_problem(answer, 404, "profile-not-found") for answer in answers)
        assert warm["detail"].replace("warm", "none") == none["detail"]
    ranks = [assert_problem(rank(client, "eve", name), 422, "unknown-profile") for name in ("warm", "none")]
    assert ranks[0]["detail"].replace("warm", "none") == ranks[1]["detail"]
    assert client.get("/profiles", headers=bearer("eve")).json()["profiles"] == []


def test_two_tenants_may_have_a_profile_of_the_same_name(client: TestClient[Any]) -> None:
    for name in ("ada", "eve"):
        assert client.post("/profiles", json={"name": "same"}, headers=bearer(name)).status_code == 201
    assert client.delete("/profiles/same", headers=bearer("eve")).status_code == 200
    assert client.get("/profiles/same", headers=bearer("ada")).status_code == 200


def test_a_comparison_belongs_to_the_tenant_that_ranked(client: TestClient[Any]) -> None:
    client.post("/profiles", json={"name": "eves"}, headers=bearer("eve"))
    body = {"comparison": rank(client, "ada", "warm").json()["comparison"], "order": [1, 0]}
    response = client.post("/profiles/eves/rankings", json=body, headers=bearer("eve"))
    assert_problem(response, 404, "comparison-not-found")
    asked = {"comparison": body["comparison"]}
    response = client.get("/profiles/eves/suggest", params=asked, headers=bearer("eve"))
    assert_problem(response, 404, "comparison-not-found")


def test_more_requests_than_the_rate_are_told_when_to_come_back() -> None:
    with serving(api_keys=LINES, rate_limit=3) as client:
        answers = [client.get("/profiles", headers=bearer("ada")) for _ in range(4)]
        assert [answer.status_code for answer in answers] == [200, 200, 200, 429]
        assert_problem(answers[3], 429, "too-many-requests")
        assert 1 <= int(answers[3].headers["retry-after"]) <= 21
        assert client.get("/profiles", headers=bearer("eve")).status_code == 200


def test_a_rate_is_refilled_evenly() -> None:
    now = 100.0
    access = Access(parse_keys(LINES, "test"), Rates(Bounds(requests=60), clock=lambda: now))
    caller: Caller = access.caller(bearer("ada")["authorization"])
    for _ in range(60):
        access.require_rate(caller)
    with pytest.raises(TooManyRequests):
        access.require_rate(caller)
    now += 1.0
    access.require_rate(caller)
    with pytest.raises(TooManyRequests):
        access.require_rate(caller)


def test_the_keys_of_a_tenant_share_a_rate_where_that_is_set() -> None:
    with serving(api_keys=LINES, rate_limit=3, rate_limit_by="tenant") as client:
        names = ["ada", "viewer", "ada", "viewer"]
        assert [client.get("/profiles", headers=bearer(name)).status_code for name in names] == [200, 200, 200, 429]
        assert client.get("/profiles", headers=bearer("eve")).status_code == 200


def test_images_have_a_rate_of_their_own_held_or_not() -> None:
    with serving(api_keys=LINES, rate_limit_images=7) as client:
        assert [rank(client, "ada", "lpips").status_code for _ in range(3)] == [200, 200, 429]  # of three images
        problem = assert_problem(rank(client, "ada", "lpips"), 429, "too-many-requests")
        assert "the key 'ada' may send 7 images a minute" in problem["detail"]
        assert rank(client, "eve", "lpips").status_code == 200
        assert client.get("/profiles", headers=bearer("ada")).status_code == 200, "it has no images"


def test_cost_counts_pixels_that_are_embedded() -> None:
    def at(client: TestClient[Any], resolution: int) -> int:
        body, content_type = rank_body("msgpack", IMAGES[0], IMAGES[1:], resolution=resolution)
        headers = {"content-type": content_type, **bearer("ada")}
        return client.post("/rank", content=body, headers=headers).status_code

    with serving(api_keys=LINES, rate_limit_cost=20) as client:
        assert at(client, 512) == 200  # three images of four units
        assert at(client, 512) == 200, "held features cost nothing"
        assert at(client, 511) == 429
        assert at(client, 256) == 200  # three units of eight


def test_a_request_above_the_rate_is_taken_alone_and_what_it_owes_is_waited_for() -> None:
    now = 0.0
    rates = Rates(Bounds(images=10), clock=lambda: now)
    rates.take_images("ada", "studio", 30, 0)
    with pytest.raises(TooManyRequests, match="wait 120 s"):
        rates.take_request("ada", "studio")
    now = 121.0
    rates.take_request("ada", "studio")
    with pytest.raises(TooManyRequests):
        rates.take_images("ada", "studio", 30, 0)


def test_a_key_is_configured_by_its_hash_alone() -> None:
    secret, line = new_key("ada", "studio", ("score",))
    (key,) = parse_keys(f"# keys\n\n{line}  # hers\n", "test")
    assert (key.name, key.tenant, key.scopes) == ("ada", "studio", frozenset({"score"}))
    assert secret not in line
    assert Access([key], None).caller(f"bearer {secret}").key == "ada"


def test_every_line_that_is_no_key_is_named_and_not_repeated() -> None:
    secret = new_key("ada", "studio", ("score",))[0]
    text = f"ada studio score {secret}\nb c\n\nd e fly sha256:{'0' * 64}\n! t score sha256:{'0' * 64}"
    with pytest.raises(SettingsError) as error:
        parse_keys(text, "keys.txt")
    assert re.findall(r"line (\d)", str(error.value)) == ["1", "2", "4", "5"]
    assert secret not in str(error.value)


def test_keys_come_from_a_file_too_and_names_are_taken_once(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(LINES)
    access = Access.from_settings(Settings(api_keys_file=file))
    assert access.caller(bearer("eve")["authorization"]).tenant == "rivals"
    with pytest.raises(SettingsError, match="ada, eve, viewer stands there more than once"):
        Access.from_settings(Settings(api_keys_file=file, api_keys=LINES))
    file.write_text("# none yet\n")
    with pytest.raises(SettingsError, match="has no key"):
        Access.from_settings(Settings(api_keys_file=file))
    with pytest.raises(SettingsError, match="cannot read CLPIPS_API_KEYS_FILE"):
        Access.from_settings(Settings(api_keys_file=tmp_path / "nowhere"))


@pytest.mark.parametrize(("host", "reachable"), [("127.0.0.1", False), ("::1", False), ("0.0.0.0", True), ("::", True)])
def test_which_addresses_other_machines_can_reach(host: str, reachable: bool) -> None:
    assert is_reachable(host) == reachable


def test_an_open_service_is_not_bound_where_others_reach_it_unless_that_is_meant() -> None:
    with pytest.raises(SettingsError, match="CLPIPS_ALLOW_OPEN=1"):
        require_safe_binding(Settings(host="0.0.0.0"), Access([], None))
    require_safe_binding(Settings(host="0.0.0.0", allow_open=True), Access([], None))
    require_safe_binding(Settings(host="127.0.0.1"), Access([], None))
    require_safe_binding(Settings(host="0.0.0.0"), Access(parse_keys(LINES, "test"), None))


def test_the_key_command_makes_a_key_that_opens() -> None:
    assert callable(clpips.service.cli.main)  # importing it adds the service's commands
    output = CliRunner().invoke(commands, ["key", "ada", "--tenant", "studio", "--scope", "admin"]).output
    found = re.search(r"client: +(\S+)\n.*service: +(.+)\n", output)
    assert found is not None
    caller = Access(parse_keys(found[2], "test"), None).caller(f"Bearer {found[1]}")
    scopes: frozenset[KeyScope] = frozenset({"admin"})
    assert caller == Caller("ada", "studio", scopes)
