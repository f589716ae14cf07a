"""`/api/v1/sign-in`, `/sign-out` and `/me`: the page's way in and out."""

import contextlib
import re
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, RedirectResponse
from pydantic import BaseModel, Field
from starlette.responses import Response

from cxr_gateway.access.authenticator import address_of
from cxr_gateway.access.oidc import Provider
from cxr_gateway.access.permissions import PERMISSIONS
from cxr_gateway.access.sessions import Session
from cxr_gateway.api.dependencies import AppState, AppStateDep, PrincipalDep
from cxr_gateway.api.documents import problem_responses
from cxr_gateway.archive.access_tables import MAX_PLACE_CHARS
from cxr_gateway.core.errors import ProviderDown, Unauthenticated
from cxr_gateway.core.principal import PrincipalKind, Role
from cxr_serving.errors import NotFound

router = APIRouter(prefix="/api/v1", tags=["access"])

# The page's own addresses and nothing else: never another host, which `//` would begin.
_PLACE = re.compile(r"/(?:[A-Za-z0-9_-]+/)*[A-Za-z0-9_-]*")
_TO_PAGE = {"Cache-Control": "no-store"}


class Me(BaseModel):
    """Who asks."""

    kind: PrincipalKind = Field(description="`local`: this machine, open to it alone.")
    name: str = Field(description="For the person's own eyes.")
    roles: list[Role]
    department: str | None = Field(description="Whose studies are seen; null is all.")
    may: list[str] = Field(description="The operations of this API that the roles allow.")
    can_sign_out: bool


class SignedOut(BaseModel):
    """Where a browser goes next."""

    location: str


@router.get(
    "/me",
    operation_id="getMe",
    summary="Who asks, and what they may do",
    response_model=Me,
    responses=problem_responses(503),
)
async def get_me(request: Request, principal: PrincipalDep) -> Me:
    """Any user or key may ask, with or without a role."""
    session: Session | None = getattr(request.state, "session", None)
    return Me(
        kind=principal.kind,
        name=session.person.name if session else principal.subject,
        roles=sorted(principal.roles),
        department=principal.department,
        may=[name for name, rule in PERMISSIONS.items() if rule.allows(principal)],
        can_sign_out=session is not None,
    )


@router.get(
    "/sign-in",
    operation_id="startSignIn",
    summary="To the OpenID provider",
    status_code=303,
    response_class=RedirectResponse,
    responses=problem_responses(404, 422, 429, 503),
)
async def start_sign_in(
    request: Request,
    parts: AppStateDep,
    principal: PrincipalDep,
    return_to: Annotated[
        str,
        Query(description="The page's own address to come back to.", max_length=MAX_PLACE_CHARS),
    ] = "/",
) -> Response:
    """Sends a browser to the provider; it comes back to `return_to`, signed in."""
    provider, authenticator = _provider(parts), parts.authenticator
    authenticator.limits.count_request(principal, address_of(request))
    place = return_to if _PLACE.fullmatch(return_to) else "/"
    sign_in = await authenticator.in_thread(authenticator.sessions.begin, place)
    response = _see_other(await provider.address(sign_in))
    max_age_s = int(parts.settings.sign_in_max_s)
    _set_cookie(response, parts, authenticator.sign_in_cookie, sign_in.browser, max_age_s)
    return response


@router.get(
    "/sign-in/callback",
    operation_id="finishSignIn",
    summary="Back from the OpenID provider",
    status_code=303,
    response_class=RedirectResponse,
    responses=problem_responses(401, 404, 422, 429, 503),
)
async def finish_sign_in(
    request: Request,
    parts: AppStateDep,
    *,
    state: Annotated[str, Query(max_length=200)] = "",
    code: Annotated[str, Query(max_length=4096)] = "",
    iss: Annotated[str | None, Query(max_length=2048)] = None,
) -> Response:
    """Opens a session, once for each sign-in; a browser is sent on in any case."""
    provider, authenticator, address = _provider(parts), parts.authenticator, address_of(request)
    authenticator.limits.check_failures(address)
    browser = request.cookies.get(authenticator.sign_in_cookie, "")
    try:
        sign_in = await authenticator.in_thread(authenticator.sessions.take, state, browser)
        if not code:
            raise Unauthenticated("sign-in that the provider refused")
        person = await provider.redeem(code, iss, sign_in)
    except Unauthenticated as error:
        authenticator.limits.count_failure(address)
        request.state.refusal = error.reason
        if request.headers.get("sec-fetch-mode") != "navigate":
            raise
        # A person is looking at this; the page has words for it.
        return _see_other(f"/?{urlencode({'sign-in': 'failed'})}")
    request.state.principal = person.principal
    # Whatever session the browser had, perhaps one that somebody had given it, ends here.
    if (before := request.cookies.get(authenticator.session_cookie)) is not None:
        await authenticator.in_thread(authenticator.sessions.end, before)
    token = await authenticator.in_thread(authenticator.sessions.open, person)
    response = _see_other(sign_in.return_to)
    _set_cookie(response, parts, authenticator.session_cookie, token, None)
    _drop_cookie(response, parts, authenticator.sign_in_cookie)
    return response


@router.post(
    "/sign-out",
    operation_id="signOut",
    summary="End the session",
    response_model=SignedOut,
    responses=problem_responses(403, 503),
)
async def sign_out(request: Request, parts: AppStateDep) -> Response:
    """Ends the session here; `location` is where the provider ends its own, or the page."""
    authenticator = parts.authenticator
    token = request.cookies.get(authenticator.session_cookie)
    location = "/"
    if token is not None:
        authenticator.refuse_other_pages(request)
        session = await authenticator.in_thread(authenticator.sessions.find_and_end, token)
        if session is not None:
            request.state.principal = session.person.principal
        if session is not None and authenticator.provider is not None:
            # The session here has ended, whether the provider can be asked or not.
            with contextlib.suppress(ProviderDown):
                location = await authenticator.provider.end_address(session.person.id_token) or "/"
    # The browser keeps pictures that it has been shown; the next person at it is another.
    forget = {"Clear-Site-Data": '"cache"'}
    response = JSONResponse(SignedOut(location=location).model_dump(), headers=forget)
    _drop_cookie(response, parts, authenticator.session_cookie)
    return response


def _provider(parts: AppState) -> Provider:
    if parts.authenticator.provider is None:
        raise NotFound("This gateway has no sign-in; it takes API keys.")
    return parts.authenticator.provider


def _see_other(location: str) -> RedirectResponse:
    return RedirectResponse(location, status_code=303, headers=_TO_PAGE)


def _set_cookie(
    response: Response, parts: AppState, name: str, value: str, max_age_s: int | None
) -> None:
    """Lax: it comes along when the provider sends the browser back, and with no foreign post."""
    response.set_cookie(
        name,
        value,
        max_age=max_age_s,
        secure=parts.settings.is_https,
        httponly=True,
        samesite="lax",
    )


def _drop_cookie(response: Response, parts: AppState, name: str) -> None:
    response.delete_cookie(name, secure=parts.settings.is_https, httponly=True, samesite="lax")
