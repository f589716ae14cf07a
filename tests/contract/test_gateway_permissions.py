"""Who may do what: every route of the running app, asked as everybody that there is."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI

from cxr_contracts import Problem
from cxr_gateway.access.permissions import EVERYBODY, PERMISSIONS, Operation, Operations, markdown
from cxr_gateway.app import create_app
from cxr_gateway.core.principal import Role
from support.access import a_key, client_as, client_with, closed_gateway, closed_settings
from support.fake_gateway import RunningGateway, client_of, running_gateway, settings_for
from support.fake_oidc import FakeOidcProvider, browser, signed_in

ROOT = Path(__file__).parents[2]
NOBODY = "nobody"
WITHOUT_ROLE = "signed in without a role"
ASKERS = [NOBODY, WITHOUT_ROLE, *Role]


@pytest.fixture
async def gateway(tmp_path: Path) -> AsyncIterator[RunningGateway]:
    async with closed_gateway(closed_settings(tmp_path / "archive")) as running:
        yield running


def operations_of(gateway: RunningGateway) -> list[Operation]:
    return list(Operations(gateway.app.routes))


def may(operation: Operation, asker: str) -> bool:
    if operation.rule.for_everybody:
        return True
    return asker != NOBODY and (not operation.rule.roles or asker in operation.rule.roles)


async def asked(client: httpx.AsyncClient, operation: Operation) -> list[httpx.Response]:
    path = operation.path.replace("{study_id}", "0" * 26).replace("{finding}", "Mass")
    path = path.replace("{path:path}", "studies/1")
    return [await client.request(method, path) for method in sorted(operation.methods)]


async def check_every_operation(
    gateway: RunningGateway, client: httpx.AsyncClient, asker: str
) -> None:
    refused_with = 401 if asker == NOBODY else 403
    for operation in operations_of(gateway):
        for answer in await asked(client, operation):
            if may(operation, asker):
                assert answer.status_code not in (401, 403) or operation.id == "finishSignIn"
                continue
            assert answer.status_code == refused_with, operation.id
            problem = Problem.model_validate_json(answer.content)
            assert problem.status == refused_with
            assert ("www-authenticate" in answer.headers) == (refused_with == 401)


@pytest.mark.parametrize("role", list(Role))
async def test_every_route_asked_with_a_key_of_each_role(
    gateway: RunningGateway, role: Role
) -> None:
    async with client_as(gateway, role) as client:
        await check_every_operation(gateway, client, role)


async def test_every_route_asked_by_nobody(gateway: RunningGateway) -> None:
    await check_every_operation(gateway, gateway.client, NOBODY)


@pytest.mark.parametrize("role", [WITHOUT_ROLE, *Role])
async def test_every_route_asked_by_somebody_signed_in(tmp_path: Path, role: str) -> None:
    oidc = FakeOidcProvider()
    oidc.claims["groups"] = [role]
    settings = closed_settings(tmp_path / "archive")
    async with (
        closed_gateway(settings, oidc) as gateway,
        browser(gateway.app, **{"Sec-Fetch-Site": "same-origin"}) as client,
    ):
        await signed_in(client, oidc)
        # The last that is asked, for it ends the session.
        for operation in sorted(operations_of(gateway), key=lambda one: one.id == "signOut"):
            for answer in await asked(client, operation):
                refused = answer.status_code == 403
                assert refused != may(operation, role), operation.id
                assert answer.status_code != 401 or operation.id == "finishSignIn"


async def test_somebody_with_two_roles_may_what_either_may(gateway: RunningGateway) -> None:
    async with client_as(gateway, Role.VIEWER, Role.INTEGRATOR) as client:
        may_do = (await client.get("/api/v1/me")).json()["may"]
    assert {"listStudies", "createStudy"} <= set(may_do)
    assert "rerunStudy" not in may_do


async def test_the_written_table_is_that_of_the_running_app(gateway: RunningGateway) -> None:
    written = (ROOT / "docs/permissions.md").read_text()
    assert written == markdown(Operations(gateway.app.routes)), "run make generate"


async def test_the_table_has_a_line_for_each_route_and_no_other(gateway: RunningGateway) -> None:
    assert {operation.id for operation in operations_of(gateway)} == set(PERMISSIONS)


async def test_what_is_for_everybody_tells_of_no_patient(gateway: RunningGateway) -> None:
    open_to_all = {name for name, rule in PERMISSIONS.items() if rule is EVERYBODY}
    assert open_to_all == {
        *("getLiveness", "getReadiness", "getMetrics", "openapi", "get_page"),
        *("listProblemTypes", "getProblemType"),
        *("startSignIn", "finishSignIn", "signOut", "endSessions"),
    }


def test_a_route_that_is_in_no_table_keeps_the_gateway_from_starting(tmp_path: Path) -> None:
    settings = settings_for(tmp_path)
    for path in ("/api/v1/forgotten", "/internal"):
        app = create_app(settings)
        app.get(path, operation_id="forgotten")(lambda: "everything")
        with pytest.raises(LookupError, match=r"forgotten .* has no line"):
            Operations(app.routes)
    mounted = FastAPI()
    mounted.mount("/files", FastAPI())
    with pytest.raises(LookupError, match="no line"):
        Operations(mounted.routes)


async def test_a_refusal_comes_before_anything_of_the_request_is_read(
    gateway: RunningGateway,
) -> None:
    endless = httpx.Request("POST", "http://localhost/api/v1/studies", content=b"not a form")
    assert (await gateway.client.send(endless)).status_code == 401
    async with client_as(gateway, Role.VIEWER) as client:
        answer = await client.get("/api/v1/studies", params={"limit": "many"})
        assert answer.status_code == 422
    assert (await gateway.client.get("/api/v1/studies?limit=many")).status_code == 401


async def test_a_refusal_is_counted_under_its_route_and_carries_a_request_id(
    gateway: RunningGateway,
) -> None:
    refused = await gateway.client.get("/api/v1/studies")
    assert refused.headers["x-request-id"]
    exposed = (await gateway.client.get("/metrics")).text
    assert 'route="/api/v1/studies",status="401"' in exposed


async def test_what_stands_outside_sees_who_asked_and_what_came_of_it(
    gateway: RunningGateway,
) -> None:
    seen: list[dict[str, Any]] = []
    inner = gateway.app

    async def outside(scope: Any, receive: Any, send: Any) -> None:
        await inner(scope, receive, send)
        seen.append(scope["state"])

    token = a_key(gateway, Role.VIEWER)
    headers = {"Authorization": f"Bearer {token}"}
    async with client_of(outside, **headers) as client:  # type: ignore[arg-type]
        await client.get("/api/v1/system")
        await client.post("/api/v1/studies")
        await client.get("/api/v1/system", headers={"Authorization": "Bearer cxr_wrong"})
    let_in, too_small, wrong = seen
    key_id = token.split("_")[1]
    assert (let_in["principal"].subject, let_in["operation"].id) == (key_id, "getSystem")
    assert "refusal" not in let_in
    assert (too_small["principal"].subject, too_small["refusal"]) == (key_id, "Forbidden")
    assert (wrong["principal"].subject, wrong["refusal"]) == ("nobody", "not a key")


async def test_an_open_gateway_asks_nobody_and_a_key_changes_nothing(tmp_path: Path) -> None:
    async with running_gateway(settings_for(tmp_path / "archive")) as gateway:
        assert (await gateway.client.get("/api/v1/studies")).status_code == 200
        me = (await gateway.client.get("/api/v1/me")).json()
        assert (me["kind"], me["roles"], me["can_sign_out"]) == ("local", sorted(Role), False)
        async with client_with(gateway, "cxr_wrong") as client:
            assert (await client.get("/api/v1/studies")).status_code == 200
        assert (await gateway.client.get("/api/v1/sign-in")).status_code == 404
