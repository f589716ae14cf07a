"""API keys: valid, revoked, expired, forged; kept as hashes; made by a command."""

import argparse
import re
from collections.abc import AsyncIterator
from datetime import timedelta
from pathlib import Path

import httpx
import pytest
from sqlalchemy import create_engine, text

from cxr_gateway.cli import keys as command
from cxr_gateway.core.principal import Role
from cxr_gateway.core.settings import GatewaySettings
from support.access import a_key, client_with, closed_gateway, closed_settings, keys_of
from support.archives import gateway_command
from support.fake_gateway import RunningGateway, refused, settings_for

KEY = re.compile(r"cxr_[0-9a-z]{12}_[A-Za-z0-9_-]{43}")


@pytest.fixture
def settings(tmp_path: Path, database_url: str | None) -> GatewaySettings:
    return closed_settings(tmp_path / "archive", database_url, database_timeout_s=2)


@pytest.fixture
async def gateway(settings: GatewaySettings) -> AsyncIterator[RunningGateway]:
    async with closed_gateway(settings) as running:
        yield running


async def asked_with(gateway: RunningGateway, token: str) -> httpx.Response:
    async with client_with(gateway, token) as client:
        return await client.get("/api/v1/studies")


async def test_a_key_is_valid_until_it_is_revoked_at_once_in_every_gateway(
    gateway: RunningGateway, settings: GatewaySettings
) -> None:
    token = a_key(gateway, Role.VIEWER)
    async with closed_gateway(settings) as other:
        assert (await asked_with(gateway, token)).status_code == 200
        assert (await asked_with(other, token)).status_code == 200
        keys_of(gateway).revoke(token.split("_")[1])
        for running in (gateway, other):
            refused(await asked_with(running, token), 401)


async def test_whatever_is_wrong_with_a_key_the_answer_is_the_same(gateway: RunningGateway) -> None:
    token = a_key(gateway, Role.VIEWER)
    revoked, expired = a_key(gateway, Role.VIEWER), a_key(gateway, Role.VIEWER, lasts=timedelta(0))
    keys_of(gateway).revoke(revoked.split("_")[1])
    other_secret = token[:-4] + ("AAAA" if token[-4:] != "AAAA" else "BBBB")
    unknown = "cxr_" + "0" * 12 + token[16:]
    wrong = [revoked, expired, other_secret, unknown, "cxr_", "cxr_\x7f", token + "x", "a.b.c", ""]
    answers = [await asked_with(gateway, one) for one in wrong]
    assert {answer.status_code for answer in answers} == {401}
    assert len({answer.content for answer in answers}) == 1
    assert (await asked_with(gateway, token)).status_code == 200


@pytest.mark.parametrize("header", ["Basic dXNlcjpwYXNz", "Bearer", "bearer  ", "Digest x"])
async def test_another_form_of_authorization_is_refused(
    gateway: RunningGateway, header: str
) -> None:
    answer = await gateway.client.get("/api/v1/studies", headers={"Authorization": header})
    assert refused(answer, 401).type == "urn:cxr:problem:unauthenticated"


async def test_the_database_holds_no_key_and_notes_its_last_use(
    gateway: RunningGateway, settings: GatewaySettings
) -> None:
    token = a_key(gateway, Role.VIEWER, lasts=None)
    await asked_with(gateway, token)
    engine = create_engine(settings.resolved_database_url)
    with engine.connect() as connection:
        [row] = connection.execute(text("SELECT * FROM api_keys")).mappings()
    engine.dispose()
    assert token[17:] not in str(dict(row))
    assert row["last_used_at"] is not None
    [key] = keys_of(gateway).all()
    first = key.last_used_at
    await asked_with(gateway, token)
    assert keys_of(gateway).all()[0].last_used_at == first


def run_keys(settings: GatewaySettings, *arguments: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_to(parser.add_subparsers(dest="command"))
    options = parser.parse_args(["keys", *arguments])
    status: int = options.run(settings, options)
    return status


def test_the_command_makes_lists_and_revokes(
    settings: GatewaySettings, capsys: pytest.CaptureFixture[str]
) -> None:
    scope = ("--role", "integrator", "--role", "viewer", "--department", "radiology")
    assert run_keys(settings, "create", *scope, "--expires", "52w", "--name", "PACS") == 0
    made = capsys.readouterr()
    token = made.out.strip()
    assert KEY.fullmatch(token)
    assert "only time" in made.err
    assert run_keys(settings, "list") == 0
    listed = capsys.readouterr().out
    assert listed.count("\n") == 1
    for word in ("valid", "integrator, viewer", "department radiology", "PACS", "never"):
        assert word in listed
    assert token[17:] not in listed
    assert run_keys(settings, "revoke", token[4:16]) == 0
    assert "revoked" in capsys.readouterr().out


def test_the_command_says_what_is_wrong_in_a_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = settings_for(tmp_path / "archive")
    assert run_keys(settings, "revoke", "0" * 12) == 1
    assert capsys.readouterr().err == "keys: There is no key 000000000000.\n"
    for expires in ("0d", "90", "3651d", "soon"):
        with pytest.raises(SystemExit):
            run_keys(settings, "create", "--role", "viewer", "--name", "x", "--expires", expires)
        assert f"`{expires}` is not like 12h" in capsys.readouterr().err
    assert run_keys(settings, "list") == 0
    assert capsys.readouterr().out == "There are no keys.\n"


def test_the_command_is_one_of_the_gateways(tmp_path: Path) -> None:
    settings = settings_for(tmp_path / "archive")
    made = gateway_command(settings, "keys", "create", "--role", "admin", "--name", "first")
    assert made.returncode == 0, made.stderr
    assert KEY.fullmatch(made.stdout.strip())
