"""The common frame of an HTTP service: one call makes an app with everything but its own routes."""

from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Literal

from fastapi import FastAPI, Response
from fastapi.telemetry import TelemetryConfig
from pydantic import BaseModel, Field

from cxr_serving.errors import Unavailable
from cxr_serving.memory import releasing_memory
from cxr_serving.metrics import ServiceMetrics
from cxr_serving.middleware import install_middleware
from cxr_serving.problems import install_error_handlers, install_openapi, problem_responses
from cxr_serving.tracing import Tracing

_NO_TELEMETRY: TelemetryConfig = {
    "tracing": False,
    "metrics": False,
    "logs": False,
    "operation_spans": False,
    "auto_configure": False,
}
Lifespan = Callable[[FastAPI], AbstractAsyncContextManager[None]]


class Health(BaseModel):
    """The body of a probe."""

    status: Literal["alive", "ready"] = Field(description="What was asked.")


class Readiness:
    """Whether a service can take requests; it cannot until someone says so."""

    def __init__(self, reason: str = "The service is starting.") -> None:
        self._reason: str | None = reason

    def mark_ready(self) -> None:
        """From now on `/readyz` answers 200."""
        self._reason = None

    def mark_unready(self, reason: str) -> None:
        """From now on `/readyz` answers 503 with `reason`, a sentence."""
        self._reason = reason

    @property
    def ready(self) -> bool:
        """Whether the service can take requests."""
        return self._reason is None

    def check(self) -> None:
        """Raise Unavailable with the reason if the service cannot take requests."""
        if self._reason is not None:
            raise Unavailable(self._reason)


def create_service(
    *,
    title: str,
    version: str,
    description: str,
    metrics: ServiceMetrics,
    readiness: Readiness,
    max_body_bytes: int,
    lifespan: Lifespan | None = None,
    tracing: Tracing | None = None,
) -> FastAPI:
    """An app with problem bodies, middleware, `/livez`, `/readyz` and `/metrics`.

    Args:
        title: Of the OpenAPI document.
        version: Of the service.
        description: Of the OpenAPI document.
        metrics: The app's own; answered at `/metrics`.
        readiness: Answered at `/readyz`.
        max_body_bytes: A longer request is answered 413 before it is buffered.
        lifespan: What to do at start and at the end.
        tracing: Where the traces go; nowhere without.
    """
    tracing = tracing or Tracing(title, None)
    # Without FastAPI's documentation pages: they load scripts from elsewhere. Without its own
    # telemetry: it sends query strings and what exceptions say; `tracing.py` does not.
    app = FastAPI(
        title=title,
        version=version,
        description=description,
        lifespan=_within(tracing, lifespan or _nothing),
        docs_url=None,
        redoc_url=None,
        telemetry=_NO_TELEMETRY,
    )
    install_error_handlers(app)
    install_openapi(app)
    install_middleware(app, metrics, tracing, max_body_bytes=max_body_bytes)
    metrics.watch_readiness(lambda: readiness.ready)
    _add_operations(app, metrics, readiness)
    return app


def _within(tracing: Tracing, lifespan: Lifespan) -> Lifespan:
    """`lifespan`, around which spans are sent: those of its end, too."""

    @asynccontextmanager
    async def both(app: FastAPI) -> AsyncIterator[None]:
        async with tracing.exporting(), releasing_memory(), lifespan(app):
            yield

    return both


@asynccontextmanager
async def _nothing(_app: FastAPI) -> AsyncIterator[None]:
    yield


def _add_operations(app: FastAPI, metrics: ServiceMetrics, readiness: Readiness) -> None:
    @app.get(
        "/livez",
        operation_id="getLiveness",
        tags=["operations"],
        summary="Process is up",
        responses={200: {"description": "It is."}},
    )
    async def livez() -> Health:
        """Nothing else is asked of it."""
        return Health(status="alive")

    @app.get(
        "/readyz",
        operation_id="getReadiness",
        tags=["operations"],
        summary="Ready to take requests",
        responses={200: {"description": "It is."}, **problem_responses(Unavailable)},
    )
    async def readyz() -> Health:
        """503 says why it cannot."""
        readiness.check()
        return Health(status="ready")

    @app.get(
        "/metrics",
        operation_id="getMetrics",
        tags=["operations"],
        summary="Prometheus metrics",
        response_class=Response,
        responses={
            200: {
                "description": "Counts and times; nothing of a patient.",
                "content": {"text/plain": {"schema": {"type": "string"}}},
            }
        },
    )
    async def get_metrics() -> Response:
        """In Prometheus' text format."""
        return Response(metrics.exposition(), media_type=metrics.content_type)
