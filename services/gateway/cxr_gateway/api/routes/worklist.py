"""`/api/v1/studies/{study_id}/worklist`: whether a person has looked at a study, or is done."""

from fastapi import APIRouter, Response

from cxr_gateway.api.conditional import IfNoneMatch, json_response, tagged
from cxr_gateway.api.dependencies import AppStateDep, PrincipalDep
from cxr_gateway.api.documents import problem_responses
from cxr_gateway.api.routes.studies import StudyIdPath
from cxr_gateway.core.schemas import Worklist, WorklistChange, WorklistState
from cxr_serving.errors import Unprocessable

router = APIRouter(prefix="/api/v1/studies", tags=["studies"])


@router.get(
    "/{study_id}/worklist",
    operation_id="getWorklist",
    summary="Whether a person has looked at a study",
    response_model=Worklist,
    responses={
        **tagged("How far people are with it."),
        **problem_responses(404, 422, 503),
    },
)
async def get_worklist(
    study_id: StudyIdPath,
    state: AppStateDep,
    principal: PrincipalDep,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """As the list tells it, too."""
    found = await state.archive.worklist(study_id, principal.department)
    return json_response(found.model_dump_json(), if_none_match)


@router.put(
    "/{study_id}/worklist",
    operation_id="setWorklist",
    summary="Say that a study is assigned, was opened, is done, or is new again",
    response_model=Worklist,
    responses={
        200: {"description": "As it stands now."},
        **problem_responses(400, 404, 422, 503),
    },
)
async def set_worklist(
    study_id: StudyIdPath, change: WorklistChange, state: AppStateDep, principal: PrincipalDep
) -> Worklist:
    """Whoever set the same state first stays named. What is done goes below all others."""
    to = None
    if change.state is WorklistState.ASSIGNED:
        to = change.to or principal.subject
    elif change.to is not None:
        raise Unprocessable("Only what is `assigned` is so to somebody.")
    return await state.archive.set_worklist(
        study_id, principal.department, change.state, by=principal.subject, to=to
    )
