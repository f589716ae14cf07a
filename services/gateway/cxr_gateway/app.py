"""The gateway's application: its parts opened and closed, its routes, the page."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI
from starlette.middleware import Middleware

from cxr_gateway.access.authenticator import Authenticator
from cxr_gateway.access.oidc import ProviderOpener, open_provider
from cxr_gateway.analysis.analyzer import Analysis, Analyzer, OodModel
from cxr_gateway.analysis.pipeline import AnalysisPipeline
from cxr_gateway.analysis.rescoring import RescoringError, load_rescorings
from cxr_gateway.api.dependencies import AppState
from cxr_gateway.api.documents import install_examples
from cxr_gateway.api.routes import (
    audit,
    deletion,
    drift,
    exports,
    images,
    models,
    operations,
    session,
    studies,
    system,
)
from cxr_gateway.api.security import install_security
from cxr_gateway.api.spa import add_page
from cxr_gateway.api.upload import ENVELOPE_BYTES
from cxr_gateway.archive import Archive, StoredStudy, open_archive
from cxr_gateway.audit import open_audit_log
from cxr_gateway.core.metrics import GatewayMetrics
from cxr_gateway.core.settings import GatewaySettings
from cxr_gateway.drift.observer import DriftObserver
from cxr_gateway.exports.deidentification.exports import Exports
from cxr_gateway.inference.clients import ClientOpener, open_clients
from cxr_gateway.inference.routing import ModelRouter
from cxr_gateway.middleware.access import install_access
from cxr_gateway.middleware.audit import AuditMiddleware
from cxr_gateway.middleware.client_address import ForwardedMiddleware
from cxr_gateway.middleware.security_headers import ProtectionMiddleware
from cxr_gateway.ood import OodModelError, load_ood_detector
from cxr_gateway.rendering.cache import Pictures
from cxr_gateway.retention import cleaned_daily
from cxr_gateway.shadow.runner import ShadowRunner
from cxr_serving.errors import ServiceError
from cxr_serving.model_folder import identity_of
from cxr_serving.product import VERSION
from cxr_serving.service import Readiness, create_service
from cxr_serving.starting import StartFailureMiddleware
from cxr_serving.tracing import Tracing

_LOG = logging.getLogger(__name__)
# Of the REST API, not of the product: the document must be the same wherever it is exported.
API_VERSION = "1.0"
TITLE = "Open chest X-ray reader"
DESCRIPTION = (
    "A chest radiograph goes in; the most likely findings, the suspicious regions and how urgent "
    "it is come out. Research use only, not a medical device. Every error is an RFC 9457 problem."
)
_ROUTES = (
    studies,
    images,
    exports,
    deletion,
    system,
    session,
    models,
    drift,
    audit,
    operations,
)
_STARTS_FAIL_WITH = (ServiceError, OodModelError, RescoringError)


def create_app(
    settings: GatewaySettings,
    *,
    gate: OodModel | None = None,
    readers: ClientOpener = open_clients,
    provider: ProviderOpener = open_provider,
) -> FastAPI:
    """The gateway as an ASGI app; nothing is opened or loaded before its lifespan begins.

    Args:
        settings: limits, places, addresses.
        gate: a loaded gate; without one, what `settings` name is loaded at start.
        readers: opens the readers' clients.
        provider: opens the client of the OpenID provider.
    """
    metrics, readiness = GatewayMetrics(), Readiness()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            app.state.parts = parts = await _open(
                stack, settings, metrics, gate=gate, readers=readers, provider=provider
            )
            await stack.enter_async_context(_watched(parts, readiness, metrics))
            yield
            readiness.mark_unready("The service is stopping.")
            await parts.reading.close()

    app = create_service(
        title=TITLE,
        version=API_VERSION,
        description=DESCRIPTION,
        metrics=metrics,
        readiness=readiness,
        max_body_bytes=settings.max_upload_bytes + ENVELOPE_BYTES,
        lifespan=lifespan,
        tracing=Tracing("gateway", settings.resolved_traces_endpoint),
    )
    _add_outer_middleware(app, settings)
    app.add_middleware(StartFailureMiddleware, name="gateway", known=_STARTS_FAIL_WITH)
    for part in _ROUTES:
        app.include_router(part.router)
    add_page(app, settings.page_dir)
    install_access(app, settings)
    install_examples(app)
    install_security(app)
    return app


def _add_outer_middleware(app: FastAPI, settings: GatewaySettings) -> None:
    # Within the request's id, which is the outermost: refusals are put on record with it.
    app.user_middleware[1:1] = [
        Middleware(ForwardedMiddleware, proxies=settings.trusted_proxies),
        Middleware(AuditMiddleware),
        Middleware(
            ProtectionMiddleware,
            allowed_hosts=settings.resolved_allowed_hosts,
            is_https=settings.is_https,
        ),
    ]


async def _open(
    stack: AsyncExitStack,
    settings: GatewaySettings,
    metrics: GatewayMetrics,
    *,
    gate: OodModel | None,
    readers: ClientOpener,
    provider: ProviderOpener,
) -> AppState:
    archive = await stack.enter_async_context(open_archive(settings))
    audit_log = await stack.enter_async_context(open_audit_log(settings))
    await stack.enter_async_context(cleaned_daily(archive, settings))
    threads = stack.enter_context(
        ThreadPoolExecutor(settings.cpu_threads, thread_name_prefix="image")
    )
    if gate is None:
        gate = await asyncio.to_thread(load_ood_detector, settings.ood_model_dir)
    rescorings = await asyncio.to_thread(load_rescorings, settings.rescoring_dir)
    clients = await stack.enter_async_context(readers(settings))
    signing_in = await stack.enter_async_context(provider(settings))
    authenticator = Authenticator(archive.engine, archive.in_thread, settings, signing_in)
    answering = ModelRouter(clients, archive, settings.promotion_poll_s)
    await stack.enter_async_context(answering.kept_current())
    analyzer = Analyzer(gate, answering, rescorings, threads, metrics)
    drawn = Pictures(archive, analyzer, settings)
    shadows = ShadowRunner(
        archive, analyzer, answering, rescorings, settings=settings, registry=metrics.registry
    )
    reading = AnalysisPipeline(archive, analyzer, metrics, settings, _announcing(drawn, shadows))
    await stack.enter_async_context(drawn.made_when_idle(reading.idle))
    await stack.enter_async_context(shadows.read_when_idle(reading.idle))
    gate_sha256 = gate.manifest.weights.sha256
    observer = DriftObserver(
        archive, answering, gate_sha256, settings=settings, registry=metrics.registry
    )
    await stack.enter_async_context(observer.kept_in_metrics())
    return AppState(
        VERSION,
        settings,
        archive,
        audit_log,
        drawn,
        Exports(archive, analyzer),
        reading,
        answering,
        gate,
        rescorings,
        observer,
        authenticator,
    )


def _announcing(drawn: Pictures, shadows: ShadowRunner) -> Callable[[StoredStudy, Analysis], None]:
    """What is made of a study later, by those who have time: its pictures, a shadow's answer."""

    def on_read(stored: StoredStudy, examined: Analysis) -> None:
        drawn.expect(stored)
        shadows.expect(stored, examined)

    return on_read


@asynccontextmanager
async def _watched(
    parts: AppState, readiness: Readiness, metrics: GatewayMetrics
) -> AsyncIterator[None]:
    """Keep `readiness` at what the archive is: writable or not. The readers do not matter here."""

    async def watch() -> None:
        while True:
            await asyncio.sleep(parts.settings.readiness_interval_s)
            await _check(parts.archive, readiness, metrics)

    metrics.name_model("gate", identity_of(parts.gate.manifest))
    await _check(parts.archive, readiness, metrics)
    watcher = asyncio.create_task(watch())
    try:
        yield
    finally:
        watcher.cancel()


async def _check(archive: Archive, readiness: Readiness, metrics: GatewayMetrics) -> None:
    try:
        room = await archive.in_thread(archive.files.room)
        metrics.archive_free.set(room.free)
        metrics.archive_size.set(room.total)
        await archive.check_writable()
    except ServiceError as error:
        if readiness.ready:
            _LOG.error("the archive cannot be used", extra={"detail": error.detail})
        readiness.mark_unready(error.detail)
    else:
        if not readiness.ready:
            _LOG.info("ready")
        readiness.mark_ready()
