"""The audit log through backup and restore: never wound back, and what was deleted stays so."""

import json
import logging
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine

from cxr_gateway.archive import audit_chain as chain
from cxr_gateway.archive import open_files, schema
from cxr_gateway.archive.database import open_engine
from cxr_gateway.archive.removal import EXPIRY_ACTION, Removals
from cxr_gateway.audit import by_the_machine
from cxr_gateway.backup.backup import back_up
from cxr_gateway.backup.restore import restore
from cxr_gateway.core.settings import GatewaySettings
from support.archives import commanded, content_of, filled
from support.audit_logs import aged
from support.databases import postgresql_database
from support.fake_gateway import settings_for


@pytest.fixture
def settings(tmp_path: Path, database_url: str | None) -> GatewaySettings:
    return settings_for(tmp_path / "archive", database_url, database_timeout_s=5)


@pytest.fixture
def other(tmp_path: Path, database_url: str | None) -> Iterator[GatewaySettings]:
    """An empty archive whose database is of the other kind."""
    if database_url is not None:
        yield settings_for(tmp_path / "other", None, database_timeout_s=5)
        return
    with postgresql_database() as url:
        yield settings_for(tmp_path / "other", url, database_timeout_s=5)


def actions(settings: GatewaySettings) -> list[str]:
    """Of a log that is whole."""
    engine = open_engine(settings.resolved_database_url, 5)
    with engine.connect() as connection:
        chain.verify(connection)
        found = [line.action for line in chain.entries(connection)]
    engine.dispose()
    return found


def note(settings: GatewaySettings, *names: str) -> None:
    engine = open_engine(settings.resolved_database_url, 5)
    with engine.begin() as connection:
        chain.append(connection, [by_the_machine(name) for name in names])
    engine.dispose()


def remove(settings: GatewaySettings, study: str) -> None:
    engine = open_engine(settings.resolved_database_url, 5)
    event = by_the_machine(EXPIRY_ACTION, study_id=study)
    assert Removals(engine, open_files(settings)).study(study, event)
    engine.dispose()


async def test_a_log_is_whole_in_another_kind_of_database_and_has_the_restore(
    settings: GatewaySettings, other: GatewaySettings, tmp_path: Path
) -> None:
    await filled(settings, 1)
    note(settings, "one", "two")
    back_up(settings, tmp_path / "b.zip")
    restore(other, tmp_path / "b.zip", replace=False)
    assert actions(other) == ["one", "two", "restore"]


async def test_a_restore_does_not_wind_the_log_back_nor_bring_back_what_was_deleted(
    settings: GatewaySettings, tmp_path: Path
) -> None:
    studies = await filled(settings, 2)
    note(settings, "one")
    back_up(settings, tmp_path / "b.zip")
    gone, kept = studies
    remove(settings, gone)
    note(settings, "three")
    restore(settings, tmp_path / "b.zip", replace=True)
    assert actions(settings) == ["one", EXPIRY_ACTION, "three", "restore"]
    assert await content_of(settings) == {kept: studies[kept]}
    assert open_files(settings).names(gone) == []


async def test_a_restore_after_old_lines_went_keeps_what_is_left(
    settings: GatewaySettings, tmp_path: Path
) -> None:
    await filled(settings, 1)
    engine = open_engine(settings.resolved_database_url, 5)
    aged(engine, 100, "one", "two")
    engine.dispose()
    back_up(settings, tmp_path / "b.zip")
    note(settings, "three")
    engine = open_engine(settings.resolved_database_url, 5)
    with engine.begin() as connection:
        pruned = chain.prune(connection, "9", 2)
        assert pruned is not None
        chain.append(connection, [by_the_machine(chain.PRUNE_ACTION, details=pruned[1])])
    engine.dispose()
    restore(settings, tmp_path / "b.zip", replace=True)
    assert actions(settings) == ["three", chain.PRUNE_ACTION, "restore"]


