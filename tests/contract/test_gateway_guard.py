"""The guard beyond roles: rate limits, headers on every answer, and when a start is refused."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from cxr_gateway.access.permissions import Operations
from cxr_gateway.access.start import OpenToOthers, refuse_open_to_others
from cxr_gateway.core.principal import Role
from cxr_gateway.core.settings import GatewaySettings
from support.access import (
    a_key,
    client_as,
    client_with,
    closed_gateway,
    closed_settings,
    send,
)
from support.archives import gateway_command
from support.fake_gateway import (
    FakeService,
    RunningGateway,
    client_of,
    refused,
    running_gateway,
    settings_for,
)
from support.fake_oidc import FakeOidcProvider
from support.images import png

STUDIES = "/api/v1/studies"


@pytest.fixture
async def gateway(
    tmp_path: Path, security_database_url: str | None
) -> AsyncIterator[RunningGateway]:
    settings = closed_settings(
        tmp_path / "archive", security_database_url, requests_per_minute=5, failures_per_minute=3
    )
    async with closed_gateway(settings) as running:
        yield running


async def test_a_key_that_asks_too_often_is_told_when_to_go_on(gateway: RunningGateway) -> None:
    async with client_as(gateway, Role.VIEWER) as busy, client_as(gateway, Role.VIEWER) as calm:
        for _ in range(5):
            assert (await busy.get(STUDIES)).status_code == 200
        answer = await busy.get(STUDIES)
        assert refused(answer, 429).type == "urn:cxr:problem:too-many-requests"
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert (await calm.get(STUDIES)).status_code == 200


async def test_an_address_that_fails_too_often_is_told_so_and_locks_out_no_good_key(
    gateway: RunningGateway,
) -> None:
    token = a_key(gateway, Role.VIEWER)
    async with client_with(gateway, "cxr_guess") as guessing, client_with(gateway, token) as right:
        for _ in range(3):
            refused(await guessing.get(STUDIES), 401)
        for _ in range(10):
            assert int((await guessing.get(STUDIES)).headers["retry-after"]) >= 1
        # Of the same address: a proxy's, or that of another department's machine behind it.
        assert (await right.get(STUDIES)).status_code == 200
        refused(await guessing.get(STUDIES), 429)
    elsewhere = httpx.ASGITransport(gateway.app, client=("10.0.0.9", 1))
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(
        transport=elsewhere, base_url="http://localhost", headers=headers
    ) as other:
        assert (await other.get(STUDIES)).status_code == 200


async def test_asking_as_nobody_is_no_failure_but_is_limited(gateway: RunningGateway) -> None:
    answers = [(await gateway.client.get(STUDIES)).status_code for _ in range(7)]
    assert answers == [401] * 5 + [429] * 2


async def test_one_key_that_uploads_all_it_can_leaves_places_and_turns_to_others(
    tmp_path: Path,
    security_database_url: str | None,
) -> None:
    settings = closed_settings(
        tmp_path / "archive",
        security_database_url,
        max_concurrent_analyses=1,
        max_studies_in_flight=6,
        max_studies_per_principal=4,
    )
    gone_on, classifier = asyncio.Event(), FakeService("classifier")

    async def waiting(request: Any) -> Any:
        await gone_on.wait()
        return await classifier.usual(request)

    classifier.answer = waiting
    async with (
        running_gateway(
            settings, classifier=classifier, provider=FakeOidcProvider().opener
        ) as gateway,
        client_as(gateway, Role.INTEGRATOR, Role.CLINICIAN, department="elsewhere") as busy,
        client_as(gateway, Role.INTEGRATOR, department="radiology") as calm,
    ):
        finished: list[str] = []

        async def sent(client: httpx.AsyncClient, name: str, seed: int) -> int:
            status = (await send(client, png(seed=seed))).status_code
            finished.append(name)
            return status

        async with asyncio.TaskGroup() as group:
            for seed in range(4):
                group.create_task(sent(busy, "busy", seed))
                await until_waiting(gateway, seed)
            answer = await send(busy, png(seed=4))
            assert refused(answer, 429).type == "urn:cxr:problem:too-many-requests"
            assert answer.headers["retry-after"] == "1"
            refused(await busy.post(f"{STUDIES}/{'0' * 26}/rerun"), 429)
            theirs = group.create_task(sent(calm, "calm", 5))
            await until_waiting(gateway, 4)
            gone_on.set()
        assert theirs.result() == 201
        # One of the busy key's was under way, and one had its turn.
        assert finished.index("calm") <= 2
        assert (await send(busy, png(seed=6))).status_code == 201


async def until_waiting(gateway: RunningGateway, count: int) -> None:
    """Return once so many studies wait for their turn."""
    async with asyncio.timeout(20):
        while f"cxr_studies_waiting {count}.0" not in (await gateway.client.get("/metrics")).text:
            await asyncio.sleep(0.01)


async def test_whoever_sits_at_an_open_gateway_is_not_limited(
    tmp_path: Path, security_database_url: str | None
) -> None:
    settings = settings_for(tmp_path / "archive", security_database_url, requests_per_minute=1)
    async with running_gateway(settings) as gateway:
        answers = await asyncio.gather(*(gateway.client.get(STUDIES) for _ in range(5)))
        assert {answer.status_code for answer in answers} == {200}


async def test_every_route_carries_the_headers_and_a_policy_without_exceptions(
    tmp_path: Path,
    security_database_url: str | None,
) -> None:
    settings = closed_settings(tmp_path / "archive", security_database_url)
    async with closed_gateway(settings) as gateway, client_as(gateway, Role.ADMIN) as admin:
        for operation in Operations(gateway.app.routes):
            for method in operation.methods:
                for client in (gateway.client, admin):
                    path = operation.path.replace("{study_id}", "0" * 26).replace("{finding}", "X")
                    answer = await client.request(method, path.replace("{path:path}", "x"))
                    check_headers(answer, f"{method} {path}")


def check_headers(answer: httpx.Response, what: str) -> None:
    headers = answer.headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; "), what
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "*" not in policy
    assert headers["x-content-type-options"] == "nosniff", what
    assert headers["referrer-policy"] == "no-referrer"
    assert headers["cross-origin-opener-policy"] == "same-origin"
    assert headers["cross-origin-resource-policy"] == "same-origin"
    assert headers["permissions-policy"].startswith("camera=()")
    assert headers["strict-transport-security"] == "max-age=31536000"
    assert headers["x-frame-options"] == "DENY"
    assert "no-store" in headers["cache-control"], what


async def test_https_is_insisted_on_only_where_there_is_https(
    tmp_path: Path, security_database_url: str | None
) -> None:
    async with running_gateway(
        settings_for(tmp_path / "archive", security_database_url)
    ) as gateway:
        assert "strict-transport-security" not in (await gateway.client.get("/livez")).headers


@pytest.mark.parametrize(
    ("given", "starts"),
    [
        ({}, True),
        ({"host": "::1"}, True),
        ({"host": "127.0.0.2"}, True),
        ({"host": "0.0.0.0"}, False),
        ({"host": "::"}, False),
        ({"host": "cxr.example.org"}, False),
        ({"host": "0.0.0.0", "access": "closed"}, True),
        ({"host": "0.0.0.0", "access": "behind-log-in"}, True),
        ({"host": "0.0.0.0", "published_address": "127.0.0.1"}, True),
        ({"host": "0.0.0.0", "published_address": "10.0.0.1"}, False),
        ({"host": "127.0.0.1", "published_address": "0.0.0.0"}, False),
        ({"host": "0.0.0.0", "published_address": "0.0.0.0", "access": "open"}, False),
        ({"host": "0.0.0.0", "published_address": "10.0.0.1", "access": "closed"}, True),
    ],
)
def test_only_a_gateway_that_is_open_to_others_does_not_start(
    given: dict[str, str], starts: bool
) -> None:
    settings = GatewaySettings(**given)  # type: ignore[arg-type]
    if starts:
        refuse_open_to_others(settings)
        return
    with pytest.raises(OpenToOthers, match="it would ask nobody who they are"):
        refuse_open_to_others(settings)


def test_the_refusal_is_one_sentence_and_exit_code_2(
    tmp_path: Path, security_database_url: str | None
) -> None:
    settings = settings_for(tmp_path / "archive", security_database_url)
    ended = gateway_command(settings, CXR_GATEWAY_HOST="0.0.0.0")
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    message = json.loads(ended.stderr)["message"]
    assert message.startswith("The gateway cannot start: Others reach it at 0.0.0.0")
    assert not settings.archive_dir.exists()


@pytest.mark.parametrize(
    ("given", "hosts"),
    [
        ({}, False),
        ({"host": "0.0.0.0", "published_address": "127.0.0.1"}, False),
        ({"host": "0.0.0.0", "access": "behind-log-in"}, True),
        ({"access": "closed"}, True),
    ],
)
def test_while_it_is_open_it_answers_to_the_names_of_this_machine(
    given: dict[str, str], hosts: bool
) -> None:
    settings = GatewaySettings(**given)  # type: ignore[arg-type]
    assert (settings.resolved_allowed_hosts == ["*"]) == hosts


async def test_the_reverse_proxys_word_on_an_address_is_taken_only_from_the_reverse_proxy(
    tmp_path: Path,
    security_database_url: str | None,
) -> None:
    settings = closed_settings(
        tmp_path / "archive", security_database_url, failures_per_minute=1, trusted_proxies=1
    )
    async with closed_gateway(settings) as gateway:
        for number, status in ((1, 401), (1, 429), (2, 401)):
            # What stands before the door's own entry the client has written.
            forwarded = f"10.9.9.{status}, 10.0.0.{number}"
            headers = {"Authorization": "Bearer cxr_x", "X-Forwarded-For": forwarded}
            async with client_of(gateway.app, **headers) as client:
                assert (await client.get(STUDIES)).status_code == status


BEHIND = {"access": "behind-log-in", "forwarded_user_header": "X-Forwarded-User"}


@pytest.mark.parametrize(
    ("headers", "public_url", "status"),
    [
        ({"Sec-Fetch-Site": "same-origin"}, "", 404),
        ({"Sec-Fetch-Site": "same-site"}, "", 403),
        ({"Sec-Fetch-Site": "cross-site"}, "", 403),
        ({"Sec-Fetch-Site": "none"}, "", 403),
        ({"Origin": "https://cxr.example.org"}, "https://cxr.example.org", 404),
        ({"Origin": "https://cxr.example.org.evil.example"}, "https://cxr.example.org", 403),
        ({"Origin": "http://cxr.example.org"}, "https://cxr.example.org", 403),
        ({"Origin": "null"}, "", 403),
        ({"Origin": "http://localhost"}, "", 404),
        ({"Origin": "http://localhost:81"}, "", 403),
        ({}, "", 403),
    ],
)
async def test_behind_a_log_in_only_the_own_page_may_change_anything(
    tmp_path: Path,
    security_database_url: str | None,
    headers: dict[str, str],
    public_url: str,
    status: int,
) -> None:
    settings = settings_for(
        tmp_path / "archive", security_database_url, public_url=public_url, **BEHIND
    )
    async with running_gateway(settings) as gateway:
        refused(await gateway.client.delete(f"{STUDIES}/{'0' * 26}", headers=headers), status)
        assert (await gateway.client.get(STUDIES, headers=headers)).status_code == 200


async def test_behind_a_log_in_the_log_names_whom_the_proxy_let_in(
    tmp_path: Path, security_database_url: str | None
) -> None:
    async with running_gateway(
        settings_for(tmp_path / "archive", security_database_url, **BEHIND)
    ) as gateway:
        for name in ("ada", "x" * 256, "a\tb"):
            await gateway.client.get(STUDIES, headers={"X-Forwarded-User": name})
        audit = await gateway.client.get("/api/v1/audit", params={"action": "listStudies"})
    subjects = [(line["kind"], line["subject"]) for line in audit.json()["items"][::-1]]
    assert subjects == [("user", "ada"), ("local", "local"), ("local", "local")]


async def test_elsewhere_a_forwarded_user_is_nobody(
    tmp_path: Path, security_database_url: str | None
) -> None:
    settings = closed_settings(
        tmp_path / "archive", security_database_url, forwarded_user_header="X-Forwarded-User"
    )
    async with closed_gateway(settings) as gateway:
        refused(await gateway.client.get(STUDIES, headers={"X-Forwarded-User": "admin"}), 401)
