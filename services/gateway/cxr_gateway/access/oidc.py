"""The OpenID provider: the one place where sign-in speaks HTTP to anyone.

Authorization code with PKCE (RFC 7636), and the provider's signatures checked against its own keys.
Authlib builds the messages of OAuth, joserfc checks the tokens.
"""

import logging
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from typing import Any, Literal

import httpx
from authlib.common.urls import add_params_to_uri
from authlib.oauth2.auth import ClientAuth
from authlib.oauth2.rfc6749.parameters import prepare_grant_uri, prepare_token_request
from authlib.oauth2.rfc7636 import create_s256_code_challenge
from joserfc import jwt
from joserfc.errors import ExpiredTokenError, InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet
from pydantic import BaseModel, ValidationError

from cxr_gateway.access.claims import claim, person_from, principal_from
from cxr_gateway.archive.sessions import Person, SignIn
from cxr_gateway.core.access_settings import AccessSettings
from cxr_gateway.core.errors import ProviderDown, Unauthenticated
from cxr_gateway.core.principal import Principal

_LOG = logging.getLogger(__name__)
SIGN_IN_PATH = "/api/v1/sign-in"
CALLBACK_PATH = f"{SIGN_IN_PATH}/callback"
# A provider's own choice among these; nothing that a shared secret or nobody has signed.
_ALGORITHMS = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512"]
_LEEWAY_S = 30
_KNOWN_FOR_S = 3600.0
# A token with a key that is not known makes us look again, but not too often.
_KEYS_AGAIN_S = 30.0
_LOGOUT_EVENT = "http://schemas.openid.net/event/backchannel-logout"
# A logout token is sent at once, and only so long worth repeating.
_LOGOUT_MAX_S = 300.0
_FORM = {"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"}

Claims = dict[str, Any]


