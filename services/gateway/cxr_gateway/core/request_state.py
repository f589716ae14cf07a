"""What the middleware and the routes tell each other about a request: every key, in one place.

principal       who asks, set by the access middleware
session         the session by which a person asks, if by one
head            whether the client asked by HEAD for what a route answers to GET
operation       the operation that the router will answer, set by `middleware.operation`
refusal         why access was refused, for the access log
audit_study     the study that a request is about whose path does not name it
audit_details   what else belongs to the request's audit entry
audit_recorded  whether the request's audit entry is written already
"""

from typing import Any

from starlette.requests import HTTPConnection

from cxr_gateway.core.principal import NOBODY, Principal

# Read by `middleware.operation.operation_of`.
OPERATION = "operation"
HEAD = "head"


def is_head(connection: HTTPConnection) -> bool:
    """Whether only the headers of the answer are sent."""
    return getattr(connection.state, HEAD, False)


def has_operation(connection: HTTPConnection) -> bool:
    """Whether the method is one that the path answers, or nothing is at the path."""
    return getattr(connection.state, OPERATION, None) is not None


def principal_of(connection: HTTPConnection) -> Principal:
    """Who asks; `NOBODY` before it is known."""
    principal: Principal = getattr(connection.state, "principal", NOBODY)
    return principal


def session_of(connection: HTTPConnection) -> Any:
    """The `Session` by which a person asks; None for everybody else."""
    return getattr(connection.state, "session", None)


def set_principal(connection: HTTPConnection, principal: Principal, session: Any = None) -> None:
    """Say who asks, and by which session."""
    connection.state.principal = principal
    connection.state.session = session


def set_refusal(connection: HTTPConnection, reason: str) -> None:
    """Say why access was refused."""
    connection.state.refusal = reason


def set_study(connection: HTTPConnection, study_id: str) -> None:
    """Say which study a request is about whose path does not name it."""
    connection.state.audit_study = study_id


def study_of(connection: HTTPConnection) -> str | None:
    """The study that `set_study` named."""
    return getattr(connection.state, "audit_study", None)


def set_details(connection: HTTPConnection, **details: Any) -> None:
    """Say what else belongs to the request's audit entry."""
    connection.state.audit_details = details_of(connection) | details


def details_of(connection: HTTPConnection) -> dict[str, Any]:
    """What `set_details` said."""
    found: dict[str, Any] = getattr(connection.state, "audit_details", {})
    return found


def mark_recorded(connection: HTTPConnection) -> None:
    """Say that the request's audit entry was written together with what it did."""
    connection.state.audit_recorded = True


def is_recorded(connection: HTTPConnection) -> bool:
    """Whether `mark_recorded` was called."""
    return getattr(connection.state, "audit_recorded", False)
