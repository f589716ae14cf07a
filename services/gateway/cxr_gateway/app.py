"""The gateway's application: its state opened and closed, its routes, the page."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import AsyncExitStack, asynccontextmanager, closing
from functools import partial

from fastapi import FastAPI
from starlette.middleware import Middleware

from cxr_gateway.access.authenticator import Authenticator
from cxr_gateway.access.oidc import ProviderOpener, open_provider
from cxr_gateway.access.permissions import Operations
from cxr_gateway.analysis.analyzer import Analysis, Analyzer, OodModel
from cxr_gateway.analysis.later import LaterAnalyses
from cxr_gateway.analysis.pipeline import AnalysisPipeline
from cxr_gateway.analysis.triage_folder import TriageModelError
from cxr_gateway.analysis.triage_model import load_triage_models
from cxr_gateway.api.dependencies import AppState
from cxr_gateway.api.documents import install_examples
from cxr_gateway.api.routes import (
    audit,
    batch,
    changes,
    deletion,
    dicomweb,
    drift,
    exports,
    feedback,
    fhir,
    first_read,
    images,
    models,
    operations,
    problems,
    report,
    review,
    session,
    studies,
    system,
    webhooks,
    worklist,
)
from cxr_gateway.api.security import install_security
from cxr_gateway.api.shares import Most, Shares
from cxr_gateway.api.spa import add_page
from cxr_gateway.api.streams import EventStreams
from cxr_gateway.api.upload import ENVELOPE_BYTES
from cxr_gateway.archive import Archive, StoredStudy, open_archive
from cxr_gateway.archive.api_keys import Keys
from cxr_gateway.archive.promotions import latest_promotions
from cxr_gateway.archive.sessions import Sessions
from cxr_gateway.archive.triage_thresholds import site_thresholds
from cxr_gateway.audit import AuditLog, by_the_machine, open_audit_log
from cxr_gateway.audit.watching import audit_watched
from cxr_gateway.changes.feed import ChangeFeed
from cxr_gateway.core.background import in_background, repeat
from cxr_gateway.core.errors import StorageFull
from cxr_gateway.core.metrics import GatewayMetrics
from cxr_gateway.core.settings import GatewaySettings
from cxr_gateway.drift.observer import DriftObserver
from cxr_gateway.drift.urgent_share import UrgentShare
from cxr_gateway.exports.deidentification.exports import Exports
from cxr_gateway.exports.dicom.results import DicomResults
from cxr_gateway.feedback.first_reads import FirstOpinions
from cxr_gateway.feedback.reviews import Reviews
from cxr_gateway.imaging.decoders import open_decoder
from cxr_gateway.inference.clients import ClientOpener, open_clients
from cxr_gateway.inference.routing import ModelRouter
from cxr_gateway.middleware.access import AccessMiddleware
from cxr_gateway.middleware.audit import AuditMiddleware
from cxr_gateway.middleware.client_address import ClientAddressMiddleware
from cxr_gateway.middleware.compression import CompressionMiddleware
from cxr_gateway.middleware.operation import OperationMiddleware
from cxr_gateway.middleware.security_headers import SecurityHeadersMiddleware
from cxr_gateway.ood import load_ood_detector
from cxr_gateway.rendering.cache import RenderedImages
from cxr_gateway.reporting.drafting import Templates
from cxr_gateway.reporting.reports import Reports
from cxr_gateway.retention.daily import cleaned_daily
from cxr_gateway.shadow.runner import ShadowRunner
from cxr_gateway.webhooks.addresses import AddressPolicy
from cxr_gateway.webhooks.dispatcher import WebhookDispatcher
from cxr_gateway.webhooks.sending import open_sender
from cxr_serving.errors import ServiceError
from cxr_serving.middleware import (
    BodyLimitMiddleware,
    MetricsMiddleware,
    RequestIdMiddleware,
    UnexpectedErrorMiddleware,
)
from cxr_serving.model_folder import ModelFolderError, identity_of
from cxr_serving.product import VERSION
from cxr_serving.service import Readiness, create_service
from cxr_serving.starting import StartFailureMiddleware
from cxr_serving.tracing import Tracing, TracingMiddleware

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
    batch,
    worklist,
    review,
    first_read,
    report,
    images,
    exports,
    dicomweb,
    fhir,
    deletion,
    changes,
    webhooks,
    system,
    session,
    models,
    drift,
    feedback,
    audit,
    operations,
    problems,
)
_STARTS_FAIL_WITH = (ServiceError, ModelFolderError, TriageModelError)


def create_app(
    settings: GatewaySettings,
    *,
    ood: OodModel | None = None,
    clients: ClientOpener = open_clients,
    provider: ProviderOpener = open_provider,
) -> FastAPI:
    """The gateway as an ASGI app; nothing is opened or loaded before its lifespan begins.

    Args:
        settings: limits, places, addresses.
        ood: a loaded OOD detector; without one, the one in `settings` is loaded at start.
        clients: opens the clients of the inference services.
        provider: opens the client of the OpenID provider.
    """
    metrics, readiness = GatewayMetrics(), Readiness()

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            app.state.gateway = state = await _open(
                stack, settings, metrics, ood=ood, clients=clients, provider=provider
            )
            await stack.enter_async_context(_watched(state, readiness, metrics))
            yield
            readiness.mark_unready("The service is stopping.")
            await state.pipeline.close()

    tracing = Tracing("gateway", settings.resolved_traces_endpoint)
    app = create_service(
        title=TITLE,
        version=API_VERSION,
        description=DESCRIPTION,
        metrics=metrics,
        readiness=readiness,
        max_body_bytes=_max_body_bytes(settings),
        lifespan=lifespan,
        tracing=tracing,
    )
    for part in _ROUTES:
        # As they were made at import: `include_router` would build each of them anew, which takes
        # longer than all the rest of a start.
        app.router.routes.extend(part.router.routes)
    add_page(app, settings.page_dir)
    app.user_middleware = _middleware(Operations(app.routes), settings, metrics, tracing)
    install_security(app)
    # The last: headers and examples of what the others add, too.
    install_examples(app)
    return app


def _middleware(
    operations: Operations, settings: GatewaySettings, metrics: GatewayMetrics, tracing: Tracing
) -> list[Middleware]:
    """All middleware, the outermost first."""
    return [
        Middleware(StartFailureMiddleware, name="gateway", known=_STARTS_FAIL_WITH),
        # Refusals, too, are logged and put on record with the request's id.
        Middleware(RequestIdMiddleware),
        Middleware(ClientAddressMiddleware, proxies=settings.trusted_proxies),
        Middleware(OperationMiddleware, operations=operations),
        Middleware(AuditMiddleware),
        Middleware(
            SecurityHeadersMiddleware,
            allowed_hosts=settings.resolved_allowed_hosts,
            is_https=settings.is_https,
        ),
        Middleware(TracingMiddleware, tracing=tracing),
        Middleware(MetricsMiddleware, metrics=metrics),
        Middleware(CompressionMiddleware),
        Middleware(BodyLimitMiddleware, max_body_bytes=_max_body_bytes(settings)),
        Middleware(UnexpectedErrorMiddleware),
        # The innermost: its refusals are counted and logged like every response.
        Middleware(AccessMiddleware, settings=settings),
    ]


def _max_body_bytes(settings: GatewaySettings) -> int:
    return settings.max_upload_bytes + ENVELOPE_BYTES


async def _open(
    stack: AsyncExitStack,
    settings: GatewaySettings,
    metrics: GatewayMetrics,
    *,
    ood: OodModel | None,
    clients: ClientOpener,
    provider: ProviderOpener,
) -> AppState:
    archive = await stack.enter_async_context(open_archive(settings))
    audit_log = await stack.enter_async_context(open_audit_log(settings, metrics.audit))
    await _note_start(audit_log)
    await stack.enter_async_context(audit_watched(archive, settings, metrics.audit))
    await stack.enter_async_context(cleaned_daily(archive, settings))
    threads = stack.enter_context(
        ThreadPoolExecutor(settings.cpu_threads, thread_name_prefix="image")
    )
    if ood is None:
        ood = await asyncio.to_thread(load_ood_detector, settings.ood_model_dir)
    triage = await asyncio.to_thread(load_triage_models, settings)
    thresholds = partial(archive.query, site_thresholds)
    await stack.enter_async_context(triage.kept_current(thresholds, settings.triage_refresh_s))
    templates = await asyncio.to_thread(Templates.read, settings.report_templates)
    opened = await stack.enter_async_context(clients(settings))
    signing_in = await stack.enter_async_context(provider(settings))
    authenticator = Authenticator(
        Keys(archive.engine),
        Sessions(archive.engine, settings),
        archive.in_thread,
        settings,
        signing_in,
        on_failure=metrics.sign_in_failures.inc,
    )
    promotions = partial(archive.query, latest_promotions)
    router = ModelRouter(opened, promotions, settings.promotion_poll_s)
    await stack.enter_async_context(router.kept_current())
    decoder = stack.enter_context(
        closing(await asyncio.to_thread(open_decoder, settings, metrics.decoder_failures.inc))
    )
    analyzer = Analyzer(ood, router, triage, decoder=decoder, threads=threads, metrics=metrics)
    images = RenderedImages(archive, analyzer, settings)
    shadows = ShadowRunner(
        archive, analyzer, router, triage, settings=settings, registry=metrics.registry
    )
    pipeline = AnalysisPipeline(archive, analyzer, metrics, settings, _announcing(images, shadows))
    later = LaterAnalyses(archive, pipeline, settings)
    await stack.enter_async_context(later.at_work())
    await stack.enter_async_context(images.made_when_idle(pipeline.idle))
    await stack.enter_async_context(shadows.read_when_idle(pipeline.idle))
    ood_sha256 = ood.manifest.weights.sha256
    observer = DriftObserver(
        archive, router, ood_sha256, settings=settings, registry=metrics.registry
    )
    await stack.enter_async_context(observer.kept_in_metrics())
    urgent_share = UrgentShare(
        archive,
        router,
        triage,
        refresh_s=settings.drift_refresh_s,
        registry=metrics.registry,
    )
    await stack.enter_async_context(urgent_share.kept_in_metrics())
    changes = ChangeFeed(archive, settings.changes_poll_s)
    await stack.enter_async_context(changes.watched())
    sender = await stack.enter_async_context(
        open_sender(AddressPolicy(settings.webhook_allow), settings.webhook_timeout_s)
    )
    dispatcher = WebhookDispatcher(archive, sender, audit_log, settings)
    await stack.enter_async_context(dispatcher.at_work())
    return AppState(
        VERSION,
        settings,
        archive,
        audit_log,
        images,
        Exports(archive, analyzer),
        DicomResults(archive, analyzer),
        pipeline,
        router,
        ood,
        triage,
        observer,
        authenticator,
        _upload_shares(settings),
        Reviews(archive),
        FirstOpinions(archive),
        Reports(archive, analyzer, templates),
        changes,
        EventStreams(changes, authenticator, audit_log, settings, metrics.event_streams),
        later,
        sender,
        dispatcher,
    )


def _upload_shares(settings: GatewaySettings) -> Shares:
    most = Most(
        settings.max_uploads, settings.max_uploads_per_principal, settings.max_uploads_per_address
    )
    return Shares("uploads", most, is_open=settings.resolved_access == "open")


async def _note_start(log: AuditLog) -> None:
    """So that a log is never empty: what has no entry has been emptied."""
    try:
        await log.record(by_the_machine("start", subject="gateway", details={"version": VERSION}))
    except ServiceError as error:
        _LOG.error("the start is not on record", extra={"detail": error.detail})


def _announcing(
    images: RenderedImages, shadows: ShadowRunner
) -> Callable[[StoredStudy, Analysis], None]:
    """What is made of a study later, by those who have time: its images, a shadow's answer."""

    def on_read(stored: StoredStudy, analysis: Analysis) -> None:
        images.expect(stored)
        shadows.expect(stored, analysis)

    return on_read


