"""`/api/v1/system`: what this installation is."""

from fastapi import APIRouter, Response

from cxr_gateway.api.conditional import IfNoneMatch, json_response, tagged
from cxr_gateway.api.dependencies import AppStateDep
from cxr_gateway.api.documents import problem_responses
from cxr_gateway.core.schemas import SystemStatus

router = APIRouter(prefix="/api/v1", tags=["system"])


@router.get(
    "/system",
    operation_id="getSystem",
    summary="Services, models, levels, triage and limits",
    response_model=SystemStatus,
    responses={
        **tagged("As it is now."),
        **problem_responses(503),
    },
)
async def get_system(state: AppStateDep, if_none_match: IfNoneMatch = None) -> Response:
    """The inference services as the gateway sees them now, at most a second old."""
    found = await state.system_status()
    return json_response(found.model_dump_json(), if_none_match)
