"""`/api/v1/studies/{study_id}/report`: drafted, written in versions, signed, printed."""

from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from cxr_gateway.api.conditional import IfNoneMatch, json_response, tagged
from cxr_gateway.api.dependencies import AppStateDep, PrincipalDep
from cxr_gateway.api.documents import NO_STUDY, file_response, problem_responses
from cxr_gateway.api.routes.studies import StudyIdPath
from cxr_gateway.core.request_state import session_of, set_details
from cxr_gateway.reporting.schemas import Report, ReportChange
from cxr_serving.errors import Overloaded
from cxr_serving.uploads import forbid_unknown_query

router = APIRouter(prefix="/api/v1/studies/{study_id}", tags=["report"])


@router.get(
    "/report",
    operation_id="getReport",
    summary="The report's draft and its versions",
    response_model=Report,
    responses={
        **tagged("The draft, and what people wrote."),
        **problem_responses(404, 422, 503),
    },
)
async def get_report(
    study_id: StudyIdPath,
    request: Request,
    state: AppStateDep,
    principal: PrincipalDep,
    *,
    prior: Annotated[
        str | None,
        Query(max_length=64, description="An earlier study of the same patient, to compare with."),
    ] = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """The draft follows from levels and corrections; nothing of it is kept until it is written."""
    forbid_unknown_query(request, "prior")
    found = await state.reports.of(study_id, principal.department, prior)
    if prior is not None:
        set_details(request, studies=[prior])
    return json_response(found.model_dump_json(), if_none_match)


@router.post(
    "/report",
    operation_id="writeReport",
    summary="Write the next version of the report, and sign it",
    response_model=Report,
    responses={
        200: {"description": "The draft and all versions, this one the last."},
        **problem_responses(
            *(400, 403, 404, 409, 422, 503),
            because={
                403: "None of the roles may write, or a system's key would sign.",
                409: "The study was analysed again, or somebody wrote a version meanwhile.",
                422: "Nothing was diagnosed, or a report without an impression would be signed.",
            },
        ),
    },
)
async def write_report(
    study_id: StudyIdPath,
    change: ReportChange,
    *,
    request: Request,
    state: AppStateDep,
    principal: PrincipalDep,
) -> Report:
    """No version is ever changed: what follows a signed one corrects it, and both stay."""
    set_details(request, version=change.based_on + 1, signed=change.sign)
    session = session_of(request)
    name = principal.subject if session is None else session.person.name
    return await state.reports.write(study_id, change, principal, name)


@router.get(
    "/report.pdf",
    operation_id="getReportPdf",
    summary="The report as one page",
    response_class=Response,
    responses={
        **file_response(
            "A4: patient, image with boxes, text, models, who signed.", "application/pdf"
        ),
        **problem_responses(
            *(404, 422, 503),
            Overloaded,
            because={404: f"{NO_STUDY} Or its report has no such version, or none yet."},
        ),
    },
)
async def get_report_pdf(
    study_id: StudyIdPath,
    request: Request,
    state: AppStateDep,
    principal: PrincipalDep,
    *,
    version: Annotated[
        int | None,
        Query(ge=1, le=1_000_000, description="Without: the last signed one, or else the last."),
    ] = None,
) -> Response:
    """404 while nobody has written one."""
    forbid_unknown_query(request, "version")
    exported = await state.reports.pdf(study_id, principal.department, version)
    headers = {"Content-Disposition": f'inline; filename="{exported.name}"'}
    return Response(exported.content, media_type=exported.media_type, headers=headers)
