"""Alive, ready, metrics, and a log line for each request."""

from typing import Any

import httpx
import pytest
from litestar.testing import TestClient
from prometheus_client.parser import text_string_to_metric_families
from structlog.testing import capture_logs

from clpips import __version__
from clpips.models.metric.backbone import SHIPPED_FINGERPRINT
from clpips.service.app import create_app
from clpips.service.settings import Settings
from tests.support.pictures import encode, picture
from tests.support.services import FakeEngine, assert_problem, distance_body, rank_body, serving

IMAGES = [encode(picture(seed, 40)) for seed in range(3)]


def samples(client: TestClient[Any]) -> dict[tuple[str, frozenset[tuple[str, str]]], float]:
    text = client.get("/metrics").text
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def value(client: TestClient[Any], name: str, **labels: str) -> float:
    return samples(client)[name, frozenset(labels.items())]


def rank(client: TestClient[Any]) -> Any:
    body, content_type = rank_body("json", IMAGES[0], [IMAGES[1], IMAGES[2], IMAGES[1]])
    return client.post("/rank", content=body, headers={"content-type": content_type})


async def test_it_is_alive_but_not_ready_before_the_engine_has_run_a_batch() -> None:
    transport = httpx.ASGITransport(create_app(Settings(), FakeEngine()))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        assert (await client.get("/healthz")).json() == {"status": "alive"}
        assert_problem(await client.get("/readyz"), 503, "not-ready")


async def test_prometheus_hears_that_it_is_not_ready_yet() -> None:
    transport = httpx.ASGITransport(create_app(Settings(), FakeEngine()))  # type: ignore[arg-type]
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        assert "\nclpips_ready 0.0\n" in (await client.get("/metrics")).text


def test_prometheus_hears_that_it_is_ready() -> None:
    with serving() as client:
        assert value(client, "clpips_ready") == 1


def test_it_is_ready_after_a_warm_up_of_both_halves_of_the_engine() -> None:
    engine = FakeEngine()
    with serving(engine) as client:
        assert client.get("/readyz").json() == {"status": "ready"}
    assert engine.embedded > 0
    assert engine.compared == [1]


def test_an_engine_that_fails_its_warm_up_stops_the_start() -> None:
    engine = FakeEngine()
    engine.failure = RuntimeError("no kernel image is available")
    reason = pytest.RaisesExc(RuntimeError, match="no kernel image")
    with pytest.RaisesGroup(reason, flatten_subgroups=True), serving(engine):
        pass


def test_metrics_say_what_runs(client: TestClient[Any]) -> None:
    what = {"engine": "onnx", "device": "cpu", "convolution": "direct", "backbone": SHIPPED_FINGERPRINT}
    assert value(client, "clpips_build_info", version=__version__, **what) == 1


def test_metrics_count_distinct_images_and_the_work_done_for_them() -> None:
    with serving() as client:
        assert value(client, "clpips_images_total", source="decoded") == 0
        assert rank(client).status_code == 200
        assert value(client, "clpips_images_total", source="decoded") == 3
        assert value(client, "clpips_stage_seconds_count", stage="decode") == 3
        assert value(client, "clpips_batch_items_sum", stage="embed") == 3
        assert value(client, "clpips_batch_items_sum", stage="compare") == 3
        busy = sum(value(client, "clpips_stage_seconds_sum", stage=stage) for stage in ("embed", "compare"))
        assert value(client, "clpips_engine_busy_seconds_total") == pytest.approx(busy)


def test_requests_are_counted_by_route_and_never_by_path() -> None:
    with serving() as client:
        rank(client)
        client.get("/nobody-made/this-path")
        client.get("/rank")
        text = client.get("/metrics").text
        labels = {"method": "POST", "path": "/rank", "status_code": "200", "app_name": "clpips"}
        assert value(client, "litestar_requests_total", **labels) == 1
        assert "this-path" not in text


def test_two_apps_in_one_process_do_not_share_their_metrics() -> None:
    with serving() as one, serving() as other:
        rank(one)
        assert value(one, "clpips_images_total", source="decoded") == 3
        assert value(other, "clpips_images_total", source="decoded") == 0


def test_a_request_id_comes_back_with_every_answer(client: TestClient[Any]) -> None:
    ids = {client.get(path).headers["x-request-id"] for path in ("/healthz", "/nope", "/rank", "/schema")}
    assert len(ids) == 4
    assert all(len(request_id) == 32 for request_id in ids)


def test_a_sane_request_id_of_the_client_is_kept(client: TestClient[Any]) -> None:
    response = client.get("/nope", headers={"x-request-id": "run-7/step:3"})
    assert response.headers["x-request-id"] == "run-7/step:3"


@pytest.mark.parametrize("request_id", ["", "a b", "x" * 129, 'a"b', "é"])
def test_another_request_id_of_the_client_is_replaced(client: TestClient[Any], request_id: str) -> None:
    response = client.get("/healthz", headers=[(b"x-request-id", request_id.encode("latin-1"))])
    assert len(response.headers["x-request-id"]) == 32


def test_each_request_is_one_line_of_the_log() -> None:
    with serving() as client, capture_logs() as lines:
        rank(client)
        client.get("/nope")
    requests = [line for line in lines if line["event"] == "request"]
    assert [(line["method"], line["path"], line["status"]) for line in requests] == [
        ("POST", "/rank", 200),
        ("GET", "/nope", 404),
    ]
    assert all(line["log_level"] == "info" and line["seconds"] > 0 for line in requests)


def test_what_supervisors_ask_is_no_noise_in_the_log() -> None:
    with serving() as client, capture_logs() as lines:
        for path in ("/healthz", "/readyz", "/metrics"):
            client.get(path)
    assert {line["log_level"] for line in lines if line["event"] == "request"} == {"debug"}


def test_a_fault_of_ours_is_logged_with_its_reason() -> None:
    engine = FakeEngine()
    with serving(engine) as client, capture_logs() as lines:
        engine.failure = RuntimeError("the device is gone")
        body, content_type = distance_body("json", [(IMAGES[0], IMAGES[1])])
        client.post("/distance", content=body, headers={"content-type": content_type})
    (line,) = (line for line in lines if line["event"] == "request failed")
    assert "the device is gone" in repr(line["exc_info"])
