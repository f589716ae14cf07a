"""`/dicomweb/studies`: radiographs in by STOW-RS; results found by QIDO-RS and had by WADO-RS."""

import contextlib
from typing import Annotated, Any

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import JSONResponse

from cxr_gateway.analysis.pipeline import Upload
from cxr_gateway.api.dependencies import AppState, AppStateDep, PrincipalDep, note_listed
from cxr_gateway.api.dicom_search import (
    MULTIPART,
    PAGING,
    QUERY,
    check_accepts_multipart,
    described,
    instance_item,
    multipart,
    read_page,
    read_query,
    series_items,
    study_item,
    wants_single,
)
from cxr_gateway.api.documents import Responses, problem_responses
from cxr_gateway.api.stow import (
    CANNOT_UNDERSTAND,
    DICOM_JSON,
    OUT_OF_RESOURCES,
    PART_TYPE,
    PROCESSING_FAILURE,
    Instance,
    StowAnswer,
    instance_of,
    receive_instances,
)
from cxr_gateway.archive import DicomQuery, StoredStudy
from cxr_gateway.core.client_address import client_address
from cxr_gateway.core.errors import InferenceUnavailable
from cxr_gateway.core.request_state import set_details, set_study
from cxr_gateway.exports.dicom.catalogue import CatalogueEntry, catalogue
from cxr_serving.errors import (
    Conflict,
    NotFound,
    Overloaded,
    PayloadTooLarge,
    ServiceError,
    Unprocessable,
    UnsupportedMedia,
)
from cxr_serving.uploads import forbid_unknown_query

router = APIRouter(prefix="/dicomweb", tags=["DICOMweb"])

# Generators of clients make nothing, or no request that is whole, of multipart/related.
_BODY: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "One instance. As STOW-RS has it, multipart/related with an instance in "
        f"each part of type {PART_TYPE} is taken, too.",
        "content": {PART_TYPE: {"schema": {"type": "string", "format": "binary"}}},
    },
}
_ANSWER = {DICOM_JSON: {"schema": {"type": "object"}}}
_LIST = {DICOM_JSON: {"schema": {"type": "array", "items": {"type": "object"}}}}


@router.post(
    "/studies",
    operation_id="storeInstances",
    summary="Read radiographs (STOW-RS)",
    response_class=Response,
    openapi_extra=_BODY,
    responses={
        200: {"description": "All were read, or were known.", "content": _ANSWER},
        202: {"description": "Some were; FailedSOPSequence names the others.", "content": _ANSWER},
        **problem_responses(
            *(400, 408, 413, 415, 422, 503, 507),
            InferenceUnavailable,
            Overloaded,
            because={
                413: "The instances are too many, or together larger than one upload may be.",
                422: "It has a query parameter, and this operation knows none.",
            },
        ),
        409: {"description": "None was; FailedSOPSequence says why.", "content": _ANSWER},
    },
)
async def store_instances(
    request: Request, state: AppStateDep, principal: PrincipalDep
) -> Response:
    """Each instance is read like an upload to `/api/v1/studies`; all together are as large as one.

    The RetrieveURL of an instance is its study here.
    """
    forbid_unknown_query(request)
    answer = StowAnswer()
    # As for one upload: a place is taken by what has arrived.
    state.pipeline.check_room(principal.sender)
    with (
        state.upload_shares.take(principal, client_address(request)),
        state.pipeline.receiving(),
    ):
        uploads = await receive_instances(request, state.archive, state.settings)
    for upload in uploads:
        upload.sender = principal.sender
    try:
        with state.pipeline.admit(principal.sender):
            while uploads:
                await _keep(state, uploads.pop(0), principal.department, request, answer)
    finally:
        for left in uploads:
            await state.archive.in_thread(left.incoming.discard)
    return JSONResponse(answer.document(), answer.status, media_type=DICOM_JSON)


async def _keep(
    state: AppState, upload: Upload, department: str | None, request: Request, answer: StowAnswer
) -> None:
    content = await state.archive.in_thread(upload.incoming.read)
    instance: Instance = instance_of(content)
    del content
    try:
        study_id = (await state.pipeline.analyze(upload, None, department)).stored.id
    except InferenceUnavailable as error:
        # It is kept, and can be run again.
        study_id = str(error.extensions["study_id"])
    except (Unprocessable, UnsupportedMedia, PayloadTooLarge):
        answer.failed.append((instance, CANNOT_UNDERSTAND))
        return
    except Conflict:
        answer.failed.append((instance, PROCESSING_FAILURE))
        return
    except ServiceError:
        if not answer.kept and not answer.failed:
            raise
        answer.failed.append((instance, OUT_OF_RESOURCES))
        return
    answer.studies.append(study_id)
    set_study(request, answer.studies[0])
    if len(answer.studies) > 1:
        set_details(request, studies=answer.studies)
    url = str(request.url_for("get_study", study_id=study_id))
    answer.kept.append((instance, url))


