"""Sessions that are ended from elsewhere: by an operator, and by the OpenID provider."""

import json
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx
import pytest
from pydantic import SecretStr
from sqlalchemy import select

from cxr_gateway.archive import open_archive
from cxr_gateway.archive.tables import SessionRow
from cxr_gateway.core.settings import GatewaySettings
from support.access import closed_gateway, closed_settings
from support.archives import commanded
from support.fake_gateway import RunningGateway, refused
from support.fake_oidc import CLIENT_ID, FakeOidcProvider, an_rsa_key, browser, signed_in

LOGOUT = "/api/v1/sign-in/back-channel-logout"
EVENT: dict[str, dict[str, str]] = {"http://schemas.openid.net/event/backchannel-logout": {}}


@pytest.fixture
def settings(tmp_path: Path) -> GatewaySettings:
    return closed_settings(tmp_path / "archive")


@pytest.fixture
def oidc() -> FakeOidcProvider:
    return FakeOidcProvider(id_claims={"sid": "session-1"})


@pytest.fixture
async def gateway(
    settings: GatewaySettings, oidc: FakeOidcProvider
) -> AsyncIterator[RunningGateway]:
    async with closed_gateway(settings, oidc) as running:
        yield running


def logout_token(oidc: FakeOidcProvider, **claims: Any) -> str:
    """As a provider sends it; None leaves a claim out."""
    usual = {"aud": CLIENT_ID, "jti": "1", "events": EVENT, "name": None, "groups": None}
    return oidc.token(**(usual | claims))


async def test_an_operator_lists_and_ends_sessions(
    gateway: RunningGateway,
    settings: GatewaySettings,
    oidc: FakeOidcProvider,
    capsys: pytest.CaptureFixture[str],
) -> None:
    async with browser(gateway.app) as first, browser(gateway.app) as second:
        for client in (first, second):
            await signed_in(client, oidc)
            assert (await client.get("/api/v1/me")).status_code == 200
        assert commanded(settings, "sessions", "list") == 0
        rows = capsys.readouterr().out.splitlines()
        assert len(rows) == 2
        assert all("user-1  clinician  department radiology" in row for row in rows)
        assert commanded(settings, "sessions", "end", rows[0].split()[0]) == 0
        statuses = [(await one.get("/api/v1/me")).status_code for one in (first, second)]
        assert sorted(statuses) == [200, 401]
        assert commanded(settings, "sessions", "end", "--subject", "user-1") == 0
        assert (await second.get("/api/v1/me")).status_code == 401
        assert (await first.get("/api/v1/me")).status_code == 401
    assert commanded(settings, "sessions", "end", "--subject", "user-1") == 1
    assert commanded(settings, "sessions", "end", "%") == 1
    capsys.readouterr()
    assert commanded(settings, "audit", "show", "--action", "sessions end") == 0
    found = [json.loads(line)["details"] for line in capsys.readouterr().out.splitlines()]
    of = {"of": "user-1"}
    # The latest first.
    assert found == [None, of, of | {"n_ended": 1}, {"session": rows[0].split()[0], "n_ended": 1}]


@pytest.mark.parametrize(
    "claims",
    [{}, {"sub": None, "sid": "session-1"}, {"sid": "session-1"}],
    ids=["of the person", "of the session", "of both"],
)
async def test_who_signs_out_at_the_provider_is_out_here(
    gateway: RunningGateway, oidc: FakeOidcProvider, claims: dict[str, Any]
) -> None:
    async with browser(gateway.app) as client:
        await signed_in(client, oidc)
        answer = await gateway.client.post(
            LOGOUT, data={"logout_token": logout_token(oidc, **claims)}
        )
        assert (answer.status_code, answer.headers["cache-control"]) == (204, "no-store")
        assert (await client.get("/api/v1/me")).status_code == 401


async def test_somebody_elses_session_goes_on(
    gateway: RunningGateway, oidc: FakeOidcProvider
) -> None:
    async with browser(gateway.app) as client:
        await signed_in(client, oidc)
        for claims in ({"sub": "user-2"}, {"sub": None, "sid": "another"}, {"sid": "another"}):
            token = logout_token(oidc, **claims)
            assert (
                await gateway.client.post(LOGOUT, data={"logout_token": token})
            ).status_code == 204
        assert (await client.get("/api/v1/me")).status_code == 200


FORGED: dict[str, dict[str, Any]] = {
    "another audience": {"aud": "another"},
    "another issuer": {"iss": "https://elsewhere.example"},
    "no event": {"events": None},
    "another event": {"events": {"http://schemas.openid.net/event/other": {}}},
    "an event that is none": {"events": "backchannel-logout"},
    "an ID token": {"nonce": "n"},
    "nobody": {"sub": None},
    "of yesterday": {"iat": int(time.time()) - 86400, "exp": int(time.time()) + 300},
    "without a number": {"jti": None},
    "signed by another": {"key": an_rsa_key("first", "somebody else")},
}


@pytest.mark.parametrize("forgery", FORGED)
async def test_a_forged_logout_ends_nothing(
    gateway: RunningGateway, oidc: FakeOidcProvider, forgery: str
) -> None:
    async with browser(gateway.app) as client:
        await signed_in(client, oidc)
        token = logout_token(oidc, **FORGED[forgery])
        refused(await gateway.client.post(LOGOUT, data={"logout_token": token}), 401)
        assert (await client.get("/api/v1/me")).status_code == 200


async def test_what_is_no_form_with_a_token_is_refused(gateway: RunningGateway) -> None:
    refused(await gateway.client.post(LOGOUT), 422)
    refused(await gateway.client.post(LOGOUT, content=b"\xff" * 100), 422)
    refused(await gateway.client.post(LOGOUT, data={"logout_token": "x" * 40_000}), 413)
    refused(await gateway.client.post(LOGOUT, data={"logout_token": "x"}), 401)


