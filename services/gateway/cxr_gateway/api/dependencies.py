"""What a running gateway is made of, and how a route gets at it."""

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from cxr_contracts import ModelIdentity
from cxr_gateway.access.authenticator import Authenticator
from cxr_gateway.analysis import triage
from cxr_gateway.analysis.analyzer import OodModel, ood_model
from cxr_gateway.analysis.later import LaterAnalyses
from cxr_gateway.analysis.pipeline import AnalysisPipeline
from cxr_gateway.analysis.triage_model import TriageModels
from cxr_gateway.api.shares import Shares
from cxr_gateway.api.streams import EventStreams
from cxr_gateway.archive import Archive
from cxr_gateway.audit import AuditLog
from cxr_gateway.changes.feed import ChangeFeed
from cxr_gateway.core.principal import Principal
from cxr_gateway.core.request_state import principal_of, set_details
from cxr_gateway.core.schemas import SystemStatus, UsedModel
from cxr_gateway.core.settings import GatewaySettings
from cxr_gateway.drift.observer import DriftObserver
from cxr_gateway.exports.deidentification.exports import Exports
from cxr_gateway.exports.dicom.results import DicomResults
from cxr_gateway.feedback.first_reads import FirstOpinions
from cxr_gateway.feedback.reviews import Reviews
from cxr_gateway.inference.routing import ModelRouter
from cxr_gateway.rendering.cache import RenderedImages
from cxr_gateway.reporting.reports import Reports
from cxr_gateway.webhooks.dispatcher import WebhookDispatcher
from cxr_gateway.webhooks.sending import WebhookSender

INTENDED_USE = (
    "Research use only. Not a medical device: no finding here replaces the reading of a "
    "radiologist, and none may decide on the care of a patient."
)
ACCEPTED = ["image/png", "image/jpeg", "application/dicom"]


@dataclass(frozen=True)
class AppState:
    """Opened by the app's lifespan, closed with it."""

    version: str
    settings: GatewaySettings
    archive: Archive
    audit: AuditLog
    images: RenderedImages
    exports: Exports
    dicom_results: DicomResults
    pipeline: AnalysisPipeline
    router: ModelRouter
    ood: OodModel
    triage_models: TriageModels
    drift: DriftObserver
    authenticator: Authenticator
    upload_shares: Shares
    reviews: Reviews
    first_opinions: FirstOpinions
    reports: Reports
    changes: ChangeFeed
    streams: EventStreams
    later: LaterAnalyses
    webhook_sender: WebhookSender
    webhooks: WebhookDispatcher

    @property
    def ood_model(self) -> UsedModel:
        """The network of the OOD detector."""
        return ood_model(self.ood.manifest)

    async def system_status(self) -> SystemStatus:
        """What this installation is, with the inference services as they are now."""
        services = await self.router.status()
        models = [service.model for service in services if service.model is not None]
        there = {
            model.role.value: ModelIdentity.model_validate(model.model_dump(exclude={"role"}))
            for model in models
        }
        pair = there.get("classifier"), there.get("detector")
        return SystemStatus(
            version=self.version,
            intended_use=INTENDED_USE,
            services=services,
            models=[self.ood_model, *models],
            finding_levels=self.router.classifier.finding_levels,
            triage=triage.triage_status(self.triage_models, *pair),
            triage_rules=triage.rules(),
            max_wait_minutes=self.settings.max_wait_minutes,
            max_upload_bytes=self.settings.max_upload_bytes,
            max_pixels=self.settings.max_pixels,
            accepted=ACCEPTED,
            viewer_links=self.settings.resolved_viewer_links,
        )


def app_state(request: Request) -> AppState:
    """The parts of the app that serves this request."""
    return cast(AppState, request.app.state.gateway)


def note_listed(request: Request, state: AppState, study_ids: list[str]) -> None:
    """Have the audit entry of a list say whose data it showed.

    An open page asks for the same list again and again: then it names the entry that did.
    """
    if study_ids:
        set_details(request, **state.audit.listed(principal_of(request), study_ids))


AppStateDep = Annotated[AppState, Depends(app_state)]
PrincipalDep = Annotated[Principal, Depends(principal_of)]
