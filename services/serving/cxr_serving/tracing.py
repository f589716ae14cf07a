"""Traces (OpenTelemetry): what one request cost, step by step, through all services.

Off unless a collector is named. A span carries the request's id, method, route template and status,
and of an error its class: no file names, no query strings, no messages, nothing of the image.
"""

import time
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from contextvars import ContextVar

from opentelemetry.trace import Span, SpanKind, StatusCode, Tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator
from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cxr_serving.logs import request_id
from cxr_serving.routes import QUIET_ROUTES, method_of, route_of

_W3C = TraceContextTextMapPropagator()
# Of the service that answers the request; None outside of one, and where traces are off. There is
# no global tracer: several services may live in one process.
_tracer: ContextVar[Tracer | None] = ContextVar("cxr_tracer", default=None)


class Tracing:
    """The traces of one service.

    Args:
        service: Its name, as in the logs.
        endpoint: Base URL of an OTLP/HTTP collector; None for no traces.
    """

    def __init__(self, service: str, endpoint: str | None) -> None:
        self._service = service
        self._endpoint = endpoint
        self.tracer: Tracer | None = None

    @asynccontextmanager
    async def exporting(self) -> AsyncIterator[None]:
        """Send spans to the collector until the end of the block, beside the work."""
        if self._endpoint is None:
            yield
            return
        # The SDK is tenths of a second and some megabytes, for those alone who want traces.
        from cxr_serving.otlp import exporting_tracer

        async with exporting_tracer(self._service, self._endpoint) as self.tracer:
            yield
        self.tracer = None


class TracingMiddleware:
    """Begins a span for each request but the probes', within the trace that its caller names."""

    def __init__(self, app: ASGIApp, tracing: Tracing) -> None:
        self._app = app
        self._tracing = tracing

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        tracer = self._tracing.tracer
        if tracer is None or scope["type"] != "http" or scope["path"] in QUIET_ROUTES:
            await self._app(scope, receive, send)
            return
        status = 499  # the client went away before a response began

        async def send_and_note(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        token = _tracer.set(tracer)
        try:
            with _span(tracer, "request", SpanKind.SERVER, Headers(scope=scope)) as span:
                try:
                    await self._app(scope, receive, send_and_note)
                finally:
                    _describe(span, scope, status)
        finally:
            _tracer.reset(token)


@contextmanager
def step(name: str, *, asks: bool = False) -> Iterator[None]:
    """A part of answering the request; `asks` where another service does the work.

    It joins the trace of the context that it runs in: a thread needs a copy of its caller's.
    """
    tracer = _tracer.get()
    if tracer is None:
        yield
        return
    with _span(tracer, name, SpanKind.CLIENT if asks else SpanKind.INTERNAL):
        yield


def record(name: str, started: float, ended: float, **attributes: int) -> None:
    """A part of answering the request that took place elsewhere; times by `time.perf_counter`."""
    tracer = _tracer.get()
    if tracer is None:
        return
    zero_ns = time.time_ns() - time.perf_counter_ns()
    span = tracer.start_span(name, start_time=zero_ns + round(started * 1e9))
    span.set_attributes({f"cxr.{key}": value for key, value in attributes.items()})
    span.end(zero_ns + round(ended * 1e9))


def trace_headers() -> dict[str, str]:
    """What a request to another service carries, so that its spans join this trace."""
    headers: dict[str, str] = {}
    if _tracer.get() is not None:
        _W3C.inject(headers)
    return headers


@contextmanager
def _span(
    tracer: Tracer, name: str, kind: SpanKind, headers: Mapping[str, str] | None = None
) -> Iterator[Span]:
    context = None if headers is None else _W3C.extract(headers)
    # What an exception says may name the file or its content; its class does not.
    with tracer.start_as_current_span(
        name, context, kind, record_exception=False, set_status_on_exception=False
    ) as span:
        try:
            yield span
        except BaseException as error:
            span.set_attribute("error.type", type(error).__name__)
            span.set_status(StatusCode.ERROR)
            raise


def _describe(span: Span, scope: Scope, status: int) -> None:
    method, route = method_of(scope), route_of(scope)
    span.update_name(f"{method} {route}")
    span.set_attributes(
        {
            "http.request.method": method,
            "http.route": route,
            "http.response.status_code": status,
            "cxr.request_id": request_id.get() or "",
        }
    )
    if status >= 500:
        span.set_status(StatusCode.ERROR)
