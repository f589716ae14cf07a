"""A study as a file without its patient."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from cxr_gateway.api.dependencies import AppStateDep, PrincipalDep
from cxr_gateway.api.documents import problem_responses
from cxr_gateway.api.routes.studies import StudyIdPath
from cxr_serving.uploads import forbid_unknown_query

router = APIRouter(prefix="/api/v1/studies/{study_id}", tags=["pictures"])


@router.get(
    "/deidentified",
    operation_id="getStudyDeidentified",
    summary="The file without its patient",
    response_class=Response,
    responses={
        200: {
            "description": "DICOM by PS3.15's Basic Application Level Confidentiality Profile; of "
            "a PNG or JPEG file the pixels alone, as a PNG.",
            "content": {
                media: {"schema": {"type": "string", "format": "binary"}}
                for media in ("application/dicom", "image/png")
            },
        },
        **problem_responses(404, 409, 422, 503),
    },
)
async def get_study_deidentified(
    study_id: StudyIdPath,
    request: Request,
    parts: AppStateDep,
    principal: PrincipalDep,
    *,
    pixels_reviewed: Annotated[
        bool, Query(description="Someone has looked: the picture shows no text about a patient.")
    ] = False,
) -> Response:
    """UIDs and the patient's number become pseudonyms that only this installation can make.

    Without a word on the picture it is given only if the file says that no text is burnt into it.
    """
    forbid_unknown_query(request, "pixels_reviewed")
    exported = await parts.exports.of(study_id, principal.department, reviewed=pixels_reviewed)
    headers = {"Content-Disposition": f'attachment; filename="{exported.name}"'}
    return Response(exported.content, media_type=exported.media_type, headers=headers)
