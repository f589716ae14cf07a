"""`DELETE /api/v1/studies/{study_id}`: a study deleted for good."""

from fastapi import APIRouter, Request, Response

from cxr_gateway.api.dependencies import AppStateDep, PrincipalDep
from cxr_gateway.api.documents import problem_responses
from cxr_gateway.api.routes.studies import StudyIdPath
from cxr_gateway.archive.removal import DELETE_ACTION
from cxr_gateway.audit import by_request
from cxr_gateway.core.request_state import mark_recorded
from cxr_serving.errors import NotFound

router = APIRouter(prefix="/api/v1/studies", tags=["studies"])


@router.delete(
    "/{study_id}",
    operation_id=DELETE_ACTION,
    summary="Delete a study for good",
    status_code=204,
    response_class=Response,
    responses={
        204: {"description": "Gone: its result, its images, and the file as it came."},
        **problem_responses(404, 422, 503),
    },
)
async def delete_study(
    study_id: StudyIdPath, request: Request, state: AppStateDep, principal: PrincipalDep
) -> Response:
    """Remove all that is kept of a study. Backups that were made before still hold it.

    The audit log's entry and the removal of the rows are one commit: neither is there without the
    other. If the files cannot be removed after that, the answer is 503 and a second entry says so.
    """
    stored = await state.archive.get(study_id, principal.department)
    event = by_request(request, DELETE_ACTION, stored.id, 204)
    archive = state.archive
    if not await archive.in_thread(archive.removals.study, stored.id, event):
        raise NotFound("There is no study of this id.")
    mark_recorded(request)
    return Response(status_code=204)
