"""A line of the audit log for every request to the API, committed before its answer begins.

So whoever got something of a patient is on record, whatever happens in the moment after. An answer
that cannot be put on record is not given: 503 instead.
"""

import logging
import re
from functools import cached_property

from fastapi import FastAPI
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.routing import compile_path
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cxr_gateway.audit.entries import Event, by_request
from cxr_gateway.audit.log import AuditLog
from cxr_gateway.core.errors import StorageFull
from cxr_gateway.core.ids import is_study_id
from cxr_serving.errors import ServiceError, Unavailable
from cxr_serving.problems import problem_response

_LOG = logging.getLogger(__name__)
_API = "/api/"
_STUDY_IN_PATH = re.compile(r"/studies/([0-9a-z]{26})(?=/|$)")
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


def about(connection: HTTPConnection, study_id: str) -> None:
    """Say which study a request is about whose path does not name it."""
    connection.state.audit_study = study_id


def already_recorded(connection: HTTPConnection) -> None:
    """Say that the request's line was written together with what it did."""
    connection.state.audit_recorded = True


class AuditMiddleware:
    """Stands around whatever may refuse a request, within the request's id."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._operations: _Operations | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http" or not scope["path"].startswith(_API):
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
        if getattr(connection.state, "audit_recorded", False):
            return None
        event = self._event(connection, status)
        log: AuditLog = connection.app.state.parts.audit
        try:
            await log.record(event)
        except Exception as error:
            # Whatever it is: what is not on record is not answered.
            extra = {"action": event.action, "status": status}
            _LOG.exception("a request could not be put on record", extra=extra)
            if event.action in _OPEN:
                return None
            cause = f" {error.detail}" if isinstance(error, ServiceError) else ""
            told = f"The audit log cannot be written, so nothing is answered.{cause}"
            # What had no room is told so, however the database calls the same full disk.
            return (StorageFull if status == StorageFull.status else Unavailable)(told)
        return None

    def _event(self, connection: HTTPConnection, status: int) -> Event:
        study_id = getattr(connection.state, "audit_study", None)
        if study_id is None:
            match = _STUDY_IN_PATH.search(connection.scope["path"])
            study_id = match[1] if match and is_study_id(match[1]) else None
        action = self._operation_of(connection.scope)
        return by_request(connection, action, study_id, status)

    def _operation_of(self, scope: Scope) -> str:
        route = scope.get("route")
        operation: str | None = getattr(route, "operation_id", None)
        # A route is noted, too, where only the path was its own, and not the method.
        if operation is not None and scope["method"] in getattr(route, "methods", ()):
            return operation
        # Refused before it came to a route, or there is none.
        self._operations = self._operations or _Operations(scope["app"])
        return self._operations.at(scope["method"], scope["path"])


class _Operations:
    """What each method and path is called in the API's description."""

    def __init__(self, app: FastAPI) -> None:
        self._app = app

    def at(self, method: str, path: str) -> str:
        """The operation's id, or a name that says that there is none."""
        return next(
            (name for verb, form, name in self._known if verb == method and form.match(path)),
            _NO_ROUTE,
        )

    @cached_property
    def _known(self) -> list[tuple[str, re.Pattern[str], str]]:
        return [
            (verb.upper(), compile_path(template)[0], operation["operationId"])
            for template, operations in self._app.openapi()["paths"].items()
            for verb, operation in operations.items()
        ]


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
