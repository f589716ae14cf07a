"""A study as files: without its patient, and its results as DICOM objects of its DICOM study."""

from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from cxr_gateway.api.dependencies import AppStateDep, PrincipalDep
from cxr_gateway.api.documents import NO_STUDY, file_response, problem_responses
from cxr_gateway.api.routes.studies import StudyIdPath
from cxr_gateway.core.errors import TextInImage
from cxr_gateway.core.request_state import set_details
from cxr_gateway.exports import hl7_v2
from cxr_gateway.exports.dicom.results import ReportKind, Result
from cxr_gateway.exports.workers import Exported
from cxr_serving.errors import Overloaded
from cxr_serving.uploads import forbid_unknown_query

_REFUSED = {
    404: f"{NO_STUDY} Or it has no such result: it waits for its analysis, or nothing was found.",
    422: "The study did not come as a DICOM file that says which study it is of.",
}
KindQuery = Annotated[
    ReportKind,
    Query(description="`3d` is Comprehensive 3D SR, `2d` the older Comprehensive SR."),
]

Hl7NameQuery = Annotated[
    str, Query(max_length=50, pattern=r"^[A-Za-z0-9_. -]*$", description="Who gets it (MSH-5, 6).")
]

router = APIRouter(prefix="/api/v1/studies/{study_id}", tags=["images"])


@router.get(
    "/deidentified",
    operation_id="getStudyDeidentified",
    summary="The file without its patient",
    response_class=Response,
    responses={
        **file_response(
            "DICOM by PS3.15's Basic Application Level Confidentiality Profile; of a PNG or JPEG "
            "file the pixels alone, as a PNG.",
            *("application/dicom", "image/png"),
        ),
        **problem_responses(404, TextInImage, 422, 503, Overloaded),
    },
)
async def get_study_deidentified(
    study_id: StudyIdPath,
    request: Request,
    state: AppStateDep,
    principal: PrincipalDep,
    *,
    pixels_reviewed: Annotated[
        bool, Query(description="Someone has looked: the image shows no text about a patient.")
    ] = False,
) -> Response:
    """UIDs and the patient's number become pseudonyms that only this installation can make.

    Without a word on the image it is given only if the file says that no text is burnt into it.
    """
    forbid_unknown_query(request, "pixels_reviewed")
    # By whom is the entry's subject: whoever says that the pixels were reviewed.
    set_details(request, pixels_reviewed=pixels_reviewed)
    exported = await state.exports.of(study_id, principal.department, reviewed=pixels_reviewed)
    return _file(exported)


def _dicom(description: str) -> dict[int | str, dict[str, Any]]:
    return {
        **file_response(description, "application/dicom"),
        **problem_responses(404, 422, 503, Overloaded, because=_REFUSED),
    }


@router.get(
    "/structured-report/findings.dcm",
    operation_id="getStudyFindingsReport",
    summary="The findings as a DICOM structured report",
    response_class=Response,
    responses=_dicom("TID 1500: each finding with probability and threshold, and the priority."),
)
async def get_findings_report(
    study_id: StudyIdPath,
    request: Request,
    state: AppStateDep,
    principal: PrincipalDep,
    *,
    kind: KindQuery = "3d",
    explained: Annotated[
        bool, Query(description="Refer to the heat map, which then has to go along.")
    ] = False,
) -> Response:
    """Of a rejected study, the reason. A study of a PNG or JPEG file has no DICOM study: 422."""
    forbid_unknown_query(request, "kind", "explained")
    made = await state.dicom_results.of(
        study_id, principal.department, Result.FINDINGS, kind, explained=explained
    )
    return _file(made)


@router.get(
    "/structured-report/boxes.dcm",
    operation_id="getStudyBoxesReport",
    summary="The boxes as a DICOM structured report",
    response_class=Response,
    responses=_dicom("TID 1500 with a planar region of interest (TID 1410) for each box."),
)
async def get_boxes_report(
    study_id: StudyIdPath,
    request: Request,
    state: AppStateDep,
    principal: PrincipalDep,
    *,
    kind: KindQuery = "3d",
) -> Response:
    """404 for a study without a box."""
    forbid_unknown_query(request, "kind")
    department = principal.department
    return _file(await state.dicom_results.of(study_id, department, Result.BOXES, kind))


@router.get(
    "/presentation-state.dcm",
    operation_id="getStudyPresentationState",
    summary="Boxes and labels as a DICOM presentation state",
    response_class=Response,
    responses=_dicom("A grayscale softcopy presentation state of the radiograph."),
)
async def get_presentation_state(
    study_id: StudyIdPath, request: Request, state: AppStateDep, principal: PrincipalDep
) -> Response:
    """What a viewer lays over the radiograph."""
    forbid_unknown_query(request)
    result = Result.PRESENTATION_STATE
    return _file(await state.dicom_results.of(study_id, principal.department, result))


@router.get(
    "/secondary-capture.dcm",
    operation_id="getStudySecondaryCapture",
    summary="The overlay as a DICOM image",
    response_class=Response,
    responses=_dicom("A secondary capture: radiograph, boxes, findings, priority, models."),
)
async def get_secondary_capture(
    study_id: StudyIdPath, request: Request, state: AppStateDep, principal: PrincipalDep
) -> Response:
    """What every viewer shows."""
    forbid_unknown_query(request)
    result = Result.SECONDARY_CAPTURE
    return _file(await state.dicom_results.of(study_id, principal.department, result))


@router.get(
    "/heat-map.dcm",
    operation_id="getStudyHeatMapCapture",
    summary="The strongest finding's heat map as a DICOM image",
    response_class=Response,
    responses=_dicom("A secondary capture: the map over the radiograph."),
)
async def get_heat_map_capture(
    study_id: StudyIdPath, request: Request, state: AppStateDep, principal: PrincipalDep
) -> Response:
    """404 for a study without a map."""
    forbid_unknown_query(request)
    result = Result.HEAT_MAP
    return _file(await state.dicom_results.of(study_id, principal.department, result))


@router.get(
    "/summary.dcm",
    operation_id="getStudySummaryDocument",
    summary="The overlay as a PDF in a DICOM object",
    response_class=Response,
    responses=_dicom("An encapsulated PDF: the page of the secondary capture."),
)
async def get_summary_document(
    study_id: StudyIdPath, request: Request, state: AppStateDep, principal: PrincipalDep
) -> Response:
    """For systems that file documents."""
    forbid_unknown_query(request)
    result = Result.PDF
    return _file(await state.dicom_results.of(study_id, principal.department, result))


@router.get(
    "/oru.hl7",
    operation_id="getStudyResultMessage",
    summary="The result as an HL7 v2 message",
    response_class=Response,
    responses={
        **file_response("ORU^R01 of HL7 v2.5.1 in UTF-8.", hl7_v2.MEDIA_TYPE),
        **problem_responses(404, 422, 503, Overloaded, because=_REFUSED),
    },
)
async def get_result_message(
    study_id: StudyIdPath,
    request: Request,
    state: AppStateDep,
    principal: PrincipalDep,
    *,
    application: Hl7NameQuery = "",
    facility: Hl7NameQuery = "",
) -> Response:
    """Patient and accession as the DICOM file says them; a study of another file has none: 422."""
    forbid_unknown_query(request, "application", "facility")
    receiver = hl7_v2.Receiver(application, facility)
    exported = await state.dicom_results.message(study_id, principal.department, receiver)
    return _file(exported)


def _file(exported: Exported) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{exported.name}"'}
    return Response(exported.content, media_type=exported.media_type, headers=headers)
