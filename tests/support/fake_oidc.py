"""An OpenID provider for tests: a real ASGI app that signs what it is told to say.

It lets anybody in as `claims` says, and each part of its answers can be made wrong.
"""

import base64
import functools
import hashlib
import time
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
from joserfc import jwt
from joserfc.jwk import KeySet, RSAKey
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from cxr_gateway.access.oidc import Provider, open_provider
from cxr_gateway.core.access_settings import AccessSettings

ISSUER = "https://login.example.org"
CLIENT_ID = "cxr"
# Of a client at a provider that lives for one test.
# pragma: allowlist nextline secret
SECRET = "only-in-tests"
AUDIENCE = "cxr-api"
PUBLIC_URL = "https://cxr.example.org"
SETTINGS: dict[str, Any] = {
    "oidc_issuer": ISSUER,
    "oidc_client_id": CLIENT_ID,
    "oidc_client_secret": SECRET,
    "oidc_audience": AUDIENCE,
    "oidc_department_claim": "department",
    "public_url": PUBLIC_URL,
}


@functools.cache
def an_rsa_key(kid: str, owner: str = "the provider") -> RSAKey:
    """One key for each name and owner, for a new one takes long."""
    assert owner
    return RSAKey.generate_key(2048, {"kid": kid})


@dataclass
class FakeOidcProvider:
    """The provider. `claims` are the user's; `id_claims` replace those of an ID token."""

    claims: dict[str, Any] = field(
        default_factory=lambda: {
            "sub": "user-1",
            "name": "Test Clinician",
            "groups": ["clinician"],
            "department": "radiology",
        }
    )
    id_claims: dict[str, Any] = field(default_factory=dict)
    user_info: dict[str, Any] | None = None
    key: RSAKey = field(default_factory=lambda: an_rsa_key("first"))
    signs_with: RSAKey | None = None
    issuer: str = ISSUER
    status: int = 200
    asked: list[str] = field(default_factory=list)
    # Of who has signed in, by refresh token: each is good for one time.
    refreshed: dict[str, int] = field(default_factory=dict)
    token_status: int = 200
    gives_refresh_tokens: bool = False
    says_id_again: bool = True
    codes: dict[str, dict[str, str]] = field(default_factory=dict)
    sent: dict[str, str] = field(default_factory=dict)

    def authorize(self, location: str) -> dict[str, str]:
        """Sign in as a browser that was sent to `location` would; what it comes back with."""
        address = urlsplit(location)
        assert f"{address.scheme}://{address.netloc}" == ISSUER
        asked = {name: values[0] for name, values in parse_qs(address.query).items()}
        assert asked["client_id"] == CLIENT_ID
        assert asked["code_challenge_method"] == "S256"
        self.sent = asked
        assert asked["redirect_uri"] == f"{PUBLIC_URL}/api/v1/sign-in/callback"
        code = f"code-{len(self.codes)}"
        self.codes[code] = asked
        return {"code": code, "state": asked["state"], "iss": ISSUER}

    def token(
        self, key: RSAKey | None = None, header: dict[str, Any] | None = None, **claims: Any
    ) -> str:
        """A signed JWT of the user with these claims instead of the usual; None leaves one out."""
        signing = key or self.signs_with or self.key
        now = int(time.time())
        usual = {"iss": self.issuer, "iat": now, "exp": now + 300, **self.claims}
        said = {name: value for name, value in (usual | claims).items() if value is not None}
        return jwt.encode({"alg": "RS256", "kid": signing.kid, **(header or {})}, said, signing)

    def opener(self, settings: AccessSettings) -> AbstractAsyncContextManager[Provider | None]:
        """Opens the gateway's own client on this provider."""
        return open_provider(settings, httpx.ASGITransport(self.app()))

    def app(self) -> Starlette:
        """The provider's app."""
        return Starlette(
            routes=[
                Route("/.well-known/openid-configuration", self._discovery),
                Route("/token", self._token, methods=["POST"]),
                Route("/keys", self._keys),
                Route("/userinfo", self._user_info),
            ]
        )

    async def _discovery(self, _request: Request) -> Response:
        self.asked.append("discovery")
        return JSONResponse(
            {
                "issuer": self.issuer,
                "authorization_endpoint": f"{ISSUER}/authorize",
                "token_endpoint": f"{ISSUER}/token",
                "jwks_uri": f"{ISSUER}/keys",
                "end_session_endpoint": f"{ISSUER}/end",
                **({} if self.user_info is None else {"userinfo_endpoint": f"{ISSUER}/userinfo"}),
            },
            self.status,
        )

    async def _token(self, request: Request) -> Response:
        self.asked.append("token")
        if self.token_status != 200:
            return JSONResponse({}, self.token_status)
        form = {name: str(value) for name, value in (await request.form()).items()}
        basic = base64.b64encode(f"{CLIENT_ID}:{SECRET}".encode()).decode()
        assert request.headers["authorization"] == f"Basic {basic}"
        if form["grant_type"] == "refresh_token":
            if self.refreshed.pop(form["refresh_token"], None) is None:
                return JSONResponse({"error": "invalid_grant"}, 400)
            again = {"id_token": self.token(aud=CLIENT_ID)} if self.says_id_again else {}
            return JSONResponse({"access_token": "for-userinfo"} | again | self._refresh_token())
        asked = self.codes.pop(form["code"], None)
        digest = hashlib.sha256(form["code_verifier"].encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).decode().rstrip("=")
        if asked is None or asked["code_challenge"] != challenge:
            return JSONResponse({"error": "invalid_grant"}, 400)
        id_token = self.token(**{"aud": CLIENT_ID, "nonce": asked["nonce"], **self.id_claims})
        tokens = {"access_token": "for-userinfo", "id_token": id_token}
        return JSONResponse(tokens | self._refresh_token())

    def _refresh_token(self) -> dict[str, str]:
        if not self.gives_refresh_tokens:
            return {}
        token = f"refresh-{self.asked.count('token')}"
        self.refreshed[token] = 1
        return {"refresh_token": token}

    async def _keys(self, _request: Request) -> Response:
        self.asked.append("keys")
        return JSONResponse(KeySet([self.key]).as_dict(private=False))

    async def _user_info(self, request: Request) -> Response:
        assert request.headers["authorization"] == "Bearer for-userinfo"
        return JSONResponse(self.user_info)


async def signed_in(
    client: httpx.AsyncClient, gateway: FakeOidcProvider, return_to: str = "/"
) -> httpx.Response:
    """Take a browser through the whole sign-in; the gateway's last answer."""
    away = await client.get("/api/v1/sign-in", params={"return_to": return_to})
    assert away.status_code == 303, away.text
    back = gateway.authorize(away.headers["location"])
    return await client.get("/api/v1/sign-in/callback", params=back)


@asynccontextmanager
async def browser(app: Any, **headers: str) -> AsyncIterator[httpx.AsyncClient]:
    """A client that keeps secure cookies, as a browser on the public address does."""
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(
        transport=transport, base_url=PUBLIC_URL, timeout=30, headers=headers
    ) as client:
        yield client
