"""`GET /studio`: the page and its files, as a browser is handed them."""

import re
from typing import Any

import pytest
from litestar.testing import TestClient

from clpips.models.metric.weights_files import shipped_weights
from clpips.service.admission.keys import new_key
from clpips.service.pages.files import CONTENT_SECURITY_POLICY, FOLDER, Pages
from tests.support.manifests import ROOT
from tests.support.services import assert_problem, serving

PAGE = (FOLDER / "studio" / "studio.html").read_text()
SCRIPTS = sorted((FOLDER / "studio").glob("*.js"))
IMPORT = re.compile(r'^(?:import|export) .*?from "([^"]+)";|new URL\("([^"]+)", import\.meta\.url\)', re.MULTILINE)


@pytest.fixture
def files(bounded: TestClient[Any]) -> list[str]:
    """The paths of all files that the page names."""
    return ["/" + path for path in re.findall(r'(?:href|src)="(studio/[^"]+)"', bounded.get("/studio").text)]


def test_the_page_is_html_and_is_asked_for_again_each_time(bounded: TestClient[Any]) -> None:
    page = bounded.get("/studio")
    assert page.status_code == 200
    assert page.headers["content-type"] == "text/html; charset=utf-8"
    assert page.headers["cache-control"] == "no-cache"
    again = bounded.get("/studio", headers={"if-none-match": page.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert bounded.get("/studio", headers={"if-none-match": '"another"'}).status_code == 200


def test_its_files_have_their_types_and_are_kept_for_ever(bounded: TestClient[Any], files: list[str]) -> None:
    types = {"css": "text/css; charset=utf-8", "js": "text/javascript; charset=utf-8", "svg": "image/svg+xml"}
    assert {path.rpartition(".")[2] for path in files} == types.keys()
    for path in files:
        answer = bounded.get(path)
        assert answer.status_code == 200, path
        assert answer.headers["content-type"] == types[path.rpartition(".")[2]]
        assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"
        assert bounded.get(path, headers={"if-none-match": answer.headers["etag"]}).status_code == 304


def test_a_file_of_another_version_is_answered_and_not_kept(bounded: TestClient[Any], files: list[str]) -> None:
    digest = Pages.load().digest
    assert f"/studio/{digest}/studio/main.js" in files
    other = bounded.get("/studio/0000000000000000/studio/main.js")
    assert (other.status_code, other.headers["cache-control"]) == (200, "no-cache")


@pytest.mark.parametrize(
    "name", ["studio/none.js", "studio/studio.html", "files.py", "../settings.py", "%2e%2e/settings.py"]
)
def test_what_is_no_file_of_the_page_is_404(bounded: TestClient[Any], name: str) -> None:
    assert_problem(bounded.get(f"/studio/{Pages.load().digest}/{name}"), 404)


def test_nothing_may_come_from_elsewhere_or_be_written_into_the_page(
    bounded: TestClient[Any], files: list[str]
) -> None:
    for path in ["/studio", *files]:
        headers = bounded.get(path).headers
        assert headers["content-security-policy"] == CONTENT_SECURITY_POLICY
        assert headers["x-frame-options"] == "DENY"
        assert headers["x-content-type-options"] == "nosniff"
    rules = dict(rule.split(" ", 1) for rule in CONTENT_SECURITY_POLICY.split("; "))
    assert rules["default-src"] == "'none'"
    assert rules["script-src"] == rules["connect-src"] == "'self'"
    assert rules["frame-ancestors"] == "'none'"
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert "http" not in CONTENT_SECURITY_POLICY


def test_other_answers_keep_their_policy(bounded: TestClient[Any]) -> None:
    assert bounded.get("/healthz").headers["content-security-policy"] == "frame-ancestors 'none'"


def test_the_page_has_no_script_and_no_style_within_it_and_names_no_other_host() -> None:
    assert not re.search(r"<script(?![^>]* src=)|<style| on\w+=| style=", PAGE)
    for path in [FOLDER / "studio" / "studio.html", *SCRIPTS, *(FOLDER / "studio").glob("*.css")]:
        text = path.read_text().replace("http://www.w3.org/2000/svg", "")
        assert not re.search(r"https?://|//[a-z]+\.[a-z]", text), path


def test_every_module_is_used_and_every_module_that_is_used_is_there() -> None:
    used = {(FOLDER / "studio" / "main.js").resolve()}
    for path in SCRIPTS:
        for found in IMPORT.finditer(path.read_text()):
            target = (path.parent / (found[1] or found[2])).resolve()
            assert target.is_file(), f"{path.name} imports {found[0]}"
            used.add(target)
    types = {FOLDER / "studio" / "types.js", FOLDER / "studio" / "source.js"}  # of these only types are used
    assert {path.resolve() for path in {*SCRIPTS} - types} - used == set()


def test_the_page_knows_the_profiles_that_ship_with_the_service() -> None:
    line = re.search(r"const SHIPPED = .*", (FOLDER / "studio" / "profiles.js").read_text())
    assert line is not None
    assert set(re.findall(r'"?([\w-]+)"?: "', line[0])) == set(shipped_weights())


def test_the_page_needs_no_key_and_what_it_asks_for_does() -> None:
    _, line = new_key("ada", "default", ["score"])
    with serving(api_keys=line) as client:
        assert client.get("/studio").status_code == 200
        assert_problem(client.get("/profiles"), 401, "unauthenticated")


def test_a_page_of_another_site_may_lead_to_it(bounded: TestClient[Any]) -> None:
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert bounded.get("/studio", headers=headers).status_code == 200


def test_no_module_of_the_studio_is_long() -> None:
    lengths = {path.name: len(path.read_text().splitlines()) for path in SCRIPTS}
    assert {name: length for name, length in lengths.items() if length > 300} == {}


def test_the_vendored_library_comes_with_its_licence_and_is_named() -> None:
    assert "Copyright (c) 2019 All contributors to Sortable" in (FOLDER / "vendor" / "LICENSE-sortablejs").read_text()
    version = re.search(r"Sortable (\d+\.\d+\.\d+)", (FOLDER / "vendor" / "sortable.js").read_text())
    assert version is not None
    assert f"SortableJS {version[1]}" in (ROOT / "NOTICE").read_text()
