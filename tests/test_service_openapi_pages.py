"""The pages of the API document: the root leads there, and they need nothing from elsewhere."""

from typing import Any

import pytest
from litestar.testing import TestClient


@pytest.mark.parametrize(
    ("accept", "location"),
    [
        ("*/*", "/schema"),
        ("text/html,application/xhtml+xml,*/*;q=0.8", "/schema"),
        ("application/json", "/schema/openapi.json"),
    ],
)
def test_the_root_leads_to_the_page_and_a_program_to_the_document(
    client: TestClient[Any], accept: str, location: str
) -> None:
    answer = client.get("/", headers={"accept": accept}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (307, location)
    assert client.get("/", headers={"accept": accept}).status_code == 200


def test_the_page_needs_nothing_from_elsewhere(client: TestClient[Any]) -> None:
    page = client.get("/schema")
    assert page.headers["content-type"].startswith("text/html")
    assert "//" not in page.text.replace("<!DOCTYPE html>", "")
    for name, media_type in (("swagger-ui-bundle.js", "text/javascript"), ("swagger-ui.css", "text/css")):
        assert f"/schema/{name}" in page.text
        asset = client.get(f"/schema/{name}")
        assert asset.status_code == 200
        assert asset.headers["content-type"].startswith(media_type)
        assert len(asset.text) > 100_000  # the client has unpacked it


def test_an_unknown_page_below_schema_is_problem_json(client: TestClient[Any]) -> None:
    response = client.get("/schema/nonsense")
    assert response.status_code == 404
    assert response.headers["content-type"] == "application/problem+json"
