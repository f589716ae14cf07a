"""`/api/v1/studies/batch`: several radiographs in one request, and what became of each."""

import logging
from typing import Annotated

from fastapi import APIRouter, Header, Request, Response

from cxr_contracts import Problem
from cxr_gateway.analysis.pipeline import Upload
from cxr_gateway.api.dependencies import AppState, AppStateDep, PrincipalDep
from cxr_gateway.api.documents import BATCH_BODY, problem_responses
from cxr_gateway.api.routes.studies import prefers_async, status_of
from cxr_gateway.api.upload import MAX_FILES, receive_uploads
from cxr_gateway.core.client_address import client_address
from cxr_gateway.core.request_state import set_details
from cxr_gateway.core.schemas import SubmittedFile, SubmittedFiles
from cxr_serving.errors import Overloaded, ServiceError, Unprocessable
from cxr_serving.problems import internal_problem
from cxr_serving.uploads import forbid_unknown_query

_LOG = logging.getLogger(__name__)
router = APIRouter(prefix="/api/v1/studies", tags=["studies"])

# With a file's place behind it, it is as long as a key may be.
_KEY = r"^[\x21-\x7e]{1,190}$"


@router.post(
    "/batch",
    operation_id="createStudies",
    summary="Read several radiographs",
    status_code=207,
    response_model=SubmittedFiles,
    openapi_extra=BATCH_BODY,
    responses={
        207: {
            "description": "What became of each file; look at each `status`. None need have "
            "succeeded."
        },
        **problem_responses(
            *(400, 408, 413, 415, 422, 503, 507),
            Overloaded,
            because={
                413: "All files together are larger than one upload may be; nothing was kept.",
                415: "The request is no multipart form.",
                422: f"There is no file, there are more than {MAX_FILES}, or another field.",
            },
        ),
    },
)
async def create_studies(
    request: Request,
    state: AppStateDep,
    principal: PrincipalDep,
    idempotency_key: Annotated[
        str | None,
        Header(
            pattern=_KEY,
            description="Holds for each file with its place in the request: sent again in the same "
            "order they are the same studies, and another file in a place is a 409 of its own.",
        ),
    ] = None,
    prefer: Annotated[
        str | None,
        Header(
            max_length=200,
            description="`respond-async` (RFC 7240): each file is answered once it is kept.",
        ),
    ] = None,
) -> Response:
    """Read up to 32 PNG, JPEG or DICOM files, one after the other, each as if it were sent alone.

    A file that cannot be read costs the others nothing. Where the request as a whole is refused,
    nothing of it is kept.
    """
    forbid_unknown_query(request)
    # As for one upload: a place is taken by what has arrived.
    state.pipeline.check_room(principal.sender)
    if is_later := prefers_async(prefer):
        await state.later.check_room()
    with (
        state.upload_shares.take(principal, client_address(request)),
        state.pipeline.receiving(),
    ):
        uploads = await receive_uploads(request, state.archive, state.settings)
    found: list[SubmittedFile] = []
    try:
        with state.pipeline.admit(principal.sender):
            while uploads:
                upload = uploads.pop(0)
                upload.sender = principal.sender
                key = f"{idempotency_key}/{len(found)}" if idempotency_key else None
                item = await _read(
                    request,
                    state,
                    upload,
                    key,
                    department=principal.department,
                    is_later=is_later,
                )
                found.append(item)
    finally:
        for left in uploads:
            await state.archive.in_thread(left.incoming.discard)
    if studies := [study_id for one in found if (study_id := _study_of(one))]:
        set_details(request, studies=studies)
    answer = SubmittedFiles(items=found)
    return Response(answer.model_dump_json(), status_code=207, media_type="application/json")


async def _read(
    request: Request,
    state: AppState,
    upload: Upload,
    key: str | None,
    *,
    department: str | None,
    is_later: bool,
) -> SubmittedFile:
    try:
        if not upload.size_bytes:
            raise Unprocessable("The file is empty.")
        if is_later:
            await state.later.check_room()
        read = state.pipeline.accept if is_later else state.pipeline.analyze
        result = await read(upload, key, department)
    except ServiceError as error:
        return _refused(upload, error.problem(request.url.path))
    except Exception:
        # Whatever it is, the other files have their answer.
        _LOG.exception("a file of several was not read")
        return _refused(upload, internal_problem(request.url.path))
    finally:
        if not upload.incoming.settled:
            await state.archive.in_thread(upload.incoming.discard)
    return SubmittedFile(
        file_name=upload.file_name,
        status=status_of(result),
        study=result.stored.study,
        problem=None,
    )


def _refused(upload: Upload, problem: Problem) -> SubmittedFile:
    return SubmittedFile(
        file_name=upload.file_name, status=problem.status, study=None, problem=problem
    )


def _study_of(item: SubmittedFile) -> str | None:
    if item.study is not None:
        return item.study.id
    # Of one that no service could read, and that is kept.
    return item.problem.extensions().get("study_id") if item.problem else None
