"""The guard beyond roles: rate limits, headers on every answer, and when a start is refused."""

import asyncio
import json
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from access_stand import a_key, client_as, client_with, closed_gateway, closed_settings
from archives import gateway
from cxr_gateway.access.permissions import Operations
from cxr_gateway.access.start import OpenToOthers, refuse_open_to_others
from cxr_gateway.core.principal import Role
from cxr_gateway.core.settings import GatewaySettings
from gateway_stand import Stand, client_of, refused, settings_for, standing_gateway

STUDIES = "/api/v1/studies"


@pytest.fixture
async def stand(tmp_path: Path) -> AsyncIterator[Stand]:
    settings = closed_settings(tmp_path / "archive", requests_per_minute=5, failures_per_minute=3)
    async with closed_gateway(settings) as running:
        yield running


async def test_a_key_that_asks_too_often_is_told_when_to_go_on(stand: Stand) -> None:
    async with client_as(stand, Role.READER) as busy, client_as(stand, Role.READER) as calm:
        for _ in range(5):
            assert (await busy.get(STUDIES)).status_code == 200
        answer = await busy.get(STUDIES)
        assert refused(answer, 429).type == "urn:cxr:problem:too-many-requests"
        assert 1 <= int(answer.headers["retry-after"]) <= 60
        assert (await calm.get(STUDIES)).status_code == 200


async def test_an_address_that_fails_too_often_is_told_nothing_more(stand: Stand) -> None:
    token = a_key(stand, Role.READER)
    async with client_with(stand, "cxr_guess") as guessing, client_with(stand, token) as right:
        for _ in range(3):
            refused(await guessing.get(STUDIES), 401)
        assert int((await guessing.get(STUDIES)).headers["retry-after"]) >= 1
        # Not even whether the next guess is right.
        refused(await right.get(STUDIES), 429)
    elsewhere = httpx.ASGITransport(stand.app, client=("10.0.0.9", 1))
    headers = {"Authorization": f"Bearer {token}"}
    async with httpx.AsyncClient(
        transport=elsewhere, base_url="http://localhost", headers=headers
    ) as other:
        assert (await other.get(STUDIES)).status_code == 200


async def test_asking_as_nobody_is_no_failure_but_is_limited(stand: Stand) -> None:
    answers = [(await stand.client.get(STUDIES)).status_code for _ in range(7)]
    assert answers == [401] * 5 + [429] * 2


async def test_whoever_sits_at_an_open_gateway_is_not_limited(tmp_path: Path) -> None:
    settings = settings_for(tmp_path / "archive", requests_per_minute=1)
    async with standing_gateway(settings) as stand:
        answers = await asyncio.gather(*(stand.client.get(STUDIES) for _ in range(5)))
        assert {answer.status_code for answer in answers} == {200}


async def test_every_route_carries_the_headers_and_a_policy_without_exceptions(
    tmp_path: Path,
) -> None:
    settings = closed_settings(tmp_path / "archive")
    async with closed_gateway(settings) as stand, client_as(stand, Role.ADMIN) as admin:
        for operation in Operations(stand.app.routes):
            for method in operation.methods:
                for client in (stand.client, admin):
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


async def test_https_is_insisted_on_only_where_there_is_https(tmp_path: Path) -> None:
    async with standing_gateway(settings_for(tmp_path / "archive")) as stand:
        assert "strict-transport-security" not in (await stand.client.get("/livez")).headers


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


def test_the_refusal_is_one_sentence_and_exit_code_2(tmp_path: Path) -> None:
    settings = settings_for(tmp_path / "archive")
    ended = gateway(settings, CXR_GATEWAY_HOST="0.0.0.0")
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


async def test_the_front_doors_word_on_an_address_is_taken_only_from_the_front_door(
    tmp_path: Path,
) -> None:
    settings = closed_settings(tmp_path / "archive", failures_per_minute=1, trusted_proxies=1)
    async with closed_gateway(settings) as stand:
        for number, status in ((1, 401), (1, 429), (2, 401)):
            # What stands before the door's own entry the client has written.
            forwarded = f"10.9.9.{status}, 10.0.0.{number}"
            headers = {"Authorization": "Bearer cxr_x", "X-Forwarded-For": forwarded}
            async with client_of(stand.app, **headers) as client:
                assert (await client.get(STUDIES)).status_code == status
