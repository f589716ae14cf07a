"""The gateway's application: its parts opened and closed, its routes, the page."""

import asyncio
import logging
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager

from fastapi import FastAPI

from cxr_gateway.api import drift as drift_api
from cxr_gateway.api import models, operations, pictures, studies, system
from cxr_gateway.api.documents import install_examples
from cxr_gateway.archive import Archive, StoredStudy, open_archive
from cxr_gateway.drift.observing import DriftObserver
from cxr_gateway.examination import Examined, Examiner, PictureGate
from cxr_gateway.gate import GateModelError, load_gate
from cxr_gateway.joining import JoiningError, load_joinings
from cxr_gateway.metrics import GatewayMetrics
from cxr_gateway.page import add_page
from cxr_gateway.parts import Parts
from cxr_gateway.pictures import Pictures
from cxr_gateway.protection import ProtectionMiddleware
from cxr_gateway.readers import ReaderOpener, open_readers
from cxr_gateway.reading import ReadingRoom
from cxr_gateway.settings import GatewaySettings
from cxr_gateway.shadow.answering import Answering
from cxr_gateway.shadow.room import ShadowRoom
from cxr_gateway.upload import ENVELOPE_BYTES
from cxr_serving.errors import ServiceError
from cxr_serving.product import VERSION
from cxr_serving.service import Readiness, create_service
from cxr_serving.starting import StartFailureMiddleware

_LOG = logging.getLogger(__name__)
# Of the REST API, not of the product: the document must be the same wherever it is exported.
API_VERSION = "1.0"
TITLE = "Open chest X-ray reader"
DESCRIPTION = (
    "A chest radiograph goes in; the most likely findings, the suspicious regions and how urgent "
    "it is come out. Research use only, not a medical device. Every error is an RFC 9457 problem."
)
_STARTS_FAIL_WITH = (ServiceError, GateModelError, JoiningError)


def create_app(
    settings: GatewaySettings,
    *,
    gate: PictureGate | None = None,
    readers: ReaderOpener = open_readers,
) -> FastAPI:
    """The gateway as an ASGI app; nothing is opened or loaded before its lifespan begins.

    Args:
        settings: limits, places, addresses.
        gate: a loaded gate; without one, what `settings` name is loaded at start.
        readers: opens the readers' clients.
    """
    metrics, readiness = GatewayMetrics(), Readiness()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            app.state.parts = parts = await _open(stack, settings, gate, readers, metrics)
            await stack.enter_async_context(_watched(parts.archive, readiness, settings))
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
    )
    app.add_middleware(ProtectionMiddleware, allowed_hosts=settings.resolved_allowed_hosts)
    app.add_middleware(StartFailureMiddleware, name="gateway", known=_STARTS_FAIL_WITH)
    for routes in (studies, pictures, system, models, drift_api, operations):
        app.include_router(routes.router)
    add_page(app, settings.page_dir)
    install_examples(app)
    return app


async def _open(
    stack: AsyncExitStack,
    settings: GatewaySettings,
    gate: PictureGate | None,
    readers: ReaderOpener,
    metrics: GatewayMetrics,
) -> Parts:
    archive = await stack.enter_async_context(open_archive(settings))
    threads = stack.enter_context(
        ThreadPoolExecutor(settings.cpu_threads, thread_name_prefix="image")
    )
    if gate is None:
        gate = await asyncio.to_thread(load_gate, settings.gate_model_dir)
    joinings = await asyncio.to_thread(load_joinings, settings.joining_dir)
    clients = await stack.enter_async_context(readers(settings))
    answering = Answering(clients, archive, settings.promotion_poll_s)
    await stack.enter_async_context(answering.kept_current())
    examiner = Examiner(gate, answering, joinings, threads, metrics)
    drawn = Pictures(archive, examiner, settings)
    shadows = ShadowRoom(
        archive, examiner, answering, joinings, settings=settings, registry=metrics.registry
    )

    def on_read(stored: StoredStudy, examined: Examined) -> None:
        drawn.expect(stored)
        shadows.expect(stored, examined)

    reading = ReadingRoom(archive, examiner, metrics, settings, on_read)
    await stack.enter_async_context(drawn.made_when_idle(reading.idle))
    await stack.enter_async_context(shadows.read_when_idle(reading.idle))
    drift = DriftObserver(
        archive,
        answering,
        gate.manifest.weights.sha256,
        settings=settings,
        registry=metrics.registry,
    )
    await stack.enter_async_context(drift.kept_in_metrics())
    return Parts(VERSION, settings, archive, drawn, reading, answering, gate, joinings, drift)


@asynccontextmanager
async def _watched(
    archive: Archive, readiness: Readiness, settings: GatewaySettings
) -> AsyncIterator[None]:
    """Keep `readiness` at what the archive is: writable or not. The readers do not matter here."""

    async def watch() -> None:
        while True:
            await asyncio.sleep(settings.readiness_interval_s)
            await _check(archive, readiness)

    await _check(archive, readiness)
    watcher = asyncio.create_task(watch())
    try:
        yield
    finally:
        watcher.cancel()


async def _check(archive: Archive, readiness: Readiness) -> None:
    try:
        await archive.check_writable()
    except ServiceError as error:
        if readiness.ready:
            _LOG.error("the archive cannot be used", extra={"detail": error.detail})
        readiness.mark_unready(error.detail)
    else:
        if not readiness.ready:
            _LOG.info("ready")
        readiness.mark_ready()
