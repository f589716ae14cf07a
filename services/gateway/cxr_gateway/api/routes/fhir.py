"""`/fhir/R4/DiagnosticReport`: a study's result as FHIR resources, R5 for whoever asks."""

import json
from typing import Annotated, Any

from fastapi import APIRouter, Query, Request, Response

from cxr_gateway.api.conditional import NOT_MODIFIED, TAGGED, IfNoneMatch, json_response
from cxr_gateway.api.dependencies import AppStateDep, PrincipalDep
from cxr_gateway.api.documents import problem_responses
from cxr_gateway.api.routes.studies import StudyIdPath
from cxr_gateway.exports import fhir
from cxr_serving.uploads import forbid_unknown_query

router = APIRouter(prefix="/fhir/R4/DiagnosticReport/{study_id}", tags=["FHIR"])


def _resource(description: str) -> dict[int | str, dict[str, Any]]:
    content = {"application/fhir+json": {"schema": {"type": "object"}}}
    return {
        200: {"description": description, "content": content, "headers": TAGGED},
        **NOT_MODIFIED,
        **problem_responses(404, 422, 503),
    }


@router.get(
    "",
    operation_id="getDiagnosticReport",
    summary="The result as a FHIR report",
    response_class=Response,
    responses=_resource("A preliminary DiagnosticReport; what it refers to is contained in it."),
)
async def get_diagnostic_report(
    study_id: StudyIdPath,
    request: Request,
    state: AppStateDep,
    principal: PrincipalDep,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Labelled as asserted by artificial intelligence (AIAST).

    With `Accept: application/fhir+json; fhirVersion=5.0` as R5, with image selections.
    """
    forbid_unknown_query(request)
    stored = await state.archive.get(study_id, principal.department)
    version = _version(request)
    return _resource_response(fhir.report(stored.study, version), version, if_none_match)


@router.get(
    "/$everything",
    operation_id="getDiagnosticReportBundle",
    summary="The result as a FHIR bundle",
    response_class=Response,
    responses=_resource("DiagnosticReport, Observations, Devices and Provenance as a collection."),
)
async def get_diagnostic_report_bundle(
    study_id: StudyIdPath,
    request: Request,
    state: AppStateDep,
    principal: PrincipalDep,
    *,
    form: Annotated[
        fhir.Form, Query(description="A `transaction` is what a FHIR server takes to store it.")
    ] = "collection",
    if_none_match: IfNoneMatch = None,
) -> Response:
    """As R5 where it is asked for, like the report."""
    forbid_unknown_query(request, "form")
    stored = await state.archive.get(study_id, principal.department)
    base_url = f"{str(request.base_url).rstrip('/')}/fhir/R4"
    version = _version(request)
    made = fhir.bundle(stored.study, base_url, version, form)
    return _resource_response(made, version, if_none_match)


def _resource_response(
    made: dict[str, Any], version: fhir.Version, if_none_match: str | None
) -> Response:
    content = json.dumps(made, ensure_ascii=False, separators=(",", ":"))
    return json_response(content, if_none_match, fhir.media_type(version))


def _version(request: Request) -> fhir.Version:
    """R5 for whoever says so in `Accept`, else R4."""
    accepted = request.headers.get("accept", "").replace(" ", "").replace('"', "").lower()
    return "5.0" if "fhirversion=5.0" in accepted else "4.0"
