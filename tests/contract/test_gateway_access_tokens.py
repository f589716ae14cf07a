"""Access tokens of the provider: ours, and every other one that must be answered 401."""

import base64
import hmac
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from support.access import client_with, closed_gateway, closed_settings
from support.fake_gateway import RunningGateway, refused
from support.fake_oidc import AUDIENCE, CLIENT_ID, FakeOidcProvider, an_rsa_key

ME = "/api/v1/me"


@pytest.fixture
def oidc() -> FakeOidcProvider:
    return FakeOidcProvider()


@pytest.fixture
async def gateway(tmp_path: Path, oidc: FakeOidcProvider) -> AsyncIterator[RunningGateway]:
    async with closed_gateway(closed_settings(tmp_path / "archive"), oidc) as running:
        yield running


async def test_an_access_token_for_our_audience_is_accepted(
    gateway: RunningGateway, oidc: FakeOidcProvider
) -> None:
    async with client_with(gateway, oidc.token(aud=AUDIENCE)) as system:
        me = (await system.get(ME)).json()
    assert (me["kind"], me["name"], me["department"]) == ("user", "user-1", "radiology")


def encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")


def forged(oidc: FakeOidcProvider) -> dict[str, str]:
    genuine = oidc.token(aud=AUDIENCE)
    head, body, signature = genuine.split(".")
    foreign_key = an_rsa_key("first", "an unknown key")
    # Signed with what everybody knows, as if it were a secret that both share.
    start = encoded(b'{"alg":"HS256","kid":"first"}') + f".{body}"
    public = oidc.key.as_pem(private=False)
    confused = f"{start}.{encoded(hmac.digest(public, start.encode(), 'sha256'))}"
    return {
        "expired": oidc.token(aud=AUDIENCE, exp=int(time.time()) - 60),
        "an ID token": oidc.token(aud=CLIENT_ID),
        "another audience": oidc.token(aud="other"),
        "another issuer": oidc.token(aud=AUDIENCE, iss="https://evil.example.org"),
        "an unknown key's signature": oidc.token(foreign_key, aud=AUDIENCE),
        "a cut signature": f"{head}.{body}.{signature[:-8]}",
        "no signature": f"{head}.{body}.",
        "alg none": encoded(b'{"alg":"none"}') + f".{body}.",
        "the public key as a secret": confused,
        "a header that makes no sense": encoded(b'{"alg":"RS256","crit":1}')
        + f".{body}.{signature}",
        "not a token": "a.b.c",
    }


async def test_an_expired_or_forged_token_is_answered_as_if_it_were_none(
    gateway: RunningGateway, oidc: FakeOidcProvider
) -> None:
    bodies = set()
    for what, token in forged(oidc).items():
        async with client_with(gateway, token) as system:
            answer = await system.get("/api/v1/studies")
        refused(answer, 401)
        bodies.add(answer.content)
        assert len(bodies) == 1, what


async def test_without_an_audience_no_access_token_is_accepted(
    tmp_path: Path, oidc: FakeOidcProvider
) -> None:
    settings = closed_settings(tmp_path / "archive", oidc_audience="")
    async with (
        closed_gateway(settings, oidc) as gateway,
        client_with(gateway, oidc.token(aud=AUDIENCE)) as system,
    ):
        refused(await system.get("/api/v1/studies"), 401)
