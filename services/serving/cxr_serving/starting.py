"""A start that fails for a reason an operator can act on ends with a sentence, not a traceback."""

import sys
from collections.abc import MutableMapping
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send


class StartFailureMiddleware:
    """Replaces the traceback of a failed start, for the errors in `known`; others keep theirs.

    Args:
        app: The service.
        name: As the sentence calls the service.
        known: Errors whose message is a sentence.
    """

    def __init__(self, app: ASGIApp, name: str, known: tuple[type[Exception], ...]) -> None:
        self._app = app
        self._name = name
        self._known = known

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "lifespan":
            await self._app(scope, receive, send)
            return

        async def send_sentence(message: MutableMapping[str, Any]) -> None:
            # Sent from the handler of the very exception that the start failed with.
            error = sys.exc_info()[1]
            if message["type"] == "lifespan.startup.failed" and isinstance(error, self._known):
                message["message"] = start_failure(self._name, error)
            await send(message)

        await self._app(scope, receive, send_sentence)


def start_failure(name: str, error: BaseException) -> str:
    """The sentence of a service `name` that `error` keeps from starting."""
    return f"The {name} cannot start: {error}{_cause(error)}"


def _cause(error: BaseException) -> str:
    """What the system or the database said, in brackets, where it said something."""
    cause = getattr(error.__cause__, "orig", error.__cause__)
    said = " ".join(str(cause or "").split())
    return f" ({said})" if said else ""
