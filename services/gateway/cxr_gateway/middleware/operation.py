"""Which operation a request asks for: its route is matched here, once, for all who need to know.

The access middleware asks for whom it is, the audit log names it; the router does its own matching
when the request gets there.
"""

from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from cxr_gateway.access.permissions import Operation, Operations
from cxr_gateway.core.request_state import OPERATION


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
        if scope["type"] == "http":
            operation = self._operations.of(scope["method"], scope["path"])
            scope.setdefault("state", {})[OPERATION] = operation
        await self._app(scope, receive, send)
