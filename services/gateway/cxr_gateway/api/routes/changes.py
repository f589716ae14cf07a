"""`/api/v1/changes` and `/api/v1/events`: what happened to studies, asked for or as it happens."""

from typing import Annotated

from fastapi import APIRouter, Header, Query, Request, Response

from cxr_gateway.api.conditional import NOT_MODIFIED, TAGGED, IfNoneMatch, json_response
from cxr_gateway.api.dependencies import AppStateDep, PrincipalDep, note_listed
from cxr_gateway.api.documents import header, problem_responses
from cxr_gateway.api.examples import EXAMPLE_ID
from cxr_gateway.archive.changes import Position
from cxr_gateway.changes.schemas import ChangePage
from cxr_serving.uploads import forbid_unknown_query

router = APIRouter(prefix="/api/v1", tags=["changes"])

_MAX_CHARS = 64
_CHANGE = {
    "cursor": "5f0c1e9a-2b",
    "at": "2026-05-04T09:30:12.563000Z",
    "kind": "created",
    "study_id": EXAMPLE_ID,
    "study": {
        "status": "complete",
        "priority": "soon",
        "score": 0.061,
        "worklist": "new",
        "revision": 1,
    },
}
_PAGE = {"items": [_CHANGE], "next_cursor": "5f0c1e9a-2b", "has_more": False}
_STREAM = """\
id: 5f0c1e9a-2a
retry: 2000

event: change
data: {"cursor":"5f0c1e9a-2b","at":"2026-05-04T09:30:12.563000Z","kind":"worklist",\
"study_id":"01k6xw3m9v5t8r2q4n7j1h0g6f","study":{"status":"complete","priority":"soon",\
"score":0.061,"worklist":"opened","revision":1}}
id: 5f0c1e9a-2b

"""

SinceQuery = Annotated[
    str | None,
    Query(
        max_length=_MAX_CHARS,
        description="A `next_cursor` or a change's `cursor`: what happened after it.",
    ),
]


@router.get(
    "/changes",
    operation_id="listChanges",
    summary="What happened to studies, in order",
    response_model=ChangePage,
    responses={
        200: {
            "description": "The earliest first. Without `since` from the beginning, where every "
            "study that is there has its entry.",
            "content": {"application/json": {"example": _PAGE}},
            "headers": TAGGED,
        },
        **NOT_MODIFIED,
        **problem_responses(400, 410, 422, 503),
    },
)
async def list_changes(
    request: Request,
    state: AppStateDep,
    principal: PrincipalDep,
    *,
    since: SinceQuery = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="Changes on a page.")] = 100,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Read to `has_more` false, keep `next_cursor`, and ask from there when you like: nothing is
    missed, and nothing comes twice. A change says which study and what it is by now, and nothing of
    the patient. A deleted study has one entry, that it was deleted.
    """
    forbid_unknown_query(request, "since", "limit")
    after = Position.parse(since) if since is not None else None
    page = await state.changes.page(after, limit, principal.department)
    note_listed(request, state, list(dict.fromkeys(one.study_id for one in page.items)))
    return json_response(page.model_dump_json(), if_none_match)


@router.get(
    "/events",
    operation_id="streamEvents",
    summary="The same changes as they happen, as server-sent events",
    response_class=Response,
    responses={
        200: {
            "description": "An endless stream. Each `change` has a `Change` as its data and the "
            "change's `cursor` as its id; lines in between keep the connection open.",
            "headers": {"X-Accel-Buffering": header("A reverse proxy passes it on at once.", "no")},
            "content": {"text/event-stream": {"schema": {"type": "string"}, "example": _STREAM}},
        },
        **problem_responses(400, 410, 422, 429, 503),
    },
)
async def stream_events(
    request: Request,
    state: AppStateDep,
    *,
    since: SinceQuery = None,
    last_event_id: Annotated[
        str | None,
        Header(
            max_length=_MAX_CHARS,
            description="As a browser's EventSource sends it when it comes back; it stands before "
            "`since`.",
        ),
    ] = None,
) -> Response:
    """From now on, or from a cursor on. The stream ends when the session or key does, with the
    gateway, and after an hour; a client that comes back with the last id misses nothing.
    """
    forbid_unknown_query(request, "since")
    place = last_event_id or since
    after = Position.parse(place) if place is not None else None
    return await state.streams.open(request, after)
