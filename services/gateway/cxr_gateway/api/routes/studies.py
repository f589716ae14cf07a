"""`/api/v1/studies`: send a radiograph, list what was read, analysed again."""

from contextlib import ExitStack
from typing import Annotated

from fastapi import APIRouter, Header, Path, Query, Request, Response

from cxr_gateway.analysis.pipeline import AnalysedStudy
from cxr_gateway.api.conditional import NOT_MODIFIED, TAGGED, IfNoneMatch, json_response
from cxr_gateway.api.dependencies import AppStateDep, PrincipalDep, note_listed
from cxr_gateway.api.documents import LOCATION, UPLOAD_BODY, header, problem_responses
from cxr_gateway.api.filters import FILTERS, ListCursor, StudyFilterDep, StudySortingDep
from cxr_gateway.api.upload import receive_upload
from cxr_gateway.archive import parse_cursor
from cxr_gateway.core.client_address import client_address
from cxr_gateway.core.errors import InferenceUnavailable, TooManyRequests
from cxr_gateway.core.request_state import set_study
from cxr_gateway.core.schemas import Study, StudyPage, StudyStatus
from cxr_serving.errors import Overloaded
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
        201: {"description": "Read, and kept under `id`.", "headers": {"Location": LOCATION}},
        200: {
            "model": Study,
            "description": "The same file was sent before: the same study.",
            "headers": {"Location": LOCATION},
        },
        202: {
            "model": Study,
            "description": "By `Prefer: respond-async`: kept, `pending`, and analysed soon, even "
            "if the gateway stops meanwhile. `Location` is where the result will be.",
            "headers": {
                "Location": LOCATION,
                "Preference-Applied": header("That it did not wait.", "respond-async"),
            },
        },
        **problem_responses(
            *(400, 408, 409, 413, 415, 422, 503, 507),
            InferenceUnavailable,
            Overloaded,
            because={
                409: "The `Idempotency-Key` was used for another file.",
                422: "The file is broken or cannot be read; or there is none, or more than one.",
            },
        ),
    },
)
async def create_study(
    request: Request,
    state: AppStateDep,
    principal: PrincipalDep,
    idempotency_key: Annotated[
        str | None,
        Header(
            pattern=_KEY,
            description="The same key with the same file is the same study; with another, 409.",
        ),
    ] = None,
    prefer: Annotated[
        str | None,
        Header(
            max_length=200,
            description="`respond-async` (RFC 7240): answered once the file is kept, not once it "
            "is analysed.",
        ),
    ] = None,
) -> Response:
    """Read one PNG, JPEG or DICOM file and keep it; the same bytes are the same study.

    A study whose earlier result failed or was partial is analysed again. With `Prefer:
    respond-async` the answer does not wait for the analysis; what is no radiograph, or was read
    before, is answered as without it.
    """
    # A place is taken by what has arrived; what would find none is told so before it is sent.
    state.pipeline.check_room(principal.sender)
    if is_later := prefers_async(prefer):
        await state.later.check_room()
    with (
        state.upload_shares.take(principal, client_address(request)),
        state.pipeline.receiving(),
    ):
        upload = await receive_upload(request, state.archive, state.settings)
        upload.sender = principal.sender
    with ExitStack() as place:
        try:
            place.enter_context(state.pipeline.admit(upload.sender))
        except (Overloaded, TooManyRequests):
            await state.archive.in_thread(upload.incoming.discard)
            raise
        try:
            read = state.pipeline.accept if is_later else state.pipeline.analyze
            result = await read(upload, idempotency_key, principal.department)
        except InferenceUnavailable as error:
            set_study(request, error.extensions["study_id"])
            raise
    set_study(request, result.stored.id)
    return _answer(result)


@router.get(
    "",
    operation_id="listStudies",
    summary="Studies in the order in which they should be read, or another",
    response_model=StudyPage,
    responses={
        200: {
            "description": "What waited too long, then the most urgent, what is done last; or by "
            "`sort`.",
            "headers": TAGGED,
        },
        **NOT_MODIFIED,
        **problem_responses(
            *(400, 422, 503),
            because={400: "The `cursor` is none of this list in this `sort`."},
        ),
    },
)
async def list_studies(
    request: Request,
    state: AppStateDep,
    principal: PrincipalDep,
    asked: StudyFilterDep,
    sorting: StudySortingDep,
    *,
    limit: Annotated[int, Query(ge=1, le=200, description="Studies on a page.")] = 50,
    cursor: ListCursor = None,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """First those that nobody opened within `max_wait_minutes`, the oldest first. Then urgent,
    unread (failed), soon, routine, rejected, in each the highest `score` first, then the newest.
    What is done comes last, in the same order. `sort` names another order.
    """
    forbid_unknown_query(request, *FILTERS, "sort", "limit", "cursor")
    page = await state.archive.page(
        asked,
        limit=limit,
        sorting=sorting,
        after=parse_cursor(cursor, sorting) if cursor else None,
        department=principal.department,
    )
    note_listed(request, state, [study.id for study in page.items])
    # A cursor carries the moment of its first page; one from before goes on as well.
    told = page.model_dump_json(exclude={"next_cursor"})
    return json_response(page.model_dump_json(), if_none_match, told=told)


@router.get(
    "/{study_id}",
    operation_id="getStudy",
    summary="One study",
    response_model=Study,
    responses={
        200: {"description": "The archived result.", "headers": TAGGED},
        **NOT_MODIFIED,
        **problem_responses(404, 422, 503),
    },
)
async def get_study(
    study_id: StudyIdPath,
    state: AppStateDep,
    principal: PrincipalDep,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """The result as it was archived."""
    stored = await state.archive.get(study_id, principal.department)
    return json_response(stored.told_json, if_none_match)


@router.post(
    "/{study_id}/rerun",
    operation_id="rerunStudy",
    summary="Read a failed or partial study again",
    response_model=Study,
    responses={
        200: {
            "description": "The study as it stands now, analysed again where needed.",
            "headers": {"Location": LOCATION},
        },
        **problem_responses(404, 422, 503, 507, InferenceUnavailable, Overloaded),
    },
)
async def rerun_study(
    study_id: StudyIdPath, state: AppStateDep, principal: PrincipalDep
) -> Response:
    """Ask the inference services again; a complete or rejected study is answered as it stands."""
    with state.pipeline.admit(principal.sender):
        result = await state.pipeline.rerun(study_id, principal.department, principal.sender)
    return _answer(result)


def prefers_async(prefer: str | None) -> bool:
    """Whether a `Prefer` has `respond-async`."""
    named = (one.partition(";")[0].strip().lower() for one in (prefer or "").split(","))
    return "respond-async" in named


def status_of(result: AnalysedStudy) -> int:
    """How an upload is answered that came to this."""
    if result.stored.status is StudyStatus.PENDING:
        return 202
    return 201 if result.is_new else 200


def _answer(result: AnalysedStudy) -> Response:
    headers = {"Location": f"/api/v1/studies/{result.stored.id}"}
    status = status_of(result)
    if status == 202:
        headers["Preference-Applied"] = "respond-async"
    return Response(
        result.stored.told_json,
        status_code=status,
        media_type="application/json",
        headers=headers,
    )
