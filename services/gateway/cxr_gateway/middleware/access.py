"""The guard in front of the router: who asks, and whether they may, before anything is read.

What stands outside of it (the log, an audit) finds `principal`, `operation` and, after a refusal,
`refusal` in the request's state.
"""

import logging

from fastapi import FastAPI
from starlette.middleware import Middleware
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from cxr_gateway.access.authenticator import Authenticator, address_of
from cxr_gateway.access.oidc import SIGN_IN_PATH
from cxr_gateway.access.permissions import Operation, Operations
from cxr_gateway.core.access_settings import AccessSettings
from cxr_gateway.core.errors import Forbidden, Unauthenticated
from cxr_gateway.core.principal import LOCAL, NOBODY, PrincipalKind
from cxr_serving.errors import ServiceError
from cxr_serving.problems import problem_response

_LOG = logging.getLogger(__name__)
# An open page asks these again and again by itself; nobody need be sitting before it.
_UNATTENDED = frozenset({"getMe", "getSystem", "listStudies"})


def install_access(app: FastAPI, settings: AccessSettings) -> None:
    """Guard the routes of `app`; call it when all are there.

    Raises:
        LookupError: a route has no line in the table of permissions.
    """
    # The innermost: refusals are counted, logged and carry a request id like every answer.
    guard = Middleware(AccessMiddleware, operations=Operations(app.routes), settings=settings)
    app.user_middleware.append(guard)


class AccessMiddleware:
    """Lets a request through to the router, or answers it with a problem."""

    def __init__(self, app: ASGIApp, operations: Operations, settings: AccessSettings) -> None:
        self._app = app
        self._operations = operations
        self._closed = settings.is_closed

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        state = scope.setdefault("state", {})
        state["principal"] = NOBODY if self._closed else LOCAL
        operation = self._operations.of(scope["method"], scope["path"])
        if operation is not None:
            state["operation"] = operation.id
            try:
                if self._closed and not operation.rule.for_everybody:
                    await self._admit(HTTPConnection(scope), operation)
            except ServiceError as error:
                state["refusal"] = _told(error, operation)
                # So that a refusal is counted under the route that it is about.
                scope["route"] = operation
                response = problem_response(error.problem(scope["path"]), error.headers)
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)

    async def _admit(self, request: HTTPConnection, operation: Operation) -> None:
        authenticator: Authenticator = request.app.state.parts.authenticator
        visitor = await authenticator.receive(request, attended=operation.id not in _UNATTENDED)
        request.state.principal = principal = visitor.principal
        request.state.session = visitor.session
        authenticator.limits.count_request(principal, address_of(request))
        if operation.rule.allows(principal):
            return
        if principal.kind is PrincipalKind.NOBODY:
            # Where a person signs in; null where only keys are taken.
            path = SIGN_IN_PATH if authenticator.provider is not None else None
            raise Unauthenticated("nobody", sign_in=path)
        raise Forbidden("None of your roles allows this.")


def _told(error: ServiceError, operation: Operation) -> str:
    reason = error.reason if isinstance(error, Unauthenticated) else error.title
    if reason != "nobody":
        _LOG.warning("refused", extra={"reason": reason, "operation": operation.id})
    return reason
