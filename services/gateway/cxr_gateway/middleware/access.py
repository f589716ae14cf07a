"""The guard in front of the router: who asks, and whether they may, before anything is read.

`core.request_state` says what those outside of it (the log, the audit) find in the request's state.
"""

import logging
from urllib.parse import urlsplit

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from cxr_gateway.access.authenticator import SAFE_METHODS, Authenticator, address_of
from cxr_gateway.access.oidc import SIGN_IN_PATH
from cxr_gateway.access.permissions import Operation
from cxr_gateway.archive.tables import MAX_SUBJECT_CHARS
from cxr_gateway.core.access_settings import AccessSettings
from cxr_gateway.core.errors import Forbidden, Unauthenticated
from cxr_gateway.core.principal import LOCAL, NOBODY, Principal, PrincipalKind
from cxr_gateway.core.request_state import set_principal, set_refusal
from cxr_gateway.middleware.operation import operation_of
from cxr_serving.errors import ServiceError
from cxr_serving.problems import problem_response

_LOG = logging.getLogger(__name__)
# An open page asks these again and again by itself; nobody need be sitting before it.
_UNATTENDED = frozenset({"getMe", "getSystem", "listStudies", "listChanges", "streamEvents"})


class AccessMiddleware:
    """Lets a request through to the router, or answers it with a problem."""

    def __init__(self, app: ASGIApp, settings: AccessSettings) -> None:
        self._app = app
        self._closed = settings.is_closed
        self._settings = settings

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request = HTTPConnection(scope)
        set_principal(request, NOBODY if self._closed else self._let_in(request))
        operation = operation_of(request)
        if self._is_foreign(request):
            error = Forbidden("Only this gateway's own page may send anything to it.")
            set_refusal(request, error.title)
            response = problem_response(error.problem(scope["path"]), error.headers)
            await response(scope, receive, send)
            return
        if operation is not None and self._closed and not operation.rule.for_everybody:
            try:
                await self._admit(request, operation)
            except ServiceError as error:
                set_refusal(request, _reason(error, operation))
                # So that a refusal is counted under the route that it is about.
                scope["route"] = operation
                response = problem_response(error.problem(scope["path"]), error.headers)
                await response(scope, receive, send)
                return
        await self._app(scope, receive, send)

    def _let_in(self, request: HTTPConnection) -> Principal:
        """Who the proxy before this gateway has let in, or whoever sits at the machine."""
        name = self._settings.forwarded_user_header
        given = request.headers.get(name, "") if name and self._is_behind_log_in else ""
        if not 0 < len(given) <= MAX_SUBJECT_CHARS or not given.isprintable():
            return LOCAL
        return Principal(PrincipalKind.USER, given, LOCAL.roles)

    @property
    def _is_behind_log_in(self) -> bool:
        return self._settings.resolved_access == "behind-log-in"

    def _is_foreign(self, request: HTTPConnection) -> bool:
        """Whether a request that changes something is not our own page's.

        The proxy's cookie goes along with whatever any page has a browser send, and the gateway
        has none of its own that would not: so what sent a request has to be named, always.
        """
        if not self._is_behind_log_in or request.scope["method"] in SAFE_METHODS:
            return False
        site = request.headers.get("sec-fetch-site")
        if site is not None:
            return site != "same-origin"
        origin = request.headers.get("origin", "")
        if self._settings.origin:
            return origin != self._settings.origin
        return urlsplit(origin).netloc != request.headers.get("host") or not origin

    async def _admit(self, request: HTTPConnection, operation: Operation) -> None:
        authenticator: Authenticator = request.app.state.gateway.authenticator
        caller = await authenticator.authenticate(request, attended=operation.id not in _UNATTENDED)
        principal = caller.principal
        set_principal(request, principal, caller.session)
        authenticator.limits.count_request(principal, address_of(request))
        if operation.rule.allows(principal):
            return
        if principal.kind is PrincipalKind.NOBODY:
            # Where a person signs in; null where only keys are taken.
            path = SIGN_IN_PATH if authenticator.provider is not None else None
            raise Unauthenticated("nobody", sign_in=path)
        raise Forbidden("None of your roles allows this.")


def _reason(error: ServiceError, operation: Operation) -> str:
    reason = error.reason if isinstance(error, Unauthenticated) else error.title
    if reason != "nobody":
        _LOG.warning("refused", extra={"reason": reason, "operation": operation.id})
    return reason
