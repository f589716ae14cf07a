"""What a running gateway is made of, and how a route gets at it."""

from dataclasses import dataclass
from typing import Annotated, cast

from fastapi import Depends, Request

from cxr_contracts import ModelIdentity
from cxr_gateway import triage
from cxr_gateway.access.principal import Principal, principal_of
from cxr_gateway.access.reception import Reception
from cxr_gateway.archive import Archive
from cxr_gateway.audit import AuditLog
from cxr_gateway.deidentification.exports import Exports
from cxr_gateway.drift.observing import DriftObserver
from cxr_gateway.examination import PictureGate, gate_model
from cxr_gateway.joining import Joinings
from cxr_gateway.pictures import Pictures
from cxr_gateway.reading import ReadingRoom
from cxr_gateway.schemas import SystemStatus, UsedModel
from cxr_gateway.settings import GatewaySettings
from cxr_gateway.shadow.answering import Answering

INTENDED_USE = (
    "Research use only. Not a medical device: no finding here replaces the reading of a "
    "radiologist, and none may decide on the care of a patient."
)
ACCEPTED = ["image/png", "image/jpeg", "application/dicom"]


@dataclass(frozen=True)
class Parts:
    """Opened by the app's lifespan, closed with it."""

    version: str
    settings: GatewaySettings
    archive: Archive
    audit: AuditLog
    pictures: Pictures
    exports: Exports
    reading: ReadingRoom
    readers: Answering
    gate: PictureGate
    joinings: Joinings
    drift: DriftObserver
    reception: Reception

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
            joining=self.joinings.status(there.get("classifier"), there.get("detector")),
            triage_rules=triage.rules(),
            max_upload_bytes=self.settings.max_upload_bytes,
            max_pixels=self.settings.max_pixels,
            accepted=ACCEPTED,
        )


def parts_of(request: Request) -> Parts:
    """The parts of the app that serves this request."""
    return cast(Parts, request.app.state.parts)


PartsOf = Annotated[Parts, Depends(parts_of)]
PrincipalOf = Annotated[Principal, Depends(principal_of)]
