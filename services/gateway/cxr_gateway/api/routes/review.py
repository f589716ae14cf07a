"""`/api/v1/studies/{study_id}/review`: what readers say of a study's answers."""

from typing import Annotated

from fastapi import APIRouter, Path, Request, Response

from cxr_gateway.api.conditional import IfNoneMatch, json_response, tagged
from cxr_gateway.api.dependencies import AppStateDep, PrincipalDep
from cxr_gateway.api.documents import NO_STUDY, problem_responses
from cxr_gateway.api.routes.studies import StudyIdPath
from cxr_gateway.core.request_state import set_details
from cxr_gateway.feedback.schemas import EntryId, Review, ReviewChange

router = APIRouter(prefix="/api/v1/studies/{study_id}/review", tags=["feedback"])

EntryIdPath = Annotated[EntryId, Path()]


@router.get(
    "",
    operation_id="getReview",
    summary="What readers said of a study",
    response_model=Review,
    responses={
        **tagged("The entries, and the revision to hand back with a change."),
        **problem_responses(404, 422, 503),
    },
)
async def get_review(
    study_id: StudyIdPath,
    state: AppStateDep,
    principal: PrincipalDep,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """All entries, those that were taken back or replaced among them."""
    found = await state.reviews.of(study_id, principal.department, principal.subject)
    return json_response(found.model_dump_json(), if_none_match)


@router.put(
    "/{entry_id}",
    operation_id="putReviewEntry",
    summary="Accept, reject, modify, add or comment",
    response_model=Review,
    responses={
        200: {"description": "All entries, this one among them."},
        **problem_responses(
            *(400, 404, 409, 422, 503),
            because={
                409: "The study was analysed again, or `entry_id` names another entry.",
                422: "The change's parts do not go together, or the box lies outside the image.",
            },
        ),
    },
)
async def put_review_entry(
    study_id: StudyIdPath,
    entry_id: EntryIdPath,
    change: ReviewChange,
    *,
    request: Request,
    state: AppStateDep,
    principal: PrincipalDep,
) -> Review:
    """A later word on the same answer replaces an earlier one of the same reader.

    409 if the study was analysed again since the reader opened it.
    """
    # What was said stands in the review; the words may tell of a patient and stay out of the log.
    set_details(request, entry=entry_id, verdict=change.verdict.value)
    return await state.reviews.put(
        study_id, principal.department, entry_id, change, by=principal.subject
    )


@router.delete(
    "/{entry_id}",
    operation_id="withdrawReviewEntry",
    summary="Take one's own entry back",
    response_model=Review,
    responses={
        200: {"description": "All entries, this one taken back."},
        **problem_responses(
            *(404, 422, 503),
            because={404: f"{NO_STUDY} Or it has no entry of this id that is one's own."},
        ),
    },
)
async def withdraw_review_entry(
    study_id: StudyIdPath,
    entry_id: EntryIdPath,
    request: Request,
    state: AppStateDep,
    principal: PrincipalDep,
) -> Review:
    """It stays on record and counts no longer; what it replaced counts again."""
    set_details(request, entry=entry_id)
    return await state.reviews.withdraw(
        study_id, principal.department, entry_id, by=principal.subject
    )
