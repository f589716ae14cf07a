"""Sign-in by OpenID Connect: who comes back signed in, and every answer that must not let them."""

import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from pydantic import ValidationError
from sqlalchemy import text

from cxr_gateway.access.authenticator import Authenticator
from cxr_gateway.core.settings import GatewaySettings
from support.access import closed_gateway, closed_settings
from support.fake_gateway import RunningGateway, refused
from support.fake_oidc import (
    CLIENT_ID,
    ISSUER,
    PUBLIC_URL,
    FakeOidcProvider,
    an_rsa_key,
    browser,
    signed_in,
)
from support.images import png

CALLBACK = "/api/v1/sign-in/callback"
ME = "/api/v1/me"
SAME_ORIGIN = {"Sec-Fetch-Site": "same-origin"}


@pytest.fixture
def oidc() -> FakeOidcProvider:
    return FakeOidcProvider()


@pytest.fixture
async def gateway(tmp_path: Path, oidc: FakeOidcProvider) -> AsyncIterator[RunningGateway]:
    async with closed_gateway(closed_settings(tmp_path / "archive"), oidc) as running:
        yield running


@pytest.fixture
async def client(gateway: RunningGateway) -> AsyncIterator[httpx.AsyncClient]:
    async with browser(gateway.app) as opened:
        yield opened


def change(gateway: RunningGateway, statement: str, **values: Any) -> int:
    authenticator: Authenticator = gateway.app.state.gateway.authenticator
    with authenticator.keys._engine.begin() as connection:
        return connection.execute(text(statement), values).rowcount


async def sent_away(client: httpx.AsyncClient, oidc: FakeOidcProvider) -> dict[str, str]:
    away = await client.get("/api/v1/sign-in")
    return oidc.authorize(away.headers["location"])


async def test_a_person_signs_in_is_known_and_signs_out(
    client: httpx.AsyncClient, oidc: FakeOidcProvider
) -> None:
    refusal = refused(await client.get(ME), 401)
    assert refusal.extensions() == {"sign_in": "/api/v1/sign-in"}
    back = await signed_in(client, oidc, "/studies/01k6")
    assert (back.status_code, back.headers["location"]) == (303, "/studies/01k6")
    me = (await client.get(ME)).json()
    assert {name: me[name] for name in ("kind", "name", "roles", "department")} == {
        "kind": "user",
        "name": "Test Clinician",
        "roles": ["clinician"],
        "department": "radiology",
    }
    out = await client.post("/api/v1/sign-out", headers=SAME_ORIGIN)
    end = httpx.URL(out.json()["location"])
    assert str(end.copy_with(query=None)) == f"{ISSUER}/end"
    assert end.params["post_logout_redirect_uri"] == f"{PUBLIC_URL}/"
    assert end.params["id_token_hint"].count(".") == 2
    refused(await client.get(ME), 401)


async def test_the_cookies_are_this_hosts_own_and_no_scripts(
    client: httpx.AsyncClient, oidc: FakeOidcProvider
) -> None:
    away = await client.get("/api/v1/sign-in")
    back = await client.get(CALLBACK, params=oidc.authorize(away.headers["location"]))
    for answer, name in ((away, "__Host-cxr-sign-in="), (back, "__Host-cxr-session=")):
        [cookie] = [one for one in answer.headers.get_list("set-cookie") if one.startswith(name)]
        for word in ("HttpOnly", "Secure", "SameSite=lax", "Path=/"):
            assert word in cookie
        assert "Domain" not in cookie
    # The browser forgets it when it is closed; here it ends by itself.
    assert "Max-Age" not in cookie


async def test_the_token_is_kept_as_a_hash_and_a_stolen_database_opens_nothing(
    gateway: RunningGateway, client: httpx.AsyncClient, oidc: FakeOidcProvider
) -> None:
    await signed_in(client, oidc)
    token = client.cookies["__Host-cxr-session"]
    assert change(gateway, "UPDATE sessions SET name = name WHERE token_sha256 = :t", t=token) == 0
    assert change(gateway, "UPDATE sessions SET name = name") == 1


