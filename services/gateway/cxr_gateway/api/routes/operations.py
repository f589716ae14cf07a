"""`/info`: what an operator's tools ask beside the probes."""

from typing import Literal

from fastapi import APIRouter
from pydantic import BaseModel, Field

from cxr_gateway.api.dependencies import AppStateDep
from cxr_gateway.core.schemas import UsedModel

router = APIRouter(tags=["operations"])


class GatewayInfo(BaseModel):
    """This process."""

    role: Literal["gateway"] = Field(description="What it is.")
    service_version: str = Field(description="Of the product.")
    ood: UsedModel = Field(description="The out-of-distribution detector that it holds.")


@router.get(
    "/info",
    operation_id="getInfo",
    summary="Version and OOD detector of this process",
    responses={200: {"description": "As long as it runs."}},
)
async def get_info(state: AppStateDep) -> GatewayInfo:
    """What does not change while the process runs."""
    return GatewayInfo(role="gateway", service_version=state.version, ood=state.ood_model)
