"""Who gets in through a browser: hosts, origins, preflights, and what no answer goes without."""

from collections.abc import Iterator
from typing import Any

import pytest
from litestar.testing import TestClient

from clpips.service.admission.hosts import Hosts, parse_authority
from clpips.service.admission.keys import new_key
from clpips.service.admission.origins import Origins
from clpips.service.app import create_app
from clpips.service.settings import Settings, SettingsError
from tests.support.pictures import npy, picture
from tests.support.services import FakeEngine, assert_problem, rank_body, serving

STUDIO = "https://studio.example.com"
SECRET, LINE = new_key("ada", "studio", ("score", "teach", "admin"))
IMAGES = [npy(picture(seed, 40)) for seed in range(2)]


@pytest.fixture(scope="module")
def client() -> Iterator[TestClient[Any]]:
    """An open service on a laptop, which pages of one other site may use."""
    with serving(cors_origins=STUDIO, allowed_hosts="clpips.example.com, *.lab.example.com") as client:
        yield client


@pytest.fixture(scope="module")
def keyed() -> Iterator[TestClient[Any]]:
    with serving(api_keys=LINE) as client:
        yield client


# --- the name that is asked for ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:8000",
        "LOCALHOST:8000",
        "app.localhost",
        "127.0.0.1:8000",
        "[::1]:8000",
        "10.1.2.3:8000",  # a kubelet's probe, a scrape: no name of anybody's can be rebound
        "clpips",
        "clpips:8000",
        "clpips.clpips.svc:80",
        "clpips.clpips.svc.cluster.local",
        "clpips.example.com",
        "clpips.example.com.",
        "gpu1.lab.example.com:8000",
    ],
)
def test_local_and_configured_names_are_taken(client: TestClient[Any], host: str) -> None:
    assert client.get("/healthz", headers={"host": host}).status_code == 200


@pytest.mark.parametrize(
    "host",
    [
        "evil.example",
        "evil.example:8000",
        "localhost.evil.example",
        "127.0.0.1.nip.io",
        "clpips.example.com.evil.example",
        "xlab.example.com",
        "lab.example.com",
    ],
)
def test_a_name_that_a_stranger_could_own_is_refused_everywhere(client: TestClient[Any], host: str) -> None:
    for method, path in (("GET", "/profiles"), ("GET", "/metrics"), ("POST", "/profiles"), ("GET", "/schema")):
        problem = assert_problem(client.request(method, path, headers={"host": host}), 403, "host-refused")
        assert "CLPIPS_ALLOWED_HOSTS" in problem["detail"]


@pytest.mark.parametrize(
    "host", ["", "a b", "localhost:99999", "localhost:x", "localhost:-1", "[::1", "[::zz]", "u@localhost", "a/b", "ä"]
)
def test_what_cannot_be_a_host_is_a_bad_request(client: TestClient[Any], host: str) -> None:
    assert_problem(client.get("/healthz", headers=[(b"host", host.encode())]), 400)


def test_two_hosts_are_one_too_many(client: TestClient[Any]) -> None:
    assert_problem(client.get("/healthz", headers=[("host", "localhost"), ("host", "evil.example")]), 400)


def test_with_keys_the_names_of_a_service_that_others_reach_are_its_proxys_business() -> None:
    guarded = Hosts.from_settings(Settings(host="0.0.0.0"), guarded=True)
    assert "any.example.com" in guarded
    named = Hosts.from_settings(Settings(allowed_hosts="clpips.example.com"), guarded=True)
    assert "any.example.com" not in named
    assert "any.example.com" in Hosts.from_settings(Settings(allowed_hosts="*"), guarded=False)
    assert "any.example.com" not in Hosts.from_settings(Settings(), guarded=False)


@pytest.mark.parametrize("hosts", ["https://a.example", "a.example:80", "a b", "a.*.example"])
def test_a_configured_name_that_is_none_is_refused_at_the_start(hosts: str) -> None:
    with pytest.raises(SettingsError, match="CLPIPS_ALLOWED_HOSTS has"):
        create_app(Settings(allowed_hosts=hosts), FakeEngine())


def test_a_host_is_a_name_and_a_port() -> None:
    assert parse_authority("Localhost:8000") == ("localhost", 8000)
    assert parse_authority("[::1]:") == ("[::1]", None)


# --- the page that asks -----------------------------------------------------------------------------------------------

