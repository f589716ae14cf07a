"""`/api/v1/system`: what this installation is."""

from fastapi import APIRouter

from cxr_gateway.api.dependencies import AppStateDep
from cxr_gateway.api.documents import problem_responses
from cxr_gateway.core.schemas import SystemStatus

router = APIRouter(prefix="/api/v1", tags=["system"])


@router.get(
    "/system",
    operation_id="getSystem",
    summary="Readers, models, triage rules and limits",
    response_model=SystemStatus,
    responses=problem_responses(503),
)
async def get_system(parts: AppStateDep) -> SystemStatus:
    """The readers as the gateway sees them now, at most a second old."""
    return await parts.system_status()
