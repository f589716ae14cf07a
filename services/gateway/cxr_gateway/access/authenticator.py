"""Who comes in: what a request carries, turned into a principal."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Engine
from starlette.requests import HTTPConnection

from cxr_gateway.access.keys import PREFIX, Keys
from cxr_gateway.access.limits import RateLimits
from cxr_gateway.access.oidc import Provider
from cxr_gateway.access.sessions import Session, Sessions
from cxr_gateway.core.access_settings import AccessSettings
from cxr_gateway.core.errors import Forbidden, Unauthenticated
from cxr_gateway.core.principal import NOBODY, Principal
from cxr_gateway.middleware.client_address import source_of

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
InThread = Callable[..., Awaitable[Any]]


@dataclass(frozen=True)
class Visitor:
    """Who asks, and by which session, if by one."""

    principal: Principal
    session: Session | None = None


class Authenticator:
    """Keys, sessions, access tokens and limits of a gateway that is closed.

    Args:
        engine: of the archive's database.
        in_thread: runs what blocks.
        settings: of access.
        provider: where people sign in; None for keys alone.
    """

    def __init__(
        self,
        engine: Engine,
        in_thread: InThread,
        settings: AccessSettings,
        provider: Provider | None,
    ) -> None:
        self.keys = Keys(engine)
        self.sessions = Sessions(engine, settings)
        self.limits = RateLimits(settings)
        self.provider = provider
        self.in_thread = in_thread
        self._settings = settings

    @property
    def session_cookie(self) -> str:
        """The name of the cookie with a session's token."""
        return self._cookie("session")

    @property
    def sign_in_cookie(self) -> str:
        """The name of the cookie by which a sign-in is its browser's own."""
        return self._cookie("sign-in")

    async def receive(self, request: HTTPConnection, *, attended: bool) -> Visitor:
        """Who asks; `NOBODY` if nothing says so.

        Args:
            request: its `Authorization` header counts before a session's cookie.
            attended: as of `Sessions.find`.

        Raises:
            Unauthenticated: a key or a token that is not valid.
            Forbidden: another page has a browser with a session send something.
            TooManyRequests: too many invalid ones came from this address.
        """
        authorization = request.headers.get("authorization")
        if authorization is not None:
            return Visitor(await self._by_token(authorization, address_of(request)))
        token = request.cookies.get(self.session_cookie)
        session = None
        if token is not None:
            session = await self.in_thread(self._find_session, token, attended)
        if session is None:
            return Visitor(NOBODY)
        self.refuse_other_pages(request)
        return Visitor(session.person.principal, session)

    def refuse_other_pages(self, request: HTTPConnection) -> None:
        """Raise Forbidden unless a request that changes something comes from our own page.

        A cookie goes along with whatever a page of a neighbouring host has the browser send, too,
        so what sent it has to be named: by the browser itself, or by the page's origin.
        """
        if request.scope["method"] in _SAFE_METHODS:
            return
        site = request.headers.get("sec-fetch-site")
        origin = request.headers.get("origin")
        own = site == "same-origin" if site is not None else origin == self._settings.origin
        if not own:
            raise Forbidden("A page of another site cannot send anything to this gateway.")

    def _find_session(self, token: str, attended: bool) -> Session | None:
        return self.sessions.find(token, attended=attended)

    async def _by_token(self, authorization: str, address: str) -> Principal:
        self.limits.check_failures(address)
        scheme, _, token = authorization.partition(" ")
        try:
            if scheme.lower() != "bearer":
                raise Unauthenticated("not a bearer")
            if token.startswith(PREFIX) or self.provider is None:
                key = await self.in_thread(self.keys.find, token)
                principal: Principal = key.principal
                return principal
            return await self.provider.principal(token)
        except Unauthenticated:
            self.limits.count_failure(address)
            raise

    def _cookie(self, name: str) -> str:
        # The prefix has a browser refuse the cookie from anybody but this very host, by https.
        return f"__Host-cxr-{name}" if self._settings.is_https else f"cxr-{name}"


def address_of(request: HTTPConnection) -> str:
    """Whence a request comes, as far as is known."""
    return source_of(request) or "unknown"