FOREIGN = [
    {"origin": "https://evil.example"},
    {"origin": "null"},  # a file, or a frame in a sandbox
    {"origin": "http://localhost:3000"},  # another server on the same machine
    {"origin": "http://testserver.local.evil.example"},
    {"origin": "https://evil.example", "sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},
    {"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"},
    {"sec-fetch-site": "same-site", "sec-fetch-mode": "cors"},
]


@pytest.mark.parametrize("headers", FOREIGN, ids=str)
def test_pages_of_other_sites_change_nothing_and_cost_nothing(client: TestClient[Any], headers: dict[str, str]) -> None:
    for method, path in (
        ("POST", "/profiles"),
        ("POST", "/profiles/ada/reset"),
        ("POST", "/rank"),
        ("POST", "/distance"),
        ("PUT", "/profiles/ada/weights"),
        ("DELETE", "/profiles/ada"),
        ("GET", "/profiles/ada/suggest"),
        ("GET", "/profiles/ada/rankings"),
    ):
        response = client.request(method, path, content=b'{"name": "forged"}', headers=headers)
        assert_problem(response, 403, "origin-refused")
        assert "access-control-allow-origin" not in response.headers
    assert client.get("/profiles").json()["profiles"] == []


def test_keys_make_no_difference_to_that(keyed: TestClient[Any]) -> None:
    headers = {"origin": "https://evil.example", "authorization": f"Bearer {SECRET}"}
    assert_problem(keyed.post("/profiles", json={"name": "ada"}, headers=headers), 403, "origin-refused")


@pytest.mark.parametrize(
    "headers",
    [
        {},  # a program
        {"origin": "http://testserver.local"},  # the service's own page
        {"origin": "http://testserver.local:80"},
        {"origin": "https://testserver.local"},  # behind a proxy that speaks TLS
        {"sec-fetch-site": "same-origin", "origin": "https://clpips.example.com"},  # behind one that changes the host
        {"sec-fetch-site": "none"},  # typed by a person
        {"origin": STUDIO},
        {"origin": STUDIO, "sec-fetch-site": "cross-site", "sec-fetch-mode": "cors"},
    ],
    ids=str,
)
def test_programs_own_pages_and_listed_sites_may(client: TestClient[Any], headers: dict[str, str]) -> None:
    body, content_type = rank_body("json", IMAGES[0], IMAGES)
    assert client.post("/rank", content=body, headers={"content-type": content_type, **headers}).status_code == 200


def test_a_link_from_another_site_leads_to_the_pages(client: TestClient[Any]) -> None:
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    for path in ("/schema", "/healthz", "/profiles"):
        assert client.get(path, headers=headers).status_code == 200


def test_a_listed_site_reads_answers_and_their_headers_errors_too(client: TestClient[Any]) -> None:
    for path, status in (("/profiles", 200), ("/profiles/nobody", 404), ("/nowhere", 404)):
        response = client.get(path, headers={"origin": STUDIO})
        assert response.status_code == status
        assert response.headers["access-control-allow-origin"] == STUDIO
        assert "X-Request-ID" in response.headers["access-control-expose-headers"]
        assert "Origin" in response.headers["vary"]
    other = client.get("/healthz", headers={"origin": "https://evil.example"})
    assert "access-control-allow-origin" not in other.headers
    assert "Origin" in other.headers["vary"]  # or a cache would give the one's answer to the other


def test_a_browser_that_asks_first_is_told(client: TestClient[Any], keyed: TestClient[Any]) -> None:
    asks = {"access-control-request-method": "POST", "access-control-request-headers": "authorization,content-type"}
    allowed = client.options("/rank", headers={"origin": STUDIO, **asks})
    assert allowed.status_code == 204
    assert "POST" in allowed.headers["access-control-allow-methods"]
    assert {"Authorization", "Content-Type"} <= set(allowed.headers["access-control-allow-headers"].split(", "))
    private = client.options(
        "/rank", headers={"origin": STUDIO, "access-control-request-private-network": "true", **asks}
    )
    assert private.headers["access-control-allow-private-network"] == "true"
    for one in (client, keyed):
        refused = one.options("/rank", headers={"origin": "https://evil.example", **asks})
        assert_problem(refused, 403, "origin-refused")
        assert "access-control-allow-origin" not in refused.headers


@pytest.mark.parametrize("origins", ["studio.example.com", "https://a.example/path", "https://u@a.example", "a b"])
def test_a_listed_origin_that_is_none_is_refused_at_the_start(origins: str) -> None:
    with pytest.raises(SettingsError, match="CLPIPS_CORS_ORIGINS has"):
        create_app(Settings(cors_origins=origins), FakeEngine())


def test_origins_are_compared_as_browsers_write_them() -> None:
    listed = Origins.from_settings(
        Settings(cors_origins="https://Studio.example.com:443/, http://a.example:8080, null")
    )
    assert all(origin in listed for origin in ("https://studio.example.com", "http://a.example:8080", "null"))
    assert not any(
        origin in listed for origin in ("http://studio.example.com", "http://a.example", "https://a.example")
    )
    assert "https://any.example" in Origins.from_settings(Settings(cors_origins="*"))
    assert not Origins.from_settings(Settings())


# --- what no answer goes without --------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", ["/schema", "/healthz", "/metrics", "/nowhere", "/profiles"])
def test_no_answer_is_guessed_at_or_framed(client: TestClient[Any], path: str) -> None:
    headers = client.get(path).headers
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["x-frame-options"] == "DENY"
    assert "frame-ancestors 'none'" in headers["content-security-policy"]


@pytest.mark.parametrize("path", ["//metrics", "/metrics/", "/metrics//", "/profiles//ada", "/%2Fmetrics", "///"])
def test_a_path_with_an_empty_segment_leads_nowhere(client: TestClient[Any], path: str) -> None:
    assert_problem(client.get(f"http://localhost{path}"), 404)


def test_refusals_are_counted(client: TestClient[Any]) -> None:
    client.get("/profiles", headers={"host": "evil.example"})
    client.post("/rank", headers={"origin": "https://evil.example"})
    metrics = client.get("/metrics").text
    for reason in ("host", "origin"):
        (line,) = (one for one in metrics.splitlines() if one.startswith(f'clpips_rejected_total{{reason="{reason}"}}'))
        assert float(line.split()[-1]) >= 1