async def test_signing_in_ends_the_session_that_the_browser_had(
    gateway: RunningGateway, client: httpx.AsyncClient, oidc: FakeOidcProvider
) -> None:
    await signed_in(client, oidc)
    before = client.cookies["__Host-cxr-session"]
    await signed_in(client, oidc)
    assert client.cookies["__Host-cxr-session"] != before
    async with browser(gateway.app, Cookie=f"__Host-cxr-session={before}") as old:
        refused(await old.get(ME), 401)


async def test_a_session_ends_without_use_and_at_the_latest_after_its_time(
    gateway: RunningGateway, client: httpx.AsyncClient, oidc: FakeOidcProvider
) -> None:
    for column, past in (("seen_at", "2026-01-01"), ("expires_at", "2026-01-01")):
        await signed_in(client, oidc)
        assert (await client.get(ME)).status_code == 200
        change(gateway, f"UPDATE sessions SET {column} = :past", past=f"{past} 00:00:00.000000")
        refused(await client.get(ME), 401)
        assert change(gateway, "UPDATE sessions SET name = name") == 0


async def test_what_an_open_page_asks_by_itself_does_not_keep_a_session_alive(
    tmp_path: Path, oidc: FakeOidcProvider
) -> None:
    settings = closed_settings(tmp_path / "archive", session_idle_s=1e-6, session_max_s=3600)
    async with closed_gateway(settings, oidc) as gateway, browser(gateway.app) as client:
        await signed_in(client, oidc)
        refused(await client.get("/api/v1/studies"), 401)
    settings = closed_settings(tmp_path / "archive", session_idle_s=3600)
    async with closed_gateway(settings, oidc) as gateway, browser(gateway.app) as client:
        await signed_in(client, oidc)
        early = "2999-01-01 00:00:00.000000"
        change(gateway, "UPDATE sessions SET expires_at = :e", e=early)
        for minutes_ago, path, kept in (
            (30, "/api/v1/studies", False),
            (30, "/api/v1/system", False),
            (30, f"/api/v1/studies/{'0' * 26}", True),
        ):
            seen = time.strftime(
                "%Y-%m-%d %H:%M:%S.000000", time.gmtime(time.time() - minutes_ago * 60)
            )
            change(gateway, "UPDATE sessions SET seen_at = :seen", seen=seen)
            await client.get(path)
            unchanged = change(
                gateway, "UPDATE sessions SET name = name WHERE seen_at = :s", s=seen
            )
            assert (unchanged == 0) == kept, path


async def test_a_callback_works_once(client: httpx.AsyncClient, oidc: FakeOidcProvider) -> None:
    back = await sent_away(client, oidc)
    assert (await client.get(CALLBACK, params=back)).status_code == 303
    oidc.codes[back["code"]] = {}  # the provider itself would take the code once more
    refused(await client.get(CALLBACK, params=back), 401)


async def test_a_callback_of_another_browser_or_of_nobody_is_refused(
    gateway: RunningGateway, client: httpx.AsyncClient, oidc: FakeOidcProvider
) -> None:
    back = await sent_away(client, oidc)
    async with browser(gateway.app) as victim:
        refused(await victim.get(CALLBACK, params=back), 401)
        refused(await victim.get(ME), 401)
    for params in (
        {},
        {"state": "guessed", "code": "x"},
        {"code": "x"},
        {"error": "access_denied"},
    ):
        refused(await client.get(CALLBACK, params=params), 401)


async def test_a_sign_in_that_took_too_long_is_refused(
    gateway: RunningGateway, client: httpx.AsyncClient, oidc: FakeOidcProvider
) -> None:
    back = await sent_away(client, oidc)
    change(gateway, "UPDATE sign_ins SET expires_at = '2026-01-01 00:00:00.000000'")
    refused(await client.get(CALLBACK, params=back), 401)
    await client.get("/api/v1/sign-in")
    assert change(gateway, "UPDATE sign_ins SET nonce = nonce") == 1


