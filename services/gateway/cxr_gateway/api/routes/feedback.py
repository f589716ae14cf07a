"""`/api/v1/agreement` and `/api/v1/feedback`: what all readers said, counted and as files."""

from datetime import UTC, datetime
from functools import partial
from typing import Annotated

from fastapi import APIRouter, Query, Request, Response

from cxr_gateway.api.dependencies import AppState, AppStateDep, PrincipalDep, note_listed
from cxr_gateway.api.documents import DISPOSITION, file_response, problem_responses
from cxr_gateway.archive.first_reads import first_reads_since
from cxr_gateway.archive.report_labels import report_labels_since
from cxr_gateway.archive.reviews import reviews_since, standing
from cxr_gateway.exports.feedback import (
    Reviewed,
    coco_json,
    corrections_csv,
    first_reads_csv,
    together,
)
from cxr_gateway.feedback import first_reads, report_labels
from cxr_gateway.feedback.agreement import agreement_of, first_moment, months_until
from cxr_gateway.feedback.corrections import corrections
from cxr_gateway.feedback.schemas import AgreementReport
from cxr_serving.uploads import forbid_unknown_query

router = APIRouter(prefix="/api/v1", tags=["feedback"])


@router.get(
    "/agreement",
    operation_id="getAgreement",
    summary="How often readers agreed with the models",
    response_model=AgreementReport,
    responses={
        200: {"description": "Counts and shares; no patients."},
        **problem_responses(422, 503),
    },
)
async def get_agreement(
    request: Request,
    state: AppStateDep,
    principal: PrincipalDep,
    *,
    months: Annotated[
        int, Query(ge=1, le=60, description="In UTC, the current one included.")
    ] = 12,
) -> AgreementReport:
    """By finding, reader, month and model, with Wilson's intervals; no patients."""
    forbid_unknown_query(request, "months")
    now = datetime.now(UTC)
    since = first_moment(months_until(now, months))
    wanted = partial(reviews_since, department=principal.department, since=since)
    reads = partial(first_reads_since, department=principal.department, since=since)
    signed = partial(report_labels_since, department=principal.department, since=since.date())
    return agreement_of(
        standing(await state.archive.query(wanted)),
        months,
        now,
        first_reads.shares_of(await state.archive.query(reads)),
        report_labels.shares_of(await state.archive.query(signed)),
    )


@router.get(
    "/feedback/corrections.csv",
    operation_id="getCorrections",
    summary="What readers said, as a table",
    response_class=Response,
    responses={
        **file_response("One line an entry that stands.", "text/csv"),
        **problem_responses(422, 503),
    },
)
async def get_corrections(
    request: Request, state: AppStateDep, principal: PrincipalDep
) -> Response:
    """Entries that were taken back or replaced are not in it."""
    forbid_unknown_query(request)
    content = corrections_csv(await _reviewed(request, state, principal.department))
    return _download(content, "text/csv", "corrections.csv")


@router.get(
    "/feedback/coco.json",
    operation_id="getCorrectionsCoco",
    summary="The regions that readers confirmed or drew, in COCO's format",
    response_class=Response,
    responses={
        200: {
            "description": "COCO: images, annotations, categories.",
            "headers": {"Content-Disposition": DISPOSITION},
            "content": {"application/json": {"schema": {"type": "object"}}},
        },
        **problem_responses(422, 503),
    },
)
async def get_corrections_coco(
    request: Request, state: AppStateDep, principal: PrincipalDep
) -> Response:
    """Boxes are in pixels of `image.png`; `cxr-gateway export feedback` writes the images, too."""
    forbid_unknown_query(request)
    content = coco_json(await _reviewed(request, state, principal.department))
    return _download(content, "application/json", "coco.json")


@router.get(
    "/feedback/first-reads.csv",
    operation_id="getFirstReadsTable",
    summary="What readers saw before the answers, beside the answers, as a table",
    response_class=Response,
    responses={
        **file_response("One line a finding of a first opinion.", "text/csv"),
        **problem_responses(422, 503),
    },
)
async def get_first_reads_table(
    request: Request, state: AppStateDep, principal: PrincipalDep
) -> Response:
    """Of studies that a classifier answered for."""
    forbid_unknown_query(request)
    wanted = partial(first_reads_since, department=principal.department)
    records = await state.archive.query(wanted)
    note_listed(request, state, sorted({record.study_id for record in records}))
    return _download(first_reads_csv(records), "text/csv", "first-reads.csv")


async def _reviewed(request: Request, state: AppState, department: str | None) -> list[Reviewed]:
    found = together(*await corrections(state.archive, department))
    note_listed(request, state, [one.study.id for one in found])
    return found


def _download(content: str, media_type: str, name: str) -> Response:
    headers = {"Content-Disposition": f'attachment; filename="{name}"'}
    return Response(content, media_type=media_type, headers=headers)
