"""`/api/v1/studies`: send a radiograph, list what was read, read again."""

from typing import Annotated

from fastapi import APIRouter, Header, Path, Query, Request, Response

from cxr_gateway.analysis.pipeline import Reading
from cxr_gateway.api.dependencies import AppStateDep, PrincipalDep
from cxr_gateway.api.documents import UPLOAD_BODY, problem_responses
from cxr_gateway.api.upload import receive_upload
from cxr_gateway.archive import Cursor
from cxr_gateway.core.errors import InferenceUnavailable
from cxr_gateway.core.schemas import Priority, Study, StudyPage, StudyStatus
from cxr_gateway.middleware.audit import about
from cxr_serving.uploads import forbid_unknown_query

router = APIRouter(prefix="/api/v1/studies", tags=["studies"])

StudyIdPath = Annotated[str, Path(description="The study's `id`.", max_length=64)]
_KEY = r"^[\x21-\x7e]{1,200}$"


@router.post(
    "",
    operation_id="createStudy",
    summary="Read a radiograph",
    status_code=201,
    response_model=Study,
    openapi_extra=UPLOAD_BODY,
    responses={
        201: {"description": "Read, and kept under `id`."},
        200: {
            "model": Study,
            "description": "The same file was sent before: the same study.",
        },
        **problem_responses(400, 408, 409, 413, 415, 422, 503, 507),
    },
)
async def create_study(
    request: Request,
    parts: AppStateDep,
    principal: PrincipalDep,
    idempotency_key: Annotated[
        str | None,
        Header(
            pattern=_KEY,
            description="The same key with the same file is the same study; with another, 409.",
        ),
    ] = None,
) -> Response:
    """Read one PNG, JPEG or DICOM file and keep it; the same bytes are the same study.

    A study whose earlier reading failed or was partial is read again.
    """
    with parts.reading.admit():
        with parts.reading.receiving():
            upload = await receive_upload(request, parts.archive, parts.settings)
        try:
            reading = await parts.reading.read(upload, idempotency_key, principal.department)
        except InferenceUnavailable as error:
            about(request, error.extensions["study_id"])
            raise
    about(request, reading.stored.id)
    return _answer(reading)


@router.get(
    "",
    operation_id="listStudies",
    summary="Studies, most urgent first",
    response_model=StudyPage,
    responses={
        200: {"description": "Most urgent first, then newest first."},
        **problem_responses(400, 422, 503),
    },
)
async def list_studies(
    request: Request,
    parts: AppStateDep,
    principal: PrincipalDep,
    *,
    status: Annotated[
        list[StudyStatus] | None, Query(description="Only these; repeat for several.")
    ] = None,
    priority: Annotated[
        list[Priority] | None, Query(description="Only these; repeat for several.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=200, description="Studies on a page.")] = 50,
    cursor: Annotated[
        str | None, Query(max_length=64, description="`next_cursor` of the page before.")
    ] = None,
) -> StudyPage:
    """Urgent, then unread (failed), soon, routine, rejected; newest first in each."""
    forbid_unknown_query(request, "status", "priority", "limit", "cursor")
    return await parts.archive.page(
        statuses=status or [],
        priorities=priority or [],
        limit=limit,
        after=Cursor.parse(cursor) if cursor else None,
        department=principal.department,
    )


@router.get(
    "/{study_id}",
    operation_id="getStudy",
    summary="One study",
    response_model=Study,
    responses={
        200: {"description": "The archived result."},
        **problem_responses(404, 422, 503),
    },
)
async def get_study(study_id: StudyIdPath, parts: AppStateDep, principal: PrincipalDep) -> Response:
    """The result as it was archived."""
    stored = await parts.archive.get(study_id, principal.department)
    return Response(stored.result_json, media_type="application/json")


@router.post(
    "/{study_id}/rerun",
    operation_id="rerunStudy",
    summary="Read a failed or partial study again",
    response_model=Study,
    responses={
        200: {"description": "The study as it stands now, read again where needed."},
        **problem_responses(404, 422, 503, 507),
    },
)
async def rerun_study(
    study_id: StudyIdPath, parts: AppStateDep, principal: PrincipalDep
) -> Response:
    """Ask the readers again; a complete or rejected study is answered as it stands."""
    with parts.reading.admit():
        reading = await parts.reading.rerun(study_id, principal.department)
    return _answer(reading)


def _answer(reading: Reading) -> Response:
    return Response(
        reading.stored.result_json,
        status_code=201 if reading.is_new else 200,
        media_type="application/json",
        headers={"Location": f"/api/v1/studies/{reading.stored.id}"},
    )