async def test_a_person_at_a_browser_is_sent_to_the_page_that_has_words_for_it(
    client: httpx.AsyncClient,
) -> None:
    answer = await client.get(CALLBACK, headers={"Sec-Fetch-Mode": "navigate"})
    assert (answer.status_code, answer.headers["location"]) == (303, "/?sign-in=failed")


WRONG_ID_TOKENS: dict[str, dict[str, Any]] = {
    "another issuer": {"iss": "https://evil.example.org"},
    "another audience": {"aud": "another-client"},
    "no audience": {"aud": None},
    "issued to another client": {"aud": [CLIENT_ID, "other"], "azp": "other"},
    "another nonce": {"nonce": "replayed"},
    "no nonce": {"nonce": None},
    "expired": {"exp": int(time.time()) - 120},
    "no expiry": {"exp": None},
    "an expiry that is none": {"exp": "tomorrow"},
    "not valid yet": {"nbf": int(time.time()) + 3600},
    "no subject": {"sub": None},
    "a subject that is none": {"sub": 7},
    "a subject too long": {"sub": "x" * 300},
    "a subject with a NUL": {"sub": "a\x00b"},
}


async def test_a_wrong_id_token_signs_nobody_in(
    client: httpx.AsyncClient, oidc: FakeOidcProvider
) -> None:
    for what, claims in WRONG_ID_TOKENS.items():
        oidc.id_claims = claims
        refused(await signed_in(client, oidc), 401)
        assert "__Host-cxr-session" not in client.cookies, what


async def test_a_token_signed_by_a_unknown_key_is_refused(
    client: httpx.AsyncClient, oidc: FakeOidcProvider
) -> None:
    for kid in ("first", "second"):
        oidc.signs_with = an_rsa_key(kid, "an unknown key")
        refused(await signed_in(client, oidc), 401)


