"""The address that a request came from, also behind proxies.

A proxy adds the address that it was asked from to the end of `X-Forwarded-For`; what stands before
that, a client may have written itself. So as many entries count, from the end, as there are
proxies of one's own, which a setting says. A list of networks to trust would not do: a client in
the hospital's network could name any address as its own.
"""

import ipaddress

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

FORWARDED = "X-Forwarded-For"


class ForwardedMiddleware:
    """Puts the client's own address where the server put that of the last proxy."""

    def __init__(self, app: ASGIApp, proxies: int) -> None:
        self._app = app
        self._proxies = proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "http" and self._proxies:
            entries = ",".join(Headers(scope=scope).getlist(FORWARDED)).split(",")
            # Where the header does not reach so far, the peer's stays.
            if self._proxies <= len(entries) and (address := _address(entries[-self._proxies])):
                scope["client"] = (address, 0)
        await self._app(scope, receive, send)


def source_of(connection: HTTPConnection) -> str | None:
    """Whence a request comes; None for a peer without an address."""
    return None if connection.client is None else _address(connection.client.host)


def _address(text: str) -> str | None:
    """`text` in its usual form, if it is an address: nothing else gets into a log."""
    try:
        return str(ipaddress.ip_address(text.strip().strip("[]")))
    except ValueError:
        return None
