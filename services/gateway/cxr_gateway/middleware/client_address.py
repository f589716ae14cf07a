"""The address that a request came from, also behind proxies.

A proxy adds the address that it was asked from to the end of `X-Forwarded-For`; what stands before
that, a client may have written itself. So as many entries count, from the end, as there are
proxies of one's own, which a setting says. A list of networks to trust would not do: a client in
the hospital's network could name any address as its own.
"""

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Receive, Scope, Send

from cxr_gateway.core.client_address import plain_address

FORWARDED = "X-Forwarded-For"


class ClientAddressMiddleware:
    """Puts the client's own address where the server put that of the last proxy."""

    def __init__(self, app: ASGIApp, proxies: int) -> None:
        self._app = app
        self._proxies = proxies

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] == "http" and self._proxies:
            entries = ",".join(Headers(scope=scope).getlist(FORWARDED)).split(",")
            # Where the header does not reach so far, the peer's stays.
            if self._proxies <= len(entries) and (
                address := plain_address(entries[-self._proxies])
            ):
                scope["client"] = (address, 0)
        await self._app(scope, receive, send)
