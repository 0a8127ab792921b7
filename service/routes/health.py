"""Liveness, readiness and metrics: `GET /healthz`, `/readyz` and `/metrics`."""

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.enums import MediaType
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from clpips.service.openapi.health import AliveOperation, MetricsOperation, ReadyOperation
from clpips.service.ops.telemetry import Telemetry
from clpips.service.problems import NotReady
from clpips.service.scoring.readiness import Readiness
from clpips.service.wire.schemas import Health


@get(
    "/healthz",
    operation_id="healthz",
    summary="Alive",
    tags=["health"],
    operation_class=AliveOperation,
    sync_to_thread=False,
)
def healthz() -> Health:
    """200 as long as the process answers at all."""
    return Health("alive")


@get(
    "/readyz",
    operation_id="readyz",
    summary="Ready",
    tags=["health"],
    operation_class=ReadyOperation,
    sync_to_thread=False,
)
def readyz(readiness: NamedDependency[Readiness]) -> Health:
    """200 once the engine has run a batch; 503 before that, while it fails, and from SIGTERM on."""
    if readiness.reason is not None:
        raise NotReady(readiness.reason)
    return Health("ready")


@get(
    "/metrics",
    operation_id="metrics",
    summary="Metrics",
    tags=["health"],
    operation_class=MetricsOperation,
    media_type=MediaType.TEXT,
    sync_to_thread=False,
)
def metrics(telemetry: NamedDependency[Telemetry]) -> Response[bytes]:
    """Metrics in Prometheus's text format."""
    return Response(generate_latest(telemetry.registry), media_type=CONTENT_TYPE_LATEST)
