"""`/api/v1/audit`: who did what, of which study, when, from where."""

from datetime import datetime
from typing import Annotated

from fastapi import APIRouter, Query, Request

from cxr_gateway.api.dependencies import AppStateDep, PrincipalDep
from cxr_gateway.api.documents import problem_responses
from cxr_gateway.audit.entries import as_written
from cxr_gateway.audit.queries import AuditPage, LineQuery
from cxr_serving.uploads import forbid_unknown_query

router = APIRouter(prefix="/api/v1", tags=["audit"])


@router.get(
    "/audit",
    operation_id="listAuditEntries",
    summary="The audit log, the latest first",
    response_model=AuditPage,
    responses={
        200: {"description": "Lines of the log; the request for them becomes one, too."},
        **problem_responses(422, 503),
    },
)
async def list_audit_lines(
    request: Request,
    parts: AppStateDep,
    principal: PrincipalDep,
    *,
    study_id: Annotated[
        str | None,
        Query(pattern=r"^[0-9a-z]{26}$", description="Only lines about this study."),
    ] = None,
    subject: Annotated[
        str | None,
        Query(pattern=r"^[^\x00]+$", max_length=255, description="Only what this one did."),
    ] = None,
    action: Annotated[
        str | None,
        Query(
            pattern=r"^[A-Za-z0-9 ]+$",
            max_length=64,
            description="Only this: an operation's id, or a command.",
        ),
    ] = None,
    since: Annotated[
        datetime | None, Query(description="Only from this time on; UTC if it has no zone.")
    ] = None,
    before: Annotated[
        int | None, Query(ge=1, le=2**62, description="`next_before` of the page before.")
    ] = None,
    limit: Annotated[int, Query(ge=1, le=1000, description="Lines on a page.")] = 100,
) -> AuditPage:
    """Whether the log is whole, `cxr-gateway audit verify` says, and not the gateway itself."""
    names = ("study_id", "subject", "action", "since", "before", "limit")
    forbid_unknown_query(request, *names)
    return await parts.audit.page(
        LineQuery(
            study_id=study_id,
            subject=subject,
            # What a department's own people did; what is nobody's is for those who see all.
            department=principal.department,
            action=action,
            since=None if since is None else as_written(since),
            before=before,
            limit=limit,
        )
    )
