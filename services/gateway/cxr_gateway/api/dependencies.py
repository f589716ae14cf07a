"""What a running gateway is made of, and how a route gets at it."""

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from cxr_contracts import ModelIdentity
from cxr_gateway.access.authenticator import Authenticator
from cxr_gateway.analysis import triage
from cxr_gateway.analysis.analyzer import OodModel, ood_model
from cxr_gateway.analysis.pipeline import AnalysisPipeline
from cxr_gateway.analysis.rescoring import Rescorings
from cxr_gateway.archive import Archive
from cxr_gateway.audit import AuditLog
from cxr_gateway.core.principal import Principal
from cxr_gateway.core.request_state import principal_of
from cxr_gateway.core.schemas import SystemStatus, UsedModel
from cxr_gateway.core.settings import GatewaySettings
from cxr_gateway.drift.observer import DriftObserver
from cxr_gateway.exports.deidentification.exports import Exports
from cxr_gateway.inference.routing import ModelRouter
from cxr_gateway.rendering.cache import RenderedImages

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
    pipeline: AnalysisPipeline
    router: ModelRouter
    ood: OodModel
    rescorings: Rescorings
    drift: DriftObserver
    authenticator: Authenticator

    @property
    def ood_model(self) -> UsedModel:
        """The network of the OOD detector."""
        return ood_model(self.ood.manifest)

    async def system_status(self) -> SystemStatus:
        """What this installation is, with the inference services as they are now."""
        services = await self.router.status()
        models = [service.model for service in services if service.model is not None]
        there = {
            model.role: ModelIdentity.model_validate(model.model_dump(exclude={"role"}))
            for model in models
        }
        return SystemStatus(
            version=self.version,
            intended_use=INTENDED_USE,
            services=services,
            models=[self.ood_model, *models],
            rescoring=self.rescorings.status(there.get("classifier"), there.get("detector")),
            triage_rules=triage.rules(),
            max_upload_bytes=self.settings.max_upload_bytes,
            max_pixels=self.settings.max_pixels,
            accepted=ACCEPTED,
        )


def app_state(request: Request) -> AppState:
    """The parts of the app that serves this request."""
    return cast(AppState, request.app.state.gateway)


AppStateDep = Annotated[AppState, Depends(app_state)]
PrincipalDep = Annotated[Principal, Depends(principal_of)]
