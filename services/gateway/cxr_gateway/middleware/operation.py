"""Which operation a request asks for: its route is matched here, once, for all who need to know.

The access middleware asks for whom it is, the audit log names it; the router does its own matching
when the request gets there. What HTTP wants of every resource is kept here, too: HEAD wherever
there is GET, OPTIONS, 404 where nothing is, and an Allow that names all methods of a path (RFC
9110, 9.3.2, 9.3.7, 15.5.6); the router knows one route at a time.
"""

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cxr_gateway.access.permissions import Operation, Operations
from cxr_gateway.core.request_state import HEAD, OPERATION


def operation_of(connection: HTTPConnection) -> Operation | None:
    """The operation that is asked for; None where no route has it."""
    found: Operation | None = getattr(connection.state, OPERATION, None)
    return found


class OperationMiddleware:
    """Stores the operation in the request's state; None for what is answered 404 or 405."""

    def __init__(self, app: ASGIApp, operations: Operations) -> None:
        self._app = app
        self._operations = operations

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        method, path = scope["method"], scope["path"]
        allowed = self._operations.methods_of(path)
        if method == "OPTIONS" and allowed:
            response = Response(status_code=204, headers={"Allow": ", ".join(allowed)})
            await response(scope, receive, send)
            return
        if not allowed or (method == "HEAD" and "HEAD" in allowed):
            # Where nothing is, every method is told what GET is told: 404.
            scope = {**scope, "method": "GET"}
            send = _without_body(send) if method == "HEAD" else send
        # The page's route takes GET of a path that has other methods alone.
        is_other = bool(allowed) and scope["method"] not in allowed
        operation = None if is_other else self._operations.of(scope["method"], path)
        scope.setdefault("state", {}).update({OPERATION: operation, HEAD: method == "HEAD"})
        await self._app(scope, receive, send if operation else _with_allow(send, allowed))


def _without_body(send: Send) -> Send:
    async def send_head(message: Message) -> None:
        if message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await send(message)

    return send_head


def _with_allow(send: Send, allowed: list[str]) -> Send:
    async def send_allow(message: Message) -> None:
        if message["type"] == "http.response.start" and message["status"] == 405 and allowed:
            MutableHeaders(scope=message)["Allow"] = ", ".join(allowed)
        await send(message)

    return send_allow
