"""Traces: their context comes in and goes on, spans say where the time went, and nothing is paid for nothing."""

import json
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from litestar.testing import TestClient
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from clpips.models.engines.contract import Images
from clpips.models.metric.families import ALEXNET
from clpips.service.app import create_app
from clpips.service.ops.traces import parse_traceparent, span
from clpips.service.settings import Settings
from tests.support.colours import ColourEngine, rank, teach
from tests.support.services import FakeEngine, FakeFeatures, serving

TRACE, SPAN = "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7"
TOLD = {"traceparent": f"00-{TRACE}-{SPAN}-01"}


@pytest.fixture
def spans() -> InMemorySpanExporter:
    return InMemorySpanExporter()


@pytest.fixture
def client(spans: InMemorySpanExporter) -> Iterator[TestClient[Any]]:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    with TemporaryDirectory() as folder:
        settings = Settings(database_url=f"sqlite:///{folder}/clpips.db", request_seconds=100.0)
        app = create_app(settings, ColourEngine(), fit_niceness=0, tracer=provider.get_tracer("test"))
        with TestClient(app) as client:
            yield client


def by_name(spans: InMemorySpanExporter) -> dict[str, list[ReadableSpan]]:
    found: dict[str, list[ReadableSpan]] = {}
    for one in spans.get_finished_spans():
        found.setdefault(one.name, []).append(one)
    return found


def test_a_traced_ranking_has_a_span_for_each_thing_that_takes_time(
    client: TestClient[Any], spans: InMemorySpanExporter
) -> None:
    client.post("/profiles", json={"name": "ada"})
    spans.clear()
    rank(client, 1, **TOLD)
    found = by_name(spans)
    assert {"read", "image", "decode", "queue", "embed", "compare", "weigh", "database"} <= found.keys()
    (root,) = found["POST /rank"]
    assert f"{root.context.trace_id:032x}" == TRACE
    assert root.parent is not None
    assert f"{root.parent.span_id:016x}" == SPAN
    assert {f"{one.context.trace_id:032x}" for each in found.values() for one in each} == {TRACE}
    for one in spans.get_finished_spans():
        assert one.start_time is not None
        assert one.end_time is not None
        assert one.start_time <= one.end_time
    spans.clear()
    teach(client, 2)
    assert "fit" in by_name(spans)


def test_the_trace_goes_on_in_the_answer(client: TestClient[Any]) -> None:
    told = client.get("/healthz", headers=TOLD).headers["traceparent"]
    assert told.split("-")[1] == TRACE
    assert told.split("-")[2] != SPAN


def test_without_a_tracer_a_trace_is_taken_named_in_the_log_and_passed_on() -> None:
    with serving(FakeEngine()) as client:
        answer = client.get("/nowhere", headers=TOLD)
        assert answer.headers["traceparent"].startswith(f"00-{TRACE}-")
        assert answer.headers["traceparent"].endswith("-01")
        assert "traceparent" not in client.get("/healthz").headers


def test_the_log_names_the_trace(client: TestClient[Any], capsys: pytest.CaptureFixture[str]) -> None:
    client.get("/profiles", headers=TOLD)
    assert TRACE in capsys.readouterr().out


@pytest.mark.parametrize(
    "text",
    [
        "",
        "00-00000000000000000000000000000000-00f067aa0ba902b7-01",
        f"00-{TRACE}-0000000000000000-01",
        f"ff-{TRACE}-{SPAN}-01",
        f"00-{TRACE.upper()}-{SPAN}-01",
        f"00-{TRACE}-{SPAN}-01-more",
        f"00-{TRACE}-{SPAN}",
        "x" * 5000,
    ],
)
def test_what_is_no_trace_context_is_as_if_it_were_not_there(text: str) -> None:
    assert parse_traceparent(text) is None


def test_a_span_that_nobody_asked_for_costs_nothing_measurable() -> None:
    started = time.perf_counter()
    for _ in range(100_000):
        with span("decode"):
            pass
    assert (time.perf_counter() - started) / 100_000 < 20e-6  # a ranking has some fifty of them, and takes 100 ms


def test_spans_can_be_written_as_json(client: TestClient[Any], spans: InMemorySpanExporter) -> None:
    client.get("/profiles", headers=TOLD)
    assert all(json.loads(one.to_json())["name"] for one in spans.get_finished_spans())


class Held(ColourEngine):
    """An engine that embeds when the test lets it."""

    def __init__(self) -> None:
        super().__init__()
        self.came, self.may_go = threading.Event(), threading.Event()
        self.may_go.set()

    def embed(self, images: Images, *, more: bool = False, network: str = ALEXNET) -> list[FakeFeatures]:
        self.came.set()
        assert self.may_go.wait(30)
        return super().embed(images, more=more, network=network)


def test_an_image_that_two_requests_share_links_both_traces(spans: InMemorySpanExporter) -> None:
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(spans))
    engine = Held()
    with TemporaryDirectory() as folder, ThreadPoolExecutor(2) as threads:
        settings = Settings(database_url=f"sqlite:///{folder}/clpips.db", request_seconds=100.0)
        with TestClient(create_app(settings, engine, tracer=provider.get_tracer("test"))) as client:
            engine.came.clear()
            engine.may_go.clear()
            first = threads.submit(rank, client, 3, "lpips", **TOLD)
            assert engine.came.wait(30)
            other = TOLD["traceparent"].replace("4bf9", "aaaa")
            second = threads.submit(rank, client, 3, "lpips", traceparent=other)
            while client.app.state.door.__len__() < 2:
                time.sleep(0.01)  # the second request is on its way in
            time.sleep(0.5)  # and asks for its images
            engine.may_go.set()
            assert first.result()["ranking"] == second.result()["ranking"]
    found = by_name(spans)
    traces = {f"{link.context.trace_id:032x}" for one in found["join"] for link in one.links}
    assert traces == {TRACE}
    back = {f"{link.context.trace_id:032x}" for one in found["image"] for link in one.links}
    assert back == {TRACE.replace("4bf9", "aaaa")}
