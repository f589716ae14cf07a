"""The audit log through backup and restore: never wound back, and what was deleted stays so."""

import logging
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Engine, create_engine

from archives import commanded, content_of, filled
from cxr_gateway.archive import open_files
from cxr_gateway.archive.tables import open_engine
from cxr_gateway.audit import by_the_machine, hash_chain as chain
from cxr_gateway.backup.backup import back_up
from cxr_gateway.backup.restore import restore
from cxr_gateway.core.settings import GatewaySettings
from cxr_gateway.retention.removal import EXPIRY_ACTION, remove_study
from databases import database_url, postgresql_database
from gateway_stand import settings_for

__all__ = ["database_url"]


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
        found = [line.action for line in chain.lines(connection)]
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
    assert remove_study(engine, open_files(settings), study, event)
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
    note(settings, "one", "two")
    back_up(settings, tmp_path / "b.zip")
    note(settings, "three")
    engine = open_engine(settings.resolved_database_url, 5)
    with engine.begin() as connection:
        chain.remove_oldest(connection, "9", at_most=2)
    engine.dispose()
    restore(settings, tmp_path / "b.zip", replace=True)
    assert actions(settings) == ["three", "restore"]


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
    [warning] = [record for record in caplog.records if "audit log" in record.message]
    assert str(vars(warning)["replaced_up_to"]).startswith("1:")


async def test_a_study_that_is_deleted_while_a_backup_copies_is_not_restored(
    tmp_path: Path,
) -> None:
    settings = settings_for(tmp_path / "archive")
    studies = await filled(settings, 2)
    kept, gone = studies
    # The first film is a pipe, at which the copy stands still until something is written to it.
    film = open_files(settings).path(kept, "original.png")
    film.unlink()
    os.mkfifo(film)
    with ThreadPoolExecutor(1) as thread:
        copying = thread.submit(back_up, settings, tmp_path / "b.zip")
        with film.open("wb") as pipe:
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
