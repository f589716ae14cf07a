"""Who comes in: what a request carries, turned into a principal."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Any

from starlette.requests import HTTPConnection

from cxr_gateway.access.limits import RateLimits
from cxr_gateway.access.oidc import Provider
from cxr_gateway.archive.api_keys import PREFIX, Keys
from cxr_gateway.archive.sessions import Session, Sessions
from cxr_gateway.core.access_settings import AccessSettings
from cxr_gateway.core.client_address import client_address
from cxr_gateway.core.errors import Forbidden, ProviderDown, Unauthenticated
from cxr_gateway.core.principal import NOBODY, Principal

SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
InThread = Callable[..., Awaitable[Any]]


@dataclass(frozen=True)
class Caller:
    """Who asks, and by which session, if by one."""

    principal: Principal
    session: Session | None = None


class Authenticator:
    """Keys, sessions, access tokens and limits of a gateway that is closed.

    Args:
        keys: of the archive.
        sessions: likewise.
        in_thread: runs what blocks.
        settings: of access.
        provider: where people sign in; None for keys alone.
        on_failure: called for each key, token or sign-in that is refused.
    """

    def __init__(
        self,
        keys: Keys,
        sessions: Sessions,
        in_thread: InThread,
        settings: AccessSettings,
        provider: Provider | None,
        *,
        on_failure: Callable[[], None] = lambda: None,
    ) -> None:
        self.keys = keys
        self.sessions = sessions
        self.limits = RateLimits(settings, on_failure)
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

    async def authenticate(self, request: HTTPConnection, *, attended: bool) -> Caller:
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
            return Caller(await self._by_token(authorization, address_of(request)))
        token = request.cookies.get(self.session_cookie)
        session = None
        if token is not None:
            session = await self.in_thread(self._find_session, token, attended)
        if session is None:
            return Caller(NOBODY)
        self.refuse_other_pages(request)
        if session.check_due and token is not None:
            session = await self._checked(token, session)
        return Caller(session.person.principal, session) if session else Caller(NOBODY)

    async def _checked(self, token: str, session: Session) -> Session | None:
        """The session with the roles that its person has by now; None if the provider ended it.

        A provider that does not answer ends nobody's work: the roles stay until the next time.
        """
        if self.provider is None or not await self.in_thread(self.sessions.begin_check, token):
            return session
        try:
            person = await self.provider.again(session.person)
        except ProviderDown:
            return session
        except Unauthenticated:
            await self.in_thread(self.sessions.end, token)
            return None
        await self.in_thread(self.sessions.checked, token, person)
        return replace(session, person=person)

    def refuse_other_pages(self, request: HTTPConnection) -> None:
        """Raise Forbidden unless a request that changes something comes from our own page.

        A cookie goes along with whatever a page of a neighbouring host has the browser send, too,
        so what sent it has to be named: by the browser itself, or by the page's origin.
        """
        if request.scope["method"] in SAFE_METHODS:
            return
        site = request.headers.get("sec-fetch-site")
        origin = request.headers.get("origin")
        own = site == "same-origin" if site is not None else origin == self._settings.origin
        if not own:
            raise Forbidden("A page of another site cannot send anything to this gateway.")

    def _find_session(self, token: str, attended: bool) -> Session | None:
        return self.sessions.find(token, attended=attended)

    async def _by_token(self, authorization: str, address: str) -> Principal:
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
    return client_address(request) or "unknown"