@asynccontextmanager
async def _watched(
    state: AppState, readiness: Readiness, metrics: GatewayMetrics
) -> AsyncIterator[None]:
    """Keep `readiness` at what the archive is: writable or not. The services do not matter here."""
    metrics.name_model("ood", identity_of(state.ood.manifest))
    check = partial(_check, state.archive, readiness, metrics)
    await check()
    interval_s = state.settings.readiness_interval_s
    failure = "whether the archive can be used was not found out"
    async with in_background(partial(repeat, check, interval_s, failure, at_once=False)):
        yield


async def _check(archive: Archive, readiness: Readiness, metrics: GatewayMetrics) -> None:
    try:
        room = await archive.in_thread(archive.files.room)
        metrics.archive_free.set(room.free)
        metrics.archive_size.set(room.total)
        await archive.check_writable()
    except StorageFull as error:
        # What is archived can be read: taken out of service, it could not. Alerts say the rest.
        _LOG.error("the archive is full", extra={"detail": error.detail})
        readiness.mark_ready()
    except ServiceError as error:
        if readiness.ready:
            _LOG.error("the archive cannot be used", extra={"detail": error.detail})
        readiness.mark_unready(error.detail)
    except Exception:
        # A table or a right that is missing: whatever it is, nothing could be kept.
        _LOG.exception("the archive cannot be used")
        readiness.mark_unready("The archive cannot be used; the gateway's log says why.")
    else:
        if not readiness.ready:
            _LOG.info("ready")
        readiness.mark_ready()
