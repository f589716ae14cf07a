"""`/api/v1/sign-in`, `/sign-out` and `/me`: the page's way in and out."""

import contextlib
import re
from functools import partial
from typing import Annotated
from urllib.parse import parse_qs, urlencode

from fastapi import APIRouter, Query, Request
from fastapi.responses import JSONResponse, RedirectResponse
from pydantic import BaseModel, Field
from starlette.requests import ClientDisconnect
from starlette.responses import Response

from cxr_gateway.access.authenticator import address_of
from cxr_gateway.access.oidc import Provider
from cxr_gateway.access.permissions import PERMISSIONS
from cxr_gateway.api.dependencies import AppState, AppStateDep, PrincipalDep
from cxr_gateway.api.documents import header, problem_responses
from cxr_gateway.archive.sessions import Session
from cxr_gateway.archive.tables import MAX_PLACE_CHARS
from cxr_gateway.core.errors import ProviderDown, Unauthenticated
from cxr_gateway.core.principal import PrincipalKind, Role
from cxr_gateway.core.request_state import (
    principal_of,
    session_of,
    set_details,
    set_principal,
    set_refusal,
)
from cxr_serving.errors import NotFound, PayloadTooLarge, ServiceError, Unprocessable

_NO_SIGN_IN = "This gateway has no sign-in."
router = APIRouter(prefix="/api/v1", tags=["access"])

# The page's own addresses and nothing else: never another host, which `//` would begin.
_PLACE = re.compile(r"/(?:[A-Za-z0-9_-]+/)*[A-Za-z0-9_-]*")
_TO_PAGE = {"Cache-Control": "no-store"}
_MAX_LOGOUT_BYTES = 32 * 1024
_COOKIE = header("Opens, ends or begins a session.", "__Host-cxr-session=...; Secure; HttpOnly")
_ONWARD = {
    "Location": header("Where the browser goes next.", "/"),
    "Cache-Control": header("Never kept.", "no-store"),
    "Set-Cookie": _COOKIE,
}


class Me(BaseModel):
    """Who asks."""

    kind: PrincipalKind = Field(description="`local`: this machine, open to it alone.")
    name: str = Field(description="For the person's own eyes.")
    roles: list[Role] = Field(description="Of the user or the key; none allows nothing more.")
    department: str | None = Field(description="Whose studies are seen; null is all.")
    may: list[str] = Field(description="The operations of this API that the roles allow.")
    can_sign_out: bool = Field(description="Whether there is a session to end.")
    reads_first: bool = Field(
        description="Whether the page asks for a first opinion before it shows the answers."
    )


class SignedOut(BaseModel):
    """Where a browser goes next."""

    location: str = Field(description="A path of the page, or the provider's address.")


@router.get(
    "/me",
    operation_id="getMe",
    summary="Who asks, and what they may do",
    response_model=Me,
    responses={200: {"description": "Whoever asks."}, **problem_responses(503)},
)
async def get_me(request: Request, state: AppStateDep, principal: PrincipalDep) -> Me:
    """Any user or key may ask, with or without a role."""
    session: Session | None = session_of(request)
    return Me(
        kind=principal.kind,
        name=session.person.name if session else principal.subject,
        roles=sorted(principal.roles),
        department=principal.department,
        may=[name for name, rule in PERMISSIONS.items() if rule.allows(principal)],
        can_sign_out=session is not None,
        reads_first=state.settings.reads_first(principal.department),
    )


@router.get(
    "/sign-in",
    operation_id="startSignIn",
    summary="To the OpenID provider",
    status_code=303,
    response_class=RedirectResponse,
    responses={
        303: {"description": "On to the provider.", "headers": _ONWARD},
        **problem_responses(404, 422, 429, 503, ProviderDown, because={404: _NO_SIGN_IN}),
    },
)
async def start_sign_in(
    request: Request,
    app: AppStateDep,
    principal: PrincipalDep,
    return_to: Annotated[
        str,
        Query(description="The page's own address to come back to.", max_length=MAX_PLACE_CHARS),
    ] = "/",
) -> Response:
    """Sends a browser to the provider; it comes back to `return_to`, signed in."""
    provider, authenticator = _provider(app), app.authenticator
    authenticator.limits.count_request(principal, address_of(request))
    place = return_to if _PLACE.fullmatch(return_to) else "/"
    sign_in = await authenticator.in_thread(authenticator.sessions.begin, place)
    response = _see_other(await provider.address(sign_in))
    max_age_s = int(app.settings.sign_in_max_s)
    _set_cookie(response, app, authenticator.sign_in_cookie, sign_in.browser, max_age_s)
    return response


@router.get(
    "/sign-in/callback",
    operation_id="finishSignIn",
    summary="Back from the OpenID provider",
    status_code=303,
    response_class=RedirectResponse,
    responses={
        303: {
            "description": "Back to the page, signed in or told that it failed.",
            "headers": _ONWARD,
        },
        **problem_responses(401, 404, 422, 429, 503, ProviderDown, because={404: _NO_SIGN_IN}),
    },
)
async def finish_sign_in(
    request: Request,
    app: AppStateDep,
    *,
    state: Annotated[str, Query(max_length=200, description="As this gateway sent it.")] = "",
    code: Annotated[str, Query(max_length=4096, description="The provider's, for a token.")] = "",
    iss: Annotated[str | None, Query(max_length=2048, description="Which provider.")] = None,
) -> Response:
    """Opens a session, once for each sign-in; a browser is sent on in any case."""
    provider, authenticator, address = _provider(app), app.authenticator, address_of(request)
    browser = request.cookies.get(authenticator.sign_in_cookie, "")
    try:
        sign_in = await authenticator.in_thread(authenticator.sessions.take, state, browser)
        if not code:
            raise Unauthenticated("sign-in that the provider refused")
        person = await provider.redeem(code, iss, sign_in)
    except Unauthenticated as error:
        authenticator.limits.count_failure(address)
        set_refusal(request, error.reason)
        if request.headers.get("sec-fetch-mode") != "navigate":
            raise
        # A person is looking at this; the page has words for it.
        return _see_other(f"/?{urlencode({'sign-in': 'failed'})}")
    set_principal(request, person.principal)
    # Whatever session the browser had, perhaps one that somebody had given it, ends here.
    if (before := request.cookies.get(authenticator.session_cookie)) is not None:
        await authenticator.in_thread(authenticator.sessions.end, before)
    token = await authenticator.in_thread(authenticator.sessions.open, person)
    response = _see_other(sign_in.return_to)
    _set_cookie(response, app, authenticator.session_cookie, token, None)
    _drop_cookie(response, app, authenticator.sign_in_cookie)
    return response