async def test_a_log_without_a_common_history_gives_way_and_its_end_is_named(
    settings: GatewaySettings, other: GatewaySettings, tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:  # fmt: skip
    await filled(settings, 1)
    note(settings, "one")
    back_up(settings, tmp_path / "b.zip")
    await filled(other, 0)
    note(other, "of another installation")
    with caplog.at_level(logging.WARNING):
        restore(other, tmp_path / "b.zip", replace=False)
    assert actions(other) == ["one", "restore"]
    [warning] = [record for record in caplog.records if "the backup's" in record.message]
    assert str(vars(warning)["replaced_up_to"]).startswith("1:")


async def test_a_study_that_is_deleted_while_a_backup_copies_is_not_restored(
    tmp_path: Path,
) -> None:
    settings = settings_for(tmp_path / "archive")
    studies = await filled(settings, 2)
    kept, gone = studies
    # The first radiograph is a pipe, where the copy stands still until something is written to it.
    radiograph = open_files(settings).path(kept, "original.png")
    radiograph.unlink()
    os.mkfifo(radiograph)
    with ThreadPoolExecutor(1) as thread:
        copying = thread.submit(back_up, settings, tmp_path / "b.zip")
        with radiograph.open("wb") as pipe:
            remove(settings, gone)
            pipe.write(studies[kept])
        manifest = copying.result()
    assert (manifest.missing, manifest.removed) == ([], [gone])
    target = settings_for(tmp_path / "target")
    restore(target, tmp_path / "b.zip", replace=False)
    assert await content_of(target) == {kept: studies[kept]}


async def test_an_operators_commands_are_on_record(
    settings: GatewaySettings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await filled(settings, 1)
    assert commanded(settings, "migrate") == 0
    assert commanded(settings, "backup", "--to", str(tmp_path / "b.zip")) == 0
    assert commanded(settings, "backup", "--to", str(tmp_path / "b.zip")) == 1
    assert commanded(settings, "restore", "--replace", "--from", str(tmp_path / "b.zip")) == 0
    assert actions(settings) == ["migrate", "backup", "backup", "restore"]
    assert commanded(settings, "migrate", "--to", "0001") == 0
    capsys.readouterr()
    engine: Engine = create_engine(settings.resolved_database_url)
    with engine.connect() as connection:
        assert not chain.is_kept(connection)
    engine.dispose()


def details_of(settings: GatewaySettings) -> list[tuple[str, dict[str, Any]]]:
    """Action and details of each entry."""
    engine = open_engine(settings.resolved_database_url, 5)
    with engine.connect() as connection:
        found = [(x.action, json.loads(x.details or "{}")) for x in chain.entries(connection)]
    engine.dispose()
    return found


async def test_what_a_command_was_asked_for_and_did_is_on_record_and_no_secret_is(
    settings: GatewaySettings, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await filled(settings, 2)
    made = ("--name", "the RIS", "--role", "integrator", "--role", "viewer", "--department", "ct")
    assert commanded(settings, "keys", "create", *made, "--expires", "never") == 0
    token = capsys.readouterr().out.strip()
    key = token.split("_")[1]
    # Who pastes the secret in the id's place is refused, and it is written down nowhere.
    assert commanded(settings, "keys", "revoke", token) == 1
    assert commanded(settings, "keys", "revoke", key) == 0
    whole, folder = tmp_path / "b.zip", tmp_path / "backups"
    assert commanded(settings, "backup", "--to", str(whole)) == 0
    assert commanded(settings, "backup", "--to", str(whole)) == 1
    assert commanded(settings, "backup", "--without-keys", "--into", str(folder)) == 0
    assert commanded(settings, "drill", "--from", str(whole)) == 0
    assert commanded(settings, "retention", "run", "--dry-run") == 0
    assert commanded(settings, "audit", "export", "--to", str(tmp_path / "log")) == 0
    assert commanded(settings, "restore", "--replace", "--from", str(whole)) == 0
    [kept] = folder.glob("*.zip")
    found = details_of(settings)
    [made_at] = [details.pop("made_at") for action, details in found if action == "restore"]
    assert made_at > "2026"
    asked = {"to": str(whole), "kind": "whole", "with_keys": True}
    into = {"to": str(folder), "kind": "beside others", "with_keys": False}
    assert found == [
        (
            "keys create",
            {
                "name": "the RIS",
                "roles": ["integrator", "viewer"],
                "department": "ct",
                "expires": "never",
                "key": key,
            },
        ),
        ("keys revoke", {}),
        ("keys revoke", {"key": key, "name": "the RIS"}),
        ("backup", {**asked, "made": "b.zip", "n_studies": 2, "n_missing": 0}),
        ("backup", asked),
        ("backup", {**into, "made": kept.name, "n_studies": 2, "n_missing": 0}),
        ("restore drill", {"from": str(whole), "n_studies": 2, "n_read": 2}),
        ("retention run", {"dry_run": True}),
        ("audit export", {"after": 0, "to": str(tmp_path / "log"), "up_to": 8}),
        ("restore", {"from": str(whole), "n_replaced": 2}),
    ]


async def test_a_command_on_an_older_schema_is_on_record_there(
    tmp_path: Path, database_url: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = settings_for(tmp_path / "archive", database_url, migrate_at_start=False)
    settings.archive_dir.mkdir()
    schema.migrate(settings.resolved_database_url, 5, "0005")
    assert commanded(settings, "backup", "--to", str(tmp_path / "b.zip")) == 0
    assert commanded(settings, "migrate") == 0
    capsys.readouterr()
    assert commanded(settings, "audit", "verify") == 0
    assert "whole: 2 entries" in capsys.readouterr().out