class _Metadata(BaseModel):
    """What discovery says, as far as it is used."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None = None
    end_session_endpoint: str | None = None
    token_endpoint_auth_methods_supported: list[str] = ["client_secret_basic"]


class Provider:
    """One OpenID provider and this gateway as its client.

    Raises (all methods):
        ProviderDown: it does not answer in time, or not as OpenID Connect asks.
    """

    def __init__(self, http: httpx.AsyncClient, settings: AccessSettings) -> None:
        self._http = http
        self._settings = settings
        self._issuer = settings.oidc_issuer
        self._redirect_uri = settings.origin + CALLBACK_PATH
        self._metadata: tuple[float, _Metadata] | None = None
        self._keys: tuple[float, KeySet] | None = None

    async def address(self, sign_in: SignIn) -> str:
        """Where a browser goes to sign in."""
        found = await self._discovered()
        asked = self._settings
        more: dict[str, str] = {}
        if asked.oidc_acr_values:
            more["acr_values"] = asked.oidc_acr_values
        if asked.oidc_max_age_s is not None:
            more["max_age"] = str(asked.oidc_max_age_s)
        uri: str = prepare_grant_uri(
            found.authorization_endpoint,
            client_id=self._settings.oidc_client_id,
            response_type="code",
            redirect_uri=self._redirect_uri,
            scope=self._settings.oidc_scope,
            state=sign_in.state,
            nonce=sign_in.nonce,
            code_challenge=create_s256_code_challenge(sign_in.verifier),
            code_challenge_method="S256",
            **more,
        )
        return uri

    async def redeem(self, code: str, issuer: str | None, sign_in: SignIn) -> Person:
        """Who has signed in; Unauthenticated for a code or an answer that is not for `sign_in`.

        Args:
            code: what came back with the browser.
            issuer: who says so (RFC 9207), if the provider tells.
            sign_in: as it was sent.
        """
        if issuer is not None and issuer != self._issuer:
            raise Unauthenticated("answer of another provider")
        body = prepare_token_request(
            "authorization_code",
            redirect_uri=self._redirect_uri,
            code=code,
            code_verifier=sign_in.verifier,
        )
        tokens = await self._tokens(body)
        id_token = tokens.get("id_token")
        if not isinstance(id_token, str):
            raise ProviderDown("The OpenID provider gave no ID token.")
        client = self._settings.oidc_client_id
        claims = await self._verified(id_token, client, nonce=sign_in.nonce)
        if isinstance(claims["aud"], list) and claims.get("azp", client) != client:
            raise Unauthenticated("ID token of another client")
        self._check_strength(claims)
        claims = await self._with_user_info(claims, tokens.get("access_token"))
        person = person_from(claims, id_token, self._settings)
        return replace(person, refresh_token=_text(tokens.get("refresh_token")))

    async def again(self, person: Person) -> Person:
        """What the provider says of a person by now; Unauthenticated if they are out there."""
        body = prepare_token_request("refresh_token", refresh_token=person.refresh_token)
        tokens = await self._tokens(body)
        claims: Claims = {"sub": person.subject}
        id_token = tokens.get("id_token")
        if isinstance(id_token, str):
            claims = await self._verified(id_token, self._settings.oidc_client_id)
            if claims["sub"] != person.subject:
                raise Unauthenticated("ID token of somebody else")
        claims = await self._with_user_info(claims, tokens.get("access_token"))
        if len(claims) == 1:
            raise ProviderDown("The OpenID provider says nothing of a person the second time.")
        found = principal_from(claims, self._settings)
        newer = _text(tokens.get("refresh_token")) or person.refresh_token
        return replace(person, roles=found.roles, department=found.department, refresh_token=newer)

    async def principal(self, access_token: str) -> Principal:
        """Who an access token (JWT) is for; Unauthenticated unless it is for our audience."""
        audience = self._settings.oidc_audience
        if not audience:
            raise Unauthenticated("not a key, and access tokens are not accepted")
        return principal_from(await self._verified(access_token, audience), self._settings)

    async def logged_out(self, token: str) -> tuple[str | None, str | None]:
        """Whose sessions a logout token ends (OpenID Connect Back-Channel Logout 1.0).

        Returns:
            The person, the provider's session, or both.

        Raises:
            Unauthenticated: the token is none, or not for this gateway.
        """
        expected = jwt.JWTClaimsRegistry(
            leeway=_LEEWAY_S,
            iss={"essential": True, "value": self._issuer},
            aud={"essential": True, "value": self._settings.oidc_client_id},
            iat={"essential": True},
            jti={"essential": True},
            events={"essential": True},
        )
        claims = await self._claims(token, expected)
        events, who = claims["events"], (claims.get("sub"), claims.get("sid"))
        old_s = time.time() - claims["iat"] if isinstance(claims["iat"], int | float) else math.inf
        if (
            not isinstance(events, dict)
            or not isinstance(events.get(_LOGOUT_EVENT), dict)
            or "nonce" in claims  # an ID token must not pass for one
            or not any(who)
            or not all(part is None or isinstance(part, str) for part in who)
            or old_s > _LOGOUT_MAX_S
        ):
            raise Unauthenticated("not a logout token")
        return who

    async def end_address(self, id_token: str) -> str | None:
        """Where a browser goes to sign out of the provider, too; None if it has no such place."""
        found = await self._discovered()
        if found.end_session_endpoint is None:
            return None
        parameters = {
            "id_token_hint": id_token,
            "client_id": self._settings.oidc_client_id,
            "post_logout_redirect_uri": f"{self._settings.origin}/",
        }
        uri: str = add_params_to_uri(found.end_session_endpoint, list(parameters.items()))
        return uri

    def _check_strength(self, claims: Claims) -> None:
        """Unauthenticated unless somebody signed in as the settings demand."""
        wanted, max_age_s = self._settings.oidc_acr_values.split(), self._settings.oidc_max_age_s
        if wanted and claims.get("acr") not in wanted:
            raise Unauthenticated("sign-in that is too weak")
        if max_age_s is None:
            return
        since = claims.get("auth_time")
        if not isinstance(since, int | float) or time.time() - since > max_age_s + _LEEWAY_S:
            raise Unauthenticated("sign-in that is too old")

    async def _tokens(self, body: str) -> Claims:
        """What the provider gives for a code or a refresh token."""
        found, secret = await self._discovered(), self._settings.oidc_client_secret
        auth = ClientAuth(
            self._settings.oidc_client_id,
            secret.get_secret_value(),
            _auth_method(found, has_secret=bool(secret.get_secret_value())),
        )
        uri, headers, body = auth.prepare("POST", found.token_endpoint, {**_FORM}, body)
        response = await self._send(
            self._http.build_request("POST", uri, headers=headers, content=body)
        )
        if response.status_code == httpx.codes.BAD_REQUEST:
            raise Unauthenticated("code or refresh token that the provider refuses")
        return _object_of(response)

    async def _with_user_info(self, claims: Claims, access_token: Any) -> Claims:
        """The claims, with those that the provider tells at its other door only."""
        asked = self._settings
        names = ["name", asked.oidc_role_claim, asked.oidc_department_claim]
        endpoint = (await self._discovered()).userinfo_endpoint
        missing = any(claim(claims, name) is None for name in filter(None, names))
        if not missing or endpoint is None or not isinstance(access_token, str):
            return claims
        headers = {"Authorization": f"Bearer {access_token}", "Accept": "application/json"}
        request = self._http.build_request("GET", endpoint, headers=headers)
        more = _object_of(await self._send(request))
        if more.get("sub") != claims["sub"]:
            raise Unauthenticated("user info of somebody else")
        return more | claims

    async def _verified(self, token: str, audience: str, *, nonce: str | None = None) -> Claims:
        expected = jwt.JWTClaimsRegistry(
            leeway=_LEEWAY_S,
            iss={"essential": True, "value": self._issuer},
            aud={"essential": True, "value": audience},
            sub={"essential": True},
            exp={"essential": True},
            nonce={} if nonce is None else {"essential": True, "value": nonce},
        )
        return await self._claims(token, expected)

    async def _claims(self, token: str, expected: jwt.JWTClaimsRegistry) -> Claims:
        """What a token says that the provider has signed, and that is as `expected`."""
        try:
            try:
                read = jwt.decode(token, await self._known_keys(), _ALGORITHMS)
            except InvalidKeyIdError:
                # The provider may have changed its keys.
                keys = await self._known_keys(at_most_s=_KEYS_AGAIN_S)
                read = jwt.decode(token, keys, _ALGORITHMS)
            expected.validate(read.claims)
        except ExpiredTokenError as error:
            raise Unauthenticated("expired token") from error
        except (JoseError, TypeError, ValueError) as error:
            raise Unauthenticated(f"forged or foreign token ({type(error).__name__})") from error
        return read.claims

    async def _discovered(self) -> _Metadata:
        moment = time.monotonic()
        if self._metadata is not None and moment - self._metadata[0] < _KNOWN_FOR_S:
            return self._metadata[1]
        uri = f"{self._issuer.rstrip('/')}/.well-known/openid-configuration"
        answer = _object_of(await self._send(self._http.build_request("GET", uri)))
        try:
            found = _Metadata.model_validate(answer)
        except ValidationError as error:
            raise ProviderDown("The OpenID provider does not describe itself.") from error
        if found.issuer != self._issuer:
            raise ProviderDown("The OpenID provider names itself otherwise than the settings do.")
        self._metadata = (moment, found)
        return found

    async def _known_keys(self, at_most_s: float = _KNOWN_FOR_S) -> KeySet:
        moment = time.monotonic()
        if self._keys is not None and moment - self._keys[0] < at_most_s:
            return self._keys[1]
        uri = (await self._discovered()).jwks_uri
        answer = _object_of(await self._send(self._http.build_request("GET", uri)))
        try:
            keys = KeySet.import_key_set({"keys": answer["keys"]})
        except (JoseError, KeyError, TypeError, ValueError) as error:
            raise ProviderDown("The OpenID provider's keys cannot be read.") from error
        self._keys = (moment, keys)
        return keys

    async def _send(self, request: httpx.Request) -> httpx.Response:
        try:
            return await self._http.send(request)
        except httpx.HTTPError as error:
            _LOG.warning("the OpenID provider does not answer", extra={"cause": repr(error)})
            raise ProviderDown("The OpenID provider does not answer; try again later.") from error


ProviderOpener = Callable[[AccessSettings], AbstractAsyncContextManager[Provider | None]]


@asynccontextmanager
async def open_provider(
    settings: AccessSettings, transport: httpx.AsyncBaseTransport | None = None
) -> AsyncIterator[Provider | None]:
    """The provider of these settings, or None without one; it is asked when it is needed.

    `transport` replaces the network. Proxies and certificates are those of the environment, for
    a provider need not be a neighbour.
    """
    if not settings.oidc_issuer:
        yield None
        return
    timeout_s = settings.oidc_timeout_s
    async with httpx.AsyncClient(timeout=timeout_s, transport=transport) as http:
        yield Provider(http, settings)


def _auth_method(
    found: _Metadata, *, has_secret: bool
) -> Literal["none", "client_secret_basic", "client_secret_post"]:
    if not has_secret:
        return "none"
    basic = "client_secret_basic" in found.token_endpoint_auth_methods_supported
    return "client_secret_basic" if basic else "client_secret_post"


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None


def _object_of(response: httpx.Response) -> Claims:
    if response.status_code != httpx.codes.OK:
        raise ProviderDown(f"The OpenID provider answered with status {response.status_code}.")
    try:
        answer = response.json()
    except ValueError as error:
        raise ProviderDown("The OpenID provider's answer is no JSON.") from error
    if not isinstance(answer, dict):
        raise ProviderDown("The OpenID provider's answer is no JSON object.")
    return answer