UidPath = Annotated[str, Path(pattern=r"^[0-9.]{1,64}$", description="A DICOM UID.")]
_NO_RESULTS = "There are no results of these UIDs, or they are another department's."
_SEARCHED: Responses = {
    200: {"description": "What was found, as DICOM JSON.", "content": _LIST},
    204: {"description": "Nothing was found."},
    **problem_responses(400, 404, 422, 503, because={404: _NO_RESULTS}),
}
_RETRIEVED: Responses = {
    200: {
        "description": "The objects, each a part of type application/dicom.",
        "content": {"multipart/related": {"schema": {"type": "string", "format": "binary"}}},
    },
    **problem_responses(404, 406, 422, 503, Overloaded, because={404: _NO_RESULTS}),
}
_METADATA: Responses = {
    200: {"description": "Data sets without bulk data, as DICOM JSON.", "content": _LIST},
    **problem_responses(404, 422, 503, Overloaded, because={404: _NO_RESULTS}),
}


@router.get(
    "/studies",
    operation_id="searchDicomStudies",
    summary="Find studies that have results (QIDO-RS)",
    response_class=Response,
    openapi_extra=QUERY,
    responses=_SEARCHED,
)
async def search_studies(request: Request, state: AppStateDep, principal: PrincipalDep) -> Response:
    """A patient's earlier studies are found by PatientID."""
    found = await state.archive.find_dicom(read_query(request), principal.department)
    note_listed(request, state, [one.id for group in found for one in group])
    items = []
    for group in found:
        header = await state.dicom_results.header(group[0])
        items.append(study_item(header, _entries(group), _base(request)))
    return _searched(items)


@router.get(
    "/studies/{study_uid}/series",
    operation_id="searchDicomSeries",
    summary="The series of results of a study (QIDO-RS)",
    response_class=Response,
    openapi_extra=PAGING,
    responses=_SEARCHED,
)
async def search_series(
    study_uid: UidPath, request: Request, state: AppStateDep, principal: PrincipalDep
) -> Response:
    """Of each radiograph of the study."""
    page = read_page(request)
    entries = await _of_study(request, state, principal.department, study_uid)
    return _searched(page.of(series_items(study_uid, entries, _base(request))))


@router.get(
    "/studies/{study_uid}/instances",
    operation_id="searchDicomInstances",
    summary="The results of a study (QIDO-RS)",
    response_class=Response,
    openapi_extra=PAGING,
    responses=_SEARCHED,
)
async def search_instances(
    study_uid: UidPath, request: Request, state: AppStateDep, principal: PrincipalDep
) -> Response:
    """Of each radiograph of the study."""
    page = read_page(request)
    entries = await _of_study(request, state, principal.department, study_uid)
    base = _base(request)
    return _searched(page.of([instance_item(study_uid, one, base) for one in entries]))


@router.get(
    "/studies/{study_uid}/series/{series_uid}/instances",
    operation_id="searchDicomInstancesOfSeries",
    summary="The results of a series (QIDO-RS)",
    response_class=Response,
    openapi_extra=PAGING,
    responses=_SEARCHED,
)
async def search_instances_of_series(
    study_uid: UidPath,
    series_uid: UidPath,
    request: Request,
    state: AppStateDep,
    principal: PrincipalDep,
) -> Response:
    """Such as the two structured reports."""
    page = read_page(request)
    entries = await _of_study(request, state, principal.department, study_uid)
    base = _base(request)
    found = [
        instance_item(study_uid, one, base)
        for one in entries
        if one.series_instance_uid == series_uid
    ]
    return _searched(page.of(found))


@router.get(
    "/studies/{study_uid}",
    operation_id="retrieveDicomStudy",
    summary="All results of a study (WADO-RS)",
    response_class=Response,
    responses=_RETRIEVED,
)
async def retrieve_study(
    study_uid: UidPath, request: Request, state: AppStateDep, principal: PrincipalDep
) -> Response:
    """The radiograph itself is at the archive that it came from."""
    return await _retrieved(request, state, principal.department, study_uid)


@router.get(
    "/studies/{study_uid}/series/{series_uid}",
    operation_id="retrieveDicomSeries",
    summary="The results of a series (WADO-RS)",
    response_class=Response,
    responses=_RETRIEVED,
)
async def retrieve_series(
    study_uid: UidPath,
    series_uid: UidPath,
    request: Request,
    state: AppStateDep,
    principal: PrincipalDep,
) -> Response:
    """As of a study."""
    return await _retrieved(request, state, principal.department, study_uid, series_uid)


