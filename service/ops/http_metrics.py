"""Litestar's HTTP metrics, by route template, in an app's own registry and not in the process's global one."""

from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final

from litestar.plugins.prometheus import PrometheusConfig, PrometheusMiddleware
from prometheus_client import Counter, Gauge, Histogram

from clpips.service.ops.telemetry import Telemetry

APP_NAME: Final = "clpips"


def http_config(telemetry: Telemetry) -> PrometheusConfig:
    """What has each request that reaches a route counted by its outcome."""
    return _HttpConfig(app_name=APP_NAME, group_path=True, middleware_class=_HttpMetrics, telemetry=telemetry)


def count_unrouted(telemetry: Telemetry, method: str, path: str, status: HTTPStatus, seconds: float) -> None:
    """Count a request that was answered before it reached its route, as if it had."""
    labels = (method, path, str(int(status)), APP_NAME)
    telemetry.http_requests.labels(*labels).inc()
    telemetry.http_seconds.labels(*labels).observe(seconds)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        telemetry.http_errors.labels(*labels).inc()


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
