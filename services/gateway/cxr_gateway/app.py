"""The gateway's application: its parts opened and closed, its routes, the page."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI
from starlette.middleware import Middleware

from cxr_gateway.access.middleware import install_access
from cxr_gateway.access.provider import ProviderOpener, open_provider
from cxr_gateway.access.reception import Reception
from cxr_gateway.api import (
    audit,
    drift,
    exports,
    models,
    operations,
    pictures,
    removal,
    session,
    studies,
    system,
)
from cxr_gateway.api.documents import install_examples
from cxr_gateway.api.security import install_security
from cxr_gateway.archive import Archive, StoredStudy, open_archive
from cxr_gateway.audit import open_audit_log
from cxr_gateway.audit.middleware import AuditMiddleware
from cxr_gateway.deidentification.exports import Exports
from cxr_gateway.drift.observing import DriftObserver
from cxr_gateway.examination import Examined, Examiner, PictureGate
from cxr_gateway.forwarded import ForwardedMiddleware
from cxr_gateway.gate import GateModelError, load_gate
from cxr_gateway.joining import JoiningError, load_joinings
from cxr_gateway.metrics import GatewayMetrics
from cxr_gateway.page import add_page
from cxr_gateway.parts import Parts
from cxr_gateway.pictures import Pictures
from cxr_gateway.protection import ProtectionMiddleware
from cxr_gateway.readers import ReaderOpener, open_readers
from cxr_gateway.reading import ReadingRoom
from cxr_gateway.retention import cleaned_daily
from cxr_gateway.settings import GatewaySettings
from cxr_gateway.shadow.answering import Answering
from cxr_gateway.shadow.room import ShadowRoom
from cxr_gateway.upload import ENVELOPE_BYTES
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
    pictures,
    exports,
    removal,
    system,
    session,
    models,
    drift,
    audit,
    operations,
)
_STARTS_FAIL_WITH = (ServiceError, GateModelError, JoiningError)


def create_app(
    settings: GatewaySettings,
    *,
    gate: PictureGate | None = None,
    readers: ReaderOpener = open_readers,
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
    gate: PictureGate | None,
    readers: ReaderOpener,
    provider: ProviderOpener,
) -> Parts:
    archive = await stack.enter_async_context(open_archive(settings))
    audit_log = await stack.enter_async_context(open_audit_log(settings))
    await stack.enter_async_context(cleaned_daily(archive, settings))
    threads = stack.enter_context(
        ThreadPoolExecutor(settings.cpu_threads, thread_name_prefix="image")
    )
    if gate is None:
        gate = await asyncio.to_thread(load_gate, settings.gate_model_dir)
    joinings = await asyncio.to_thread(load_joinings, settings.joining_dir)
    clients = await stack.enter_async_context(readers(settings))
    signing_in = await stack.enter_async_context(provider(settings))
    reception = Reception(archive.engine, archive.in_thread, settings, signing_in)
    answering = Answering(clients, archive, settings.promotion_poll_s)
    await stack.enter_async_context(answering.kept_current())
    examiner = Examiner(gate, answering, joinings, threads, metrics)
    drawn = Pictures(archive, examiner, settings)
    shadows = ShadowRoom(
        archive, examiner, answering, joinings, settings=settings, registry=metrics.registry
    )
    reading = ReadingRoom(archive, examiner, metrics, settings, _announcing(drawn, shadows))
    await stack.enter_async_context(drawn.made_when_idle(reading.idle))
    await stack.enter_async_context(shadows.read_when_idle(reading.idle))
    gate_sha256 = gate.manifest.weights.sha256
    observer = DriftObserver(
        archive, answering, gate_sha256, settings=settings, registry=metrics.registry
    )
    await stack.enter_async_context(observer.kept_in_metrics())
    return Parts(
        VERSION,
        settings,
        archive,
        audit_log,
        drawn,
        Exports(archive, examiner),
        reading,
        answering,
        gate,
        joinings,
        observer,
        reception,
    )


def _announcing(drawn: Pictures, shadows: ShadowRoom) -> Callable[[StoredStudy, Examined], None]:
    """What is made of a study later, by those who have time: its pictures, a shadow's answer."""

    def on_read(stored: StoredStudy, examined: Examined) -> None:
        drawn.expect(stored)
        shadows.expect(stored, examined)

    return on_read


@asynccontextmanager
async def _watched(
    parts: Parts, readiness: Readiness, metrics: GatewayMetrics
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
