"""What a supervisor and Prometheus ask: alive, ready, and how it goes."""

from litestar import Response, get
from litestar.di import NamedDependency
from litestar.enums import MediaType
from prometheus_client import CONTENT_TYPE_LATEST, generate_latest

from clpips.service.admission.door import Door
from clpips.service.openapi.health import AliveOperation, MetricsOperation, ReadyOperation
from clpips.service.ops.telemetry import Telemetry
from clpips.service.problems import NotReady
from clpips.service.scoring.threads import EngineThreads
from clpips.service.wire.schemas import Health


class Readiness:
    """Whether requests are welcome."""

    def __init__(self, engine: EngineThreads, door: Door) -> None:
        self.warm = False
        self._engine = engine
        self._door = door

    @property
    def reason(self) -> str | None:
        """Why requests are not welcome; None when they are."""
        if not self.warm:
            return "the engine has not run its first batch yet"
        if self._door.closed:
            return "the service is stopping"
        if self._engine.failing:
            return "the engine fails; it is tried again every second"
        return None


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
