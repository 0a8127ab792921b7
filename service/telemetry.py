"""Every Prometheus metric of the service, declared once. No label holds a profile, a key or a path parameter."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from litestar.plugins.prometheus import PrometheusConfig, PrometheusMiddleware
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, Info, ProcessCollector

from models import __version__
from models.engines import Engine
from service.memory import MemoryCollector

SECONDS: Final = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
HTTP_LABELS: Final = ("method", "path", "status_code", "app_name")  # as Litestar's plugin fills them in


class Telemetry:
    """The metrics of one app, in a registry of their own."""

    def __init__(self) -> None:
        registry = self.registry = CollectorRegistry()
        ProcessCollector(registry=registry)
        registry.register(MemoryCollector())
        self.stage_seconds = Histogram(
            "clpips_stage_seconds",
            "Time of one unit of work: decode (and resize) one image, embed one batch, compare one batch",
            ["stage"],
            registry=registry,
            buckets=SECONDS,
        )
        self.engine_busy_seconds = Counter(
            "clpips_engine_busy_seconds_total", "Time in which the engine was computing", registry=registry
        )
        self.images = Counter(
            "clpips_images_total", "Distinct images of requests, by where they came from", ["source"], registry=registry
        )
        self.ready = Gauge("clpips_ready", "1 when requests are welcome, as /readyz says; else 0", registry=registry)
        self.build = Info("clpips_build", "What this process runs", registry=registry)
        self.http_requests = Counter("litestar_requests_total", "Requests", HTTP_LABELS, registry=registry)
        self.http_errors = Counter(
            "litestar_requests_error_total", "Requests answered with 500 or above", HTTP_LABELS, registry=registry
        )
        self.http_seconds = Histogram(
            "litestar_request_duration_seconds",
            "Time from a request's head to its answer",
            HTTP_LABELS,
            registry=registry,
            buckets=SECONDS,
        )
        self.http_in_progress = Gauge(
            "litestar_requests_in_progress", "Requests that are being answered", HTTP_LABELS, registry=registry
        )
        for stage in ("decode", "embed", "compare"):
            self.stage_seconds.labels(stage)
        self.images.labels("decoded")

    def describe(self, engine: Engine) -> None:
        """Say what runs: `clpips_build_info`."""
        self.build.info(
            {"version": __version__, "engine": engine.name, "device": engine.device, "backbone": engine.fingerprint}
        )

    @contextmanager
    def stage(self, name: str, *, engine: bool = False) -> Iterator[None]:
        """Time one unit of work of a stage; `engine` says that the engine is busy with it."""
        start = time.perf_counter()
        try:
            yield
        finally:
            seconds = time.perf_counter() - start
            self.stage_seconds.labels(name).observe(seconds)
            if engine:
                self.engine_busy_seconds.inc(seconds)

    def http_config(self) -> PrometheusConfig:
        """Litestar's HTTP metrics, by route template, in this app's registry and not in the process's global one."""
        return _HttpConfig(app_name="clpips", group_path=True, middleware_class=_HttpMetrics, telemetry=self)


@dataclass
class _HttpConfig(PrometheusConfig):
    telemetry: Telemetry | None = None


class _HttpMetrics(PrometheusMiddleware):
    """Litestar's middleware with this app's metrics in place of ones shared by the whole process."""

    @property
    def _telemetry(self) -> Telemetry:
        telemetry: Telemetry = self._config.telemetry  # type: ignore[attr-defined]
        return telemetry

    def request_count(self, _: dict[str, Any]) -> Counter:
        return self._telemetry.http_requests

    def request_time(self, _: dict[str, Any]) -> Histogram:
        return self._telemetry.http_seconds

    def requests_in_progress(self, _: dict[str, Any]) -> Gauge:
        return self._telemetry.http_in_progress

    def requests_error_count(self, _: dict[str, Any]) -> Counter:
        return self._telemetry.http_errors
