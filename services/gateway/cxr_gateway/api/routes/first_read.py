"""`/api/v1/studies/{study_id}/first-read`: what a reader says before the models' answers."""

from fastapi import APIRouter, Request

from cxr_gateway.api.dependencies import AppStateDep, PrincipalDep
from cxr_gateway.api.documents import problem_responses
from cxr_gateway.api.routes.studies import StudyIdPath
from cxr_gateway.core.request_state import set_details
from cxr_gateway.feedback.schemas import FirstReadChange, FirstReads

router = APIRouter(prefix="/api/v1/studies/{study_id}/first-read", tags=["feedback"])


@router.get(
    "",
    operation_id="getFirstReads",
    summary="What readers said before they saw the answers",
    response_model=FirstReads,
    responses={200: {"description": "Those of the study."}, **problem_responses(404, 422, 503)},
)
async def get_first_reads(
    study_id: StudyIdPath, state: AppStateDep, principal: PrincipalDep
) -> FirstReads:
    """Others' opinions are told to whoever has given one."""
    return await state.first_opinions.of(study_id, principal.department, principal.subject)


@router.put(
    "",
    operation_id="putFirstRead",
    summary="Say what one sees before the answers are shown",
    response_model=FirstReads,
    responses={
        200: {"description": "With the one that was given."},
        **problem_responses(
            *(400, 404, 409, 422, 503),
            because={
                409: "This reader has given another one, which stands.",
                422: "A finding is none of the study's classifier, or the body is not as this "
                "document says.",
            },
        ),
    },
)
async def put_first_read(
    study_id: StudyIdPath,
    change: FirstReadChange,
    *,
    request: Request,
    state: AppStateDep,
    principal: PrincipalDep,
) -> FirstReads:
    """Kept once and never changed: 409 for another one of the same reader."""
    # The words may tell of a patient and stay out of the log.
    set_details(request, findings=len(change.findings))
    return await state.first_opinions.put(
        study_id, principal.department, change, by=principal.subject
    )
