"""OpenTelemetry's tracer, where the settings ask for one and it is installed."""

from typing import Any

from clpips.models.installing import install_hint
from clpips.service.settings import SettingsError


def open_tracer() -> Any:
    """OpenTelemetry's tracer, which exports as its own `OTEL_…` variables say.

    Raises `SettingsError` where it is not installed.
    """
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError as error:
        raise SettingsError(f"CLPIPS_TRACING: {error.name} is not installed: {install_hint('otel')}") from error
    provider = TracerProvider(resource=Resource.create({"service.name": "clpips"}))  # OTEL_SERVICE_NAME wins
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    return provider.get_tracer("clpips")
