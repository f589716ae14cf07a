"""Spans are sent by OTLP over HTTP; imported only where traces are on.

The SDK's own variables apply beside the address: OTEL_EXPORTER_OTLP_HEADERS, _CERTIFICATE and
_TIMEOUT, OTEL_BSP_*, OTEL_TRACES_SAMPLER, OTEL_RESOURCE_ATTRIBUTES.
"""

import asyncio
import logging
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter, SpanExportResult
from opentelemetry.trace import Tracer

from cxr_serving.product import VERSION

_LOG = logging.getLogger("cxr.tracing")
_TRACES_PATH = "/v1/traces"
# The last spans have this long to reach the collector; no service waits for one that has gone.
_FAREWELL_S = 2.0


@asynccontextmanager
async def exporting_tracer(service: str, endpoint: str) -> AsyncIterator[Tracer]:
    """A tracer whose spans a thread sends to the collector at `endpoint`.

    They wait in a bounded queue: a collector that is slow or away costs spans, never time.
    """
    resource = Resource.create(
        {"service.name": service, "service.namespace": "cxr", "service.version": VERSION}
    )
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    exporter = LoggingExporter(OTLPSpanExporter(endpoint.rstrip("/") + _TRACES_PATH))
    provider.add_span_processor(BatchSpanProcessor(exporter))
    try:
        yield provider.get_tracer("cxr", VERSION)
    finally:
        farewell = threading.Thread(target=provider.shutdown, daemon=True)
        farewell.start()
        await asyncio.to_thread(farewell.join, _FAREWELL_S)


class LoggingExporter(SpanExporter):
    """Passes spans on, and logs when the collector stops taking them and when it takes them again.

    The SDK's own lines, several for each failed attempt, are silenced in `configure_logging`.
    """

    def __init__(self, inner: SpanExporter) -> None:
        self._inner = inner
        self._taken = True

    def export(self, spans: Sequence[ReadableSpan]) -> SpanExportResult:
        """In the SDK's thread."""
        result = self._inner.export(spans)
        taken = result is SpanExportResult.SUCCESS
        if taken and not self._taken:
            _LOG.info("the collector takes traces again")
        elif self._taken and not taken:
            _LOG.warning("the collector does not take traces; they are dropped until it does")
        self._taken = taken
        return result

    def shutdown(self) -> None:
        """Once, at the end."""
        self._inner.shutdown()
