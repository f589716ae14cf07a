"""`/info`: what an operator's tools ask beside the probes."""

from fastapi import APIRouter
from pydantic import BaseModel

from cxr_gateway.api.dependencies import AppStateDep
from cxr_gateway.core.schemas import UsedModel

router = APIRouter(tags=["operations"])


class GatewayInfo(BaseModel):
    """This process."""

    role: str
    service_version: str
    gate: UsedModel


@router.get("/info", operation_id="getInfo", summary="Version and gate of this process")
async def get_info(parts: AppStateDep) -> GatewayInfo:
    """What does not change while the process runs."""
    return GatewayInfo(role="gateway", service_version=parts.version, gate=parts.gate_model)
