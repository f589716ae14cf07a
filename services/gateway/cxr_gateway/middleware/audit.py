"""An entry of the audit log for every request to the API, committed before its answer begins.

So whoever got something of a patient is on record, whatever happens in the moment after. An answer
that cannot be put on record is not given: 503 instead.
"""

import logging

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cxr_gateway.access.permissions import API_PREFIXES, PAGE
from cxr_gateway.audit import Event, by_request
from cxr_gateway.audit.log import AuditLog
from cxr_gateway.core.errors import StorageFull
from cxr_gateway.core.ids import is_study_id
from cxr_gateway.core.request_state import details_of, is_recorded, study_of
from cxr_gateway.middleware.operation import operation_of
from cxr_serving.errors import ServiceError, Unavailable
from cxr_serving.problems import problem_response

_LOG = logging.getLogger(__name__)
_CLIENT_GONE = 499
# What tells nothing of a patient is answered even while nothing can be put on record.
_OPEN = frozenset({"getSystem"})
_NO_ROUTE = "noSuchOperation"
# Of the answer that is not given; its other headers belong to the refusal, too.
_OF_THE_CONTENT = frozenset(
    {
        "accept-ranges",
        "cache-control",
        "content-disposition",
        "content-encoding",
        "content-length",
        "content-type",
        "etag",
        "last-modified",
        "location",
        "set-cookie",
    }
)


class AuditMiddleware:
    """Stands around whatever may refuse a request, within the request's id."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http" or not scope["path"].startswith(API_PREFIXES):
            await self._app(scope, receive, send)
            return
        connection = HTTPConnection(scope)
        answered, refusal = False, None

        async def send_on_record(message: Message) -> None:
            nonlocal answered, refusal
            if message["type"] == "http.response.start":
                answered = True
                refusal = await self._record(connection, message["status"])
                if refusal is not None:
                    given = Headers(raw=message["headers"])
                    await _refuse(refusal, given, scope, receive, send)
            if refusal is None:
                await send(message)

        try:
            await self._app(scope, receive, send_on_record)
        finally:
            if not answered:
                await self._record(connection, _CLIENT_GONE)

    async def _record(self, connection: HTTPConnection, status: int) -> ServiceError | None:
        """Write the line; why the answer may not be given, if so."""
        if is_recorded(connection):
            return None
        event = self._event(connection, status)
        log: AuditLog = connection.app.state.gateway.audit
        try:
            await log.record(event)
        except Exception as error:
            # Whatever it is: what is not on record is not answered.
            extra = {"action": event.action, "status": status}
            _LOG.exception("a request could not be put on record", extra=extra)
            if event.action in _OPEN:
                return None
            cause = f" {error.detail}" if isinstance(error, ServiceError) else ""
            detail = f"The audit log cannot be written, so nothing is answered.{cause}"
            # What had no room is told so, however the database calls the same full disk.
            return (StorageFull if status == StorageFull.status else Unavailable)(detail)
        return None

    def _event(self, connection: HTTPConnection, status: int) -> Event:
        operation = operation_of(connection)
        study_id = study_of(connection)
        if study_id is None and operation is not None:
            match = operation.pattern.match(connection.scope["path"])
            named = match.groupdict().get("study_id", "") if match else ""
            study_id = named if is_study_id(named) else None
        # The page takes every path that no other route has.
        is_ours = operation is not None and operation.id != PAGE
        action = operation.id if operation and is_ours else _NO_ROUTE
        return by_request(connection, action, study_id, status, details_of(connection))


async def _refuse(
    error: ServiceError, given: Headers, scope: Scope, receive: Receive, send: Send
) -> None:
    async def send_with_given(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in given.items():
                if name not in _OF_THE_CONTENT:
                    headers.setdefault(name, value)
            headers["Cache-Control"] = "no-store"
        await send(message)

    response = problem_response(error.problem(scope["path"]), {"Retry-After": "5"})
    await response(scope, receive, send_with_given)
