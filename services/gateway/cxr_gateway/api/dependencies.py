"""What a running gateway is made of, and how a route gets at it."""

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from cxr_contracts import ModelIdentity
from cxr_gateway.access.authenticator import Authenticator
from cxr_gateway.analysis import triage
from cxr_gateway.analysis.analyzer import OodModel, gate_model
from cxr_gateway.analysis.pipeline import AnalysisPipeline
from cxr_gateway.analysis.rescoring import Rescorings
from cxr_gateway.archive import Archive
from cxr_gateway.audit import AuditLog
from cxr_gateway.core.principal import Principal, principal_of
from cxr_gateway.core.schemas import SystemStatus, UsedModel
from cxr_gateway.core.settings import GatewaySettings
from cxr_gateway.drift.observer import DriftObserver
from cxr_gateway.exports.deidentification.exports import Exports
from cxr_gateway.inference.routing import ModelRouter
from cxr_gateway.rendering.cache import Pictures

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
    pictures: Pictures
    exports: Exports
    reading: AnalysisPipeline
    readers: ModelRouter
    gate: OodModel
    rescorings: Rescorings
    drift: DriftObserver
    authenticator: Authenticator

    @property
    def gate_model(self) -> UsedModel:
        """The gate's network."""
        return gate_model(self.gate.manifest)

    async def system_status(self) -> SystemStatus:
        """What this installation is, with the readers as they are now."""
        readers = await self.readers.status()
        models = [reader.model for reader in readers if reader.model is not None]
        there = {
            model.role: ModelIdentity.model_validate(model.model_dump(exclude={"role"}))
            for model in models
        }
        return SystemStatus(
            version=self.version,
            intended_use=INTENDED_USE,
            readers=readers,
            models=[self.gate_model, *models],
            rescoring=self.rescorings.status(there.get("classifier"), there.get("detector")),
            triage_rules=triage.rules(),
            max_upload_bytes=self.settings.max_upload_bytes,
            max_pixels=self.settings.max_pixels,
            accepted=ACCEPTED,
        )


def app_state(request: Request) -> AppState:
    """The parts of the app that serves this request."""
    return cast(AppState, request.app.state.parts)


AppStateDep = Annotated[AppState, Depends(app_state)]
PrincipalDep = Annotated[Principal, Depends(principal_of)]