@router.get(
    "/studies/{study_uid}/series/{series_uid}/instances/{instance_uid}",
    operation_id="retrieveDicomInstance",
    summary="One result (WADO-RS)",
    response_class=Response,
    responses=_RETRIEVED,
)
async def retrieve_instance(
    study_uid: UidPath,
    series_uid: UidPath,
    instance_uid: UidPath,
    *,
    request: Request,
    state: AppStateDep,
    principal: PrincipalDep,
) -> Response:
    """As `application/dicom` alone, for whoever accepts that and not multipart."""
    department = principal.department
    return await _retrieved(request, state, department, study_uid, series_uid, instance_uid)


@router.get(
    "/studies/{study_uid}/metadata",
    operation_id="retrieveDicomStudyMetadata",
    summary="What the results of a study say, without images (WADO-RS)",
    response_class=Response,
    responses=_METADATA,
)
async def retrieve_study_metadata(
    study_uid: UidPath, request: Request, state: AppStateDep, principal: PrincipalDep
) -> Response:
    """As DICOM JSON."""
    return await _described(request, state, principal.department, study_uid)


@router.get(
    "/studies/{study_uid}/series/{series_uid}/metadata",
    operation_id="retrieveDicomSeriesMetadata",
    summary="What the results of a series say, without images (WADO-RS)",
    response_class=Response,
    responses=_METADATA,
)
async def retrieve_series_metadata(
    study_uid: UidPath,
    series_uid: UidPath,
    request: Request,
    state: AppStateDep,
    principal: PrincipalDep,
) -> Response:
    """As DICOM JSON."""
    return await _described(request, state, principal.department, study_uid, series_uid)


@router.get(
    "/studies/{study_uid}/series/{series_uid}/instances/{instance_uid}/metadata",
    operation_id="retrieveDicomInstanceMetadata",
    summary="What one result says, without its image (WADO-RS)",
    response_class=Response,
    responses=_METADATA,
)
async def retrieve_instance_metadata(
    study_uid: UidPath,
    series_uid: UidPath,
    instance_uid: UidPath,
    *,
    request: Request,
    state: AppStateDep,
    principal: PrincipalDep,
) -> Response:
    """As DICOM JSON."""
    department = principal.department
    return await _described(request, state, department, study_uid, series_uid, instance_uid)


def _base(request: Request) -> str:
    return f"{str(request.base_url).rstrip('/')}{router.prefix}"


def _entries(group: list[StoredStudy]) -> list[CatalogueEntry]:
    return [entry for stored in group for entry in catalogue(stored)]


def _searched(items: list[dict[str, Any]]) -> Response:
    if not items:
        return Response(status_code=204)
    return JSONResponse(items, media_type=DICOM_JSON)


async def _of_study(
    request: Request, state: AppState, department: str | None, study_uid: str
) -> list[CatalogueEntry]:
    """Every result of a DICOM study, noted for the audit log; NotFound if there is none."""
    found = await state.archive.find_dicom(DicomQuery(study_instance_uid=study_uid), department)
    if not found:
        raise NotFound("There are no results of a study of this UID.")
    note_listed(request, state, [one.id for one in found[0]])
    return _entries(found[0])


async def _made(
    request: Request,
    state: AppState,
    department: str | None,
    study_uid: str,
    *below: str,
) -> list[bytes]:
    """The objects below a study, a series or of one instance; NotFound if there is none."""
    names = ("series_instance_uid", "sop_instance_uid")
    made = []
    for entry in await _of_study(request, state, department, study_uid):
        wanted = zip(names, below, strict=False)
        if any(getattr(entry, name) != uid for name, uid in wanted):
            continue
        # There is no presentation state of a colour image.
        with contextlib.suppress(Unprocessable):
            exported = await state.dicom_results.of(entry.stored.id, department, entry.result)
            made.append(exported.content)
    if not made:
        raise NotFound("There is no such result.")
    return made


async def _retrieved(
    request: Request, state: AppState, department: str | None, study_uid: str, *below: str
) -> Response:
    is_single = wants_single(request) and len(below) == 2
    if not is_single:
        check_accepts_multipart(request)
    made = await _made(request, state, department, study_uid, *below)
    if is_single:
        return Response(made[0], media_type=PART_TYPE)
    return Response(multipart(made), media_type=MULTIPART)


async def _described(
    request: Request, state: AppState, department: str | None, study_uid: str, *below: str
) -> Response:
    forbid_unknown_query(request, "includefield")
    made = await _made(request, state, department, study_uid, *below)
    items = await state.archive.in_thread(lambda: [described(one) for one in made])
    return JSONResponse(items, media_type=DICOM_JSON)