async def test_new_keys_of_the_provider_are_fetched_when_they_are_met(
    gateway: RunningGateway,
    client: httpx.AsyncClient,
    oidc: FakeOidcProvider,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await signed_in(client, oidc)
    oidc.key = an_rsa_key("second")
    refused(await signed_in(client, oidc), 401)  # a moment after the first, they are not asked for
    provider = gateway.app.state.gateway.authenticator.provider
    provider._keys = (provider._keys[0] - 60, provider._keys[1])
    assert (await signed_in(client, oidc)).status_code == 303


async def test_claims_that_are_told_as_user_info_alone_count(
    client: httpx.AsyncClient, oidc: FakeOidcProvider
) -> None:
    oidc.user_info = {"sub": "user-1", "groups": ["viewer"], "department": "radiology"}
    oidc.id_claims = {"groups": None, "department": None}
    assert (await signed_in(client, oidc)).status_code == 303
    assert (await client.get(ME)).json()["roles"] == ["viewer"]
    oidc.user_info["sub"] = "somebody-else"
    refused(await signed_in(client, oidc), 401)


CLAIMS: list[tuple[dict[str, Any], list[str], str | None]] = [
    ({"groups": ["admin"], "department": "radiology"}, ["admin"], None),
    ({"groups": "viewer"}, ["viewer"], "radiology"),
    ({"groups": ["unknown", 7]}, [], "radiology"),
    ({"groups": ["clinician"], "department": None}, [], None),
    ({"groups": ["clinician"], "department": ""}, [], None),
    ({"groups": ["clinician"], "department": ["a", "b"]}, [], None),
    ({"groups": ["clinician"], "department": "x" * 65}, [], None),
    ({"groups": ["clinician"], "department": ["ward"]}, ["clinician"], "ward"),
]


async def test_roles_and_department_follow_from_the_claims(
    client: httpx.AsyncClient, oidc: FakeOidcProvider
) -> None:
    for claims, roles, department in CLAIMS:
        oidc.id_claims = claims
        await signed_in(client, oidc)
        me = (await client.get(ME)).json()
        assert (me["roles"], me["department"]) == (roles, department), claims


async def test_groups_are_mapped_and_a_claim_may_lie_within_another(
    tmp_path: Path, oidc: FakeOidcProvider
) -> None:
    oidc.claims = {"sub": "u", "realm": {"roles": ["cn=cxr,ou=groups"]}, "department": "d"}
    settings = closed_settings(
        tmp_path / "archive",
        oidc_role_claim="realm.roles",
        oidc_roles="cn=cxr,ou=groups=clinician; cn=all=viewer;",
    )
    async with closed_gateway(settings, oidc) as gateway, browser(gateway.app) as client:
        await signed_in(client, oidc)
        me = (await client.get(ME)).json()
        assert (me["name"], me["roles"]) == ("u", ["clinician"])


async def test_a_sign_in_leads_back_to_the_page_and_nowhere_else(
    client: httpx.AsyncClient, oidc: FakeOidcProvider
) -> None:
    elsewhere = ["https://evil.example", "//evil.example", "/\\evil", "/%2f", "/a?b", "/a//b", "x"]
    elsewhere.append("/" + "a" * 150 + "!")  # refused at once, not after trying every way
    for place in elsewhere:
        assert (await signed_in(client, oidc, place)).headers["location"] == "/"


async def test_a_foreign_page_can_send_nothing_with_a_session(
    client: httpx.AsyncClient, oidc: FakeOidcProvider
) -> None:
    await signed_in(client, oidc)
    files = {"file": ("radiograph.png", png(), "image/png")}
    for headers in (
        {"Sec-Fetch-Site": "same-site"},
        {"Sec-Fetch-Site": "none"},
        {"Origin": "https://other.example.org"},
        {"Origin": "null"},
        {},
    ):
        for path in ("/api/v1/studies", "/api/v1/sign-out"):
            refused(await client.post(path, files=files, headers=headers), 403)
    for headers in (SAME_ORIGIN, {"Origin": PUBLIC_URL}):
        answer = await client.post("/api/v1/studies", files=files, headers=headers)
        assert answer.status_code in (200, 201)


async def test_a_provider_that_is_away_or_broken_is_a_503_and_sessions_go_on(
    gateway: RunningGateway, client: httpx.AsyncClient, oidc: FakeOidcProvider
) -> None:
    await signed_in(client, oidc)
    provider = gateway.app.state.gateway.authenticator.provider
    for status, issuer in ((500, ISSUER), (200, "https://evil.example.org")):
        provider._metadata = None
        oidc.status, oidc.issuer = status, issuer
        problem = refused(await client.get("/api/v1/sign-in"), 503)
        assert problem.type == "urn:cxr:problem:provider-down"
    assert (await client.get(ME)).status_code == 200
    out = await client.post("/api/v1/sign-out", headers=SAME_ORIGIN)
    assert (out.status_code, out.json()) == (200, {"location": "/"})
    refused(await client.get(ME), 401)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"oidc_client_id": ""}, "CXR_GATEWAY_OIDC_CLIENT_ID must be"),
        ({"public_url": ""}, "CXR_GATEWAY_PUBLIC_URL must be"),
        ({"public_url": "http://cxr.example.org"}, "CXR_GATEWAY_PUBLIC_URL must begin with https"),
        ({"oidc_issuer": "http://login.example.org"}, "CXR_GATEWAY_OIDC_ISSUER must begin with"),
        ({"oidc_audience": CLIENT_ID}, "must not be the client's id"),
        ({"access": "open"}, "of no use"),
        ({"oidc_roles": "doctors=surgeon"}, "`doctors=surgeon` is not GROUP=ROLE"),
        ({"oidc_roles": "=viewer"}, "is not GROUP=ROLE"),
    ],
)
def test_settings_of_half_a_sign_in_are_refused_with_a_sentence(
    tmp_path: Path, changed: dict[str, str], said: str
) -> None:
    with pytest.raises(ValidationError, match=said):
        closed_settings(tmp_path, **changed)


def test_on_loopback_it_may_be_tried_without_https(tmp_path: Path) -> None:
    here = {"public_url": "http://localhost:8000", "oidc_issuer": "http://127.0.0.1:9000"}
    settings: GatewaySettings = closed_settings(tmp_path, **here)
    assert settings.is_closed
    assert not settings.is_https
