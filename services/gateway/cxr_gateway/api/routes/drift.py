"""`/api/v1/drift`: whether what comes in, and what is said of it, is as it was in validation."""

from typing import Annotated

from fastapi import APIRouter, Query, Request

from cxr_gateway.api.dependencies import AppStateDep
from cxr_gateway.api.documents import problem_responses
from cxr_gateway.drift.schemas import DriftReport
from cxr_serving.uploads import forbid_unknown_query

router = APIRouter(prefix="/api/v1", tags=["models"])


@router.get(
    "/drift",
    operation_id="getDrift",
    summary="Distributions of inputs and scores by week, against the validation reference",
    response_model=DriftReport,
    responses={
        200: {"description": "The weeks against the reference."},
        **problem_responses(422, 503),
    },
)
async def get_drift(
    request: Request,
    state: AppStateDep,
    *,
    weeks: Annotated[
        int, Query(ge=1, le=26, description="ISO weeks in UTC, the current one included.")
    ] = 12,
) -> DriftReport:
    """The population stability index of each distribution; counts of images, and no images."""
    forbid_unknown_query(request, "weeks")
    return await state.drift.report(weeks)