@router.post(
    "/sign-out",
    operation_id="signOut",
    summary="End the session",
    response_model=SignedOut,
    responses={
        200: {
            "description": "The session has ended, if there was one.",
            "headers": {
                "Clear-Site-Data": header("The browser forgets images that it showed.", '"cache"'),
                "Set-Cookie": _COOKIE,
            },
        },
        **problem_responses(
            403,
            429,
            503,
            because={
                403: "A page of another site asks.",
                429: "There is no session to end, and too many asked from this address.",
            },
        ),
    },
)
async def sign_out(request: Request, app: AppStateDep) -> Response:
    """Ends the session here; `location` is where the provider ends its own, or the page."""
    authenticator = app.authenticator
    token = request.cookies.get(authenticator.session_cookie)
    location, session = "/", None
    if token is not None:
        authenticator.refuse_other_pages(request)
        session = await authenticator.in_thread(authenticator.sessions.find_and_end, token)
        if session is not None:
            set_principal(request, session.person.principal)
        if session is not None and authenticator.provider is not None:
            # The session here has ended, whether the provider can be asked or not.
            with contextlib.suppress(ProviderDown):
                location = await authenticator.provider.end_address(session.person.id_token) or "/"
    if session is None:
        # Who has a session ends it, however often others at the address ask for nothing.
        authenticator.limits.count_request(principal_of(request), address_of(request))
    # The browser keeps images that it has been shown; the next person at it is another.
    forget = {"Clear-Site-Data": '"cache"'}
    response = JSONResponse(SignedOut(location=location).model_dump(), headers=forget)
    _drop_cookie(response, app, authenticator.session_cookie)
    return response


@router.post(
    "/sign-in/back-channel-logout",
    operation_id="endSessions",
    summary="The OpenID provider ends sessions",
    status_code=204,
    response_class=Response,
    openapi_extra={
        "requestBody": {
            "required": True,
            "content": {
                "application/x-www-form-urlencoded": {
                    "schema": {
                        "type": "object",
                        "required": ["logout_token"],
                        "properties": {
                            "logout_token": {
                                "type": "string",
                                "description": "A JWT of the provider, which names the session.",
                            }
                        },
                    }
                }
            },
        }
    },
    responses={
        204: {"description": "The sessions of whom the token names have ended."},
        **problem_responses(
            *(401, 404, 413, 422, 429, 503),
            ProviderDown,
            because={
                401: "The token is not the provider's, or not of today.",
                404: _NO_SIGN_IN,
                413: "The form is larger than a token can be.",
                422: "The form does not have one `logout_token`.",
            },
        ),
    },
)
async def end_sessions(request: Request, app: AppStateDep) -> Response:
    """Back-channel logout: who signs out at the provider, or is barred there, is out here, too."""
    provider, authenticator = _provider(app), app.authenticator
    try:
        subject, sid = await provider.logged_out(await _logout_token(request))
    except (ServiceError, ClientDisconnect) as error:
        # Of what is no logout; the provider's own are never too many.
        if not isinstance(error, ProviderDown):
            authenticator.limits.count_failure(address_of(request))
        if isinstance(error, Unauthenticated):
            set_refusal(request, error.reason)
        raise
    end = partial(authenticator.sessions.end_of, subject=subject, sid=sid)
    set_details(request, ended=await authenticator.in_thread(end), of=subject)
    return Response(status_code=204)


async def _logout_token(request: Request) -> str:
    """The one of the form; PayloadTooLarge, Unprocessable, or ClientDisconnect."""
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _MAX_LOGOUT_BYTES:
            raise PayloadTooLarge(
                "This is larger than any logout token.", max_bytes=_MAX_LOGOUT_BYTES
            )
    tokens = parse_qs(body.decode("utf-8", "replace")).get("logout_token", [])
    if len(tokens) != 1:
        raise Unprocessable("The form needs one `logout_token`.")
    return tokens[0]


def _provider(app: AppState) -> Provider:
    if app.authenticator.provider is None:
        raise NotFound("This gateway has no sign-in; it takes API keys.")
    return app.authenticator.provider


def _see_other(location: str) -> RedirectResponse:
    return RedirectResponse(location, status_code=303, headers=_TO_PAGE)


def _set_cookie(
    response: Response, app: AppState, name: str, value: str, max_age_s: int | None
) -> None:
    """Lax: it comes along when the provider sends the browser back, and with no foreign post."""
    response.set_cookie(
        name,
        value,
        max_age=max_age_s,
        secure=app.settings.is_https,
        httponly=True,
        samesite="lax",
    )


def _drop_cookie(response: Response, app: AppState, name: str) -> None:
    response.delete_cookie(name, secure=app.settings.is_https, httponly=True, samesite="lax")
