"""Events for the audit log: of a request, of a command, of the gateway itself."""

from collections.abc import Mapping
from typing import Any

from starlette.requests import HTTPConnection

from cxr_gateway.archive.audit_entries import Event, as_details
from cxr_gateway.core.client_address import client_address
from cxr_gateway.core.principal import LOCAL, Principal
from cxr_gateway.core.request_state import principal_of
from cxr_serving.logs import request_id

_MAX_CHARS = 255


def by_request(
    connection: HTTPConnection,
    action: str,
    study_id: str | None,
    outcome: int,
    details: Mapping[str, Any] | None = None,
) -> Event:
    """What whoever asks has done with this request, or has tried to.

    Args:
        connection: the request.
        action: as in `Event`, like the two that follow.
        study_id: the study.
        outcome: the answer's status.
        details: what else belongs to it.
    """
    return Event(
        **_who(principal_of(connection)),
        action=action,
        study_id=study_id,
        outcome=outcome,
        source=client_address(connection),
        request_id=request_id.get(),
        details=as_details(details),
    )


def by_the_machine(
    action: str,
    outcome: int = 0,
    study_id: str | None = None,
    subject: str = LOCAL.subject,
    details: Mapping[str, Any] | None = None,
) -> Event:
    """What a command has done, or the gateway by itself: `subject` says which of them."""
    return Event(
        **_who(Principal(LOCAL.kind, subject, LOCAL.roles)),
        action=action,
        study_id=study_id,
        outcome=outcome,
        source=None,
        request_id=None,
        details=as_details(details),
    )


def _who(principal: Principal) -> dict[str, Any]:
    department = principal.department
    return {
        "kind": principal.kind.value,
        "subject": _storable(principal.subject),
        "department": None if department is None else _storable(department),
    }


def _storable(text: str) -> str:
    """`text` as every database takes it: PostgreSQL has no zero character, and a limit."""
    return text.replace("\0", "�")[:_MAX_CHARS]
