"""Headers and refusals that keep other web pages out of the gateway.

A browser must not lend it out: while it is open to this machine, it answers to loopback names only
(a foreign name that resolves here is DNS rebinding), and a page of another site cannot post to it.
"""

import ipaddress
from collections.abc import Collection

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cxr_gateway.core.errors import Forbidden, Misdirected
from cxr_serving.errors import ServiceError
from cxr_serving.problems import problem_response
from cxr_serving.routes import QUIET_ROUTES

ANY_HOST = "*"
# What the page needs and nothing more; it draws from blobs while a file is being uploaded.
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "font-src 'self'",
        "connect-src 'self'",
        "manifest-src 'self'",
        "worker-src 'self' blob:",
        "base-uri 'none'",
        "form-action 'self'",
        "frame-ancestors 'none'",
    )
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
# For a year, and whatever the address bar says: no request of the page goes out unencrypted.
_HTTPS_ONLY = {"Strict-Transport-Security": "max-age=31536000"}
_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class SecurityHeadersMiddleware:
    """Adds the headers to every answer, and refuses foreign hosts and foreign pages."""

    def __init__(
        self, app: ASGIApp, allowed_hosts: Collection[str], *, is_https: bool = False
    ) -> None:
        self._app = app
        self._headers = _HEADERS | (_HTTPS_ONLY if is_https else {})
        self._allowed = frozenset(host.lower() for host in allowed_hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """ASGI."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def send_protected(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in self._headers.items():
                    headers.setdefault(name, value)
                # What the API tells of patients stays out of caches unless a route says otherwise.
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        refusal = self._refusal(scope)
        if refusal is None:
            await self._app(scope, receive, send_protected)
        else:
            response = problem_response(refusal.problem(scope["path"]))
            await response(scope, receive, send_protected)

    def _refusal(self, scope: Scope) -> ServiceError | None:
        headers = Headers(scope=scope)
        host = _name_of(headers.get("host", ""))
        # Prometheus and probes ask by address; a page of another name cannot send one as its host.
        by_monitor = scope["path"] in QUIET_ROUTES and _is_address(host)
        if not by_monitor and self._allowed.isdisjoint({ANY_HOST, host}):
            return Misdirected(
                "This gateway does not answer to the name in the request's Host header; "
                "CXR_GATEWAY_ALLOWED_HOSTS lists those that it answers to."
            )
        foreign = headers.get("sec-fetch-site") == "cross-site"
        if foreign and scope["method"] not in _SAFE_METHODS:
            return Forbidden("A page of another site cannot send anything to this gateway.")
        return None


def _name_of(host: str) -> str:
    """`host` without its port; an IPv6 address keeps its brackets."""
    if host.startswith("["):
        return host[: host.find("]") + 1].lower()
    return host.partition(":")[0].lower()


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True