@asynccontextmanager
async def rechecking(
    folder: Path, oidc: FakeOidcProvider, recheck_s: float = 0.2, **more: Any
) -> AsyncIterator[httpx.AsyncClient]:
    """A browser that is signed in at a gateway that reads roles again so often."""
    oidc.gives_refresh_tokens = True
    asked = closed_settings(folder / "archive", session_recheck_s=recheck_s, **more)
    async with closed_gateway(asked, oidc) as running, browser(running.app) as client:
        await signed_in(client, oidc)
        yield client


async def roles_later(client: httpx.AsyncClient, after_s: float = 0.3) -> Any:
    await anyio.sleep(after_s)
    answer = await client.get("/api/v1/me")
    return answer.json()["roles"] if answer.status_code == 200 else answer.status_code


@pytest.mark.parametrize("where", ["ID token", "user info"])
async def test_who_loses_a_role_at_the_provider_loses_it_here(
    tmp_path: Path, oidc: FakeOidcProvider, where: str
) -> None:
    if where == "user info":
        oidc.user_info, oidc.says_id_again = dict(oidc.claims), False
    async with rechecking(tmp_path, oidc) as client:
        assert await roles_later(client) == ["clinician"]
        oidc.claims["groups"] = ["viewer"]
        if oidc.user_info is not None:
            oidc.user_info["groups"] = ["viewer"]
        assert await roles_later(client) == ["viewer"]
        oidc.claims["groups"] = []
        if oidc.user_info is not None:
            oidc.user_info["groups"] = []
        refused(await late(client, "/api/v1/studies"), 403)


async def late(client: httpx.AsyncClient, path: str) -> httpx.Response:
    await anyio.sleep(0.3)
    return await client.get(path)


async def test_who_is_out_at_the_provider_is_out_here(
    tmp_path: Path, oidc: FakeOidcProvider
) -> None:
    async with rechecking(tmp_path, oidc) as client:
        assert await roles_later(client) == ["clinician"]
        oidc.refreshed.clear()
        assert await roles_later(client) == 401
        refused(await client.get("/api/v1/studies"), 401)


async def test_a_provider_that_is_down_ends_nobodys_work(
    tmp_path: Path, oidc: FakeOidcProvider
) -> None:
    async with rechecking(tmp_path, oidc) as client:
        oidc.token_status = 503
        assert await roles_later(client) == ["clinician"]
        oidc.token_status = 200
        oidc.claims["groups"] = ["viewer"]
        assert await roles_later(client) == ["viewer"]


async def test_roles_are_read_once_each_time_whoever_asks(
    tmp_path: Path, oidc: FakeOidcProvider
) -> None:
    async with rechecking(tmp_path, oidc, recheck_s=2) as client:
        before = oidc.asked.count("token")
        await anyio.sleep(2.1)
        async with anyio.create_task_group() as group:
            for _ in range(8):
                group.start_soon(client.get, "/api/v1/me")
        # Twice where the machine takes two seconds for them.
        assert before < oidc.asked.count("token") <= before + 2


STRONG: dict[str, Any] = {"oidc_acr_values": "mfa phrh", "oidc_max_age_s": 600}


@pytest.mark.parametrize(
    ("claims", "signed_in_s_ago", "status"),
    [
        ({"acr": "mfa"}, 60, 200),
        ({"acr": "pwd"}, 60, 401),
        ({}, 60, 401),
        ({"acr": "mfa"}, None, 401),
        ({"acr": "mfa"}, 3600, 401),
        ({"acr": "mfa", "auth_time": "now"}, None, 401),
    ],
    ids=["strong", "weak", "unknown", "of no time", "of an hour ago", "of a word"],
)
async def test_a_strong_sign_in_is_demanded(
    tmp_path: Path,
    oidc: FakeOidcProvider,
    claims: dict[str, Any],
    signed_in_s_ago: float | None,
    status: int,
) -> None:
    oidc.id_claims |= claims
    if signed_in_s_ago is not None:
        oidc.id_claims["auth_time"] = time.time() - signed_in_s_ago
    async with rechecking(tmp_path, oidc, **STRONG) as client:
        assert (oidc.sent["acr_values"], oidc.sent["max_age"]) == ("mfa phrh", "600")
        assert (await client.get("/api/v1/studies")).status_code == status


async def test_the_providers_tokens_lie_sealed_in_the_database_and_without_the_key_end(
    tmp_path: Path, oidc: FakeOidcProvider
) -> None:
    key, other = SecretStr("k" * 32), SecretStr("o" * 32)
    async with rechecking(tmp_path, oidc, secrets_key=key) as client:
        # Read again by the refresh token, which the gateway can open.
        oidc.claims["groups"] = ["viewer"]
        assert await roles_later(client) == ["viewer"]
        cookies = client.cookies
        sealed = closed_settings(tmp_path / "archive", session_recheck_s=900, secrets_key=key)
        async with open_archive(sealed) as archive:
            columns = (SessionRow.id_token, SessionRow.refresh_token)
            row = await archive.query(lambda session: session.execute(select(*columns)).one())
        assert all(str(token).startswith("s1.") for token in row)
    for with_key, status in ((key, 200), (other, 401), (SecretStr(""), 401)):
        again = sealed.model_copy(update={"secrets_key": with_key})
        async with closed_gateway(again, oidc) as running, browser(running.app) as client:
            client.cookies = cookies
            assert (await client.get("/api/v1/me")).status_code == status
