"""Studies deleted for good: for their age or on request, once, on record, and whole."""

import hashlib
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from sqlalchemy import Engine, select, update
from sqlalchemy.exc import ProgrammingError

from cxr_gateway.archive import Archive, open_archive, open_files
from cxr_gateway.archive import audit_chain as chain
from cxr_gateway.archive.database import open_engine
from cxr_gateway.archive.removal import (
    EXPIRY_ACTION,
    Removals,
    remove_rows,
)
from cxr_gateway.archive.tables import AuditRow, KeyRow, StudyRow
from cxr_gateway.audit import by_the_machine
from cxr_gateway.core.ids import made_at, new_study_id
from cxr_gateway.core.settings import GatewaySettings
from cxr_gateway.retention.daily import Cleaned, clean
from cxr_serving.errors import Unavailable
from support.archives import commanded, content_of, filled, put
from support.audit_logs import aged
from support.fake_gateway import settings_for
from support.s3_server import S3Server, free_port

RUNNING = threading.Event()


@pytest.fixture
def settings(tmp_path: Path, database_url: str | None) -> GatewaySettings:
    return settings_for(tmp_path / "archive", database_url, retention_days=30)


@pytest.fixture
def engine(settings: GatewaySettings) -> Iterator[Engine]:
    opened = open_engine(settings.resolved_database_url, 5)
    yield opened
    opened.dispose()


def age(engine: Engine, study_ids: list[str], days: float) -> None:
    """Let the studies have been received so long ago."""
    then = datetime.now(UTC) - timedelta(days=days)
    with engine.begin() as connection:
        changed = update(StudyRow).where(StudyRow.id.in_(study_ids))
        connection.execute(changed.values(received_at=then))


def removals(engine: Engine) -> list[tuple[str, str, str | None]]:
    with engine.connect() as connection:
        chain.verify(connection)
        rows = connection.execute(select(AuditRow.action, AuditRow.subject, AuditRow.study_id))
        return [(row.action, row.subject, row.study_id) for row in rows]


async def test_studies_beyond_their_time_go_with_files_and_keys_and_a_line_each(
    settings: GatewaySettings, engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    studies = await filled(settings, 4)
    old, young = sorted(studies)[:2], sorted(studies)[2:]
    age(engine, old, 30.1)
    age(engine, young, 29.9)
    assert commanded(settings, "retention", "run", "--dry-run") == 0
    assert sorted(capsys.readouterr().out.splitlines()) == sorted(
        [*old, "2 studies would be deleted."]
    )
    assert await content_of(settings) == studies
    assert clean(Removals(engine, open_files(settings)), settings, RUNNING) == Cleaned(studies=2)
    assert await content_of(settings) == {study: studies[study] for study in young}
    assert {path.name for path in settings.archive_dir.glob("studies/*/*")} == set(young)
    with engine.connect() as connection:
        assert set(connection.scalars(select(KeyRow.study_id))) == set(young)
    expiries = [line for line in removals(engine) if line[0] == EXPIRY_ACTION]
    assert expiries == [(EXPIRY_ACTION, "retention", study) for study in old]
    assert clean(Removals(engine, open_files(settings)), settings, RUNNING) == Cleaned()


async def test_the_command_does_it_and_is_on_record(
    settings: GatewaySettings, engine: Engine, capsys: pytest.CaptureFixture[str]
) -> None:
    [study] = await filled(settings, 1)
    age(engine, [study], 31)
    assert commanded(settings, "retention", "run") == 0
    assert capsys.readouterr().out.startswith("1 studies and 0 audit entries were deleted")
    assert removals(engine) == [
        (EXPIRY_ACTION, "retention", study),
        ("retention run", "local", None),
    ]


async def test_without_a_time_everything_is_kept(settings: GatewaySettings, engine: Engine) -> None:
    studies = await filled(settings, 1)
    age(engine, list(studies), 36500)
    kept = settings.model_copy(update={"retention_days": None})
    assert clean(Removals(engine, open_files(kept)), kept, RUNNING) == Cleaned()
    assert await content_of(kept) == studies


async def test_of_several_that_clean_at_once_each_study_goes_once(
    settings: GatewaySettings, engine: Engine
) -> None:
    studies = await filled(settings, 6)
    age(engine, list(studies), 31)
    done: list[Cleaned] = []

    def work() -> None:
        done.append(clean(Removals(engine, open_files(settings)), settings, RUNNING))

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(cleaned.studies for cleaned in done) == 6
    assert sorted(line[2] or "" for line in removals(engine)) == sorted(studies)
    assert list(settings.archive_dir.glob("studies/*/*")) == []


async def test_what_a_crash_left_after_the_commit_goes_with_the_next_cleaning(
    tmp_path: Path,
) -> None:
    settings = settings_for(tmp_path / "archive")
    async with open_archive(settings) as archive:
        engine, files = archive.engine, archive.files
        kept, gone = await put(archive, b"kept"), await _old_study(archive, b"gone")
        arriving = new_study_id()
        files.write(arriving, "original.png", b"its row is written next")
        with engine.begin() as connection:
            assert remove_rows(connection, gone)
        assert files.names(gone) != []
        assert Removals(engine, files).leftovers() == 1
        assert files.names(gone) == []
        assert set(files.study_ids()) == {kept.id, arriving}


async def _old_study(archive: Archive, content: bytes) -> str:
    """A study whose id was made two hours ago."""
    stored = await put(archive, content)
    then = datetime.now(UTC) - timedelta(hours=2)
    old = new_study_id(int(then.timestamp() * 1000))
    assert abs(made_at(old) - then) < timedelta(milliseconds=2)
    with archive.engine.begin() as connection:
        connection.execute(update(StudyRow).where(StudyRow.id == stored.id).values(id=old))
    archive.files.write(old, stored.original, content)
    archive.files.remove_study(stored.id)
    return old


async def test_a_removal_that_cannot_be_put_on_record_does_not_take_place(
    settings: GatewaySettings, engine: Engine
) -> None:
    studies = await filled(settings, 1)
    [study] = studies
    event = by_the_machine("x" * 10, study_id=study)
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE audit_log RENAME TO elsewhere")
    with pytest.raises((Unavailable, ProgrammingError)):
        Removals(engine, open_files(settings)).study(study, event)
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE elsewhere RENAME TO audit_log")
    assert await content_of(settings) == studies


async def test_old_lines_of_the_audit_log_go_by_a_time_of_their_own(
    settings: GatewaySettings, engine: Engine
) -> None:
    await filled(settings, 1)
    aged(engine, 120, *("early" for _ in range(3)))
    aged(engine, 100, "later")
    removals = Removals(engine, open_files(settings))

    def cleaned(days: int) -> int:
        kept = settings.model_copy(update={"audit_retention_days": days})
        return clean(removals, kept, RUNNING).audit_entries

    assert cleaned(130) == 0
    assert cleaned(110) == 3
    # Whatever the setting says, the database keeps what is younger than 90 days.
    aged(engine, 80, "young")
    assert cleaned(1) == 1
    with engine.connect() as connection:
        actions = [entry.action for entry in chain.entries(connection)]
        assert chain.verify(connection).count == 3
    assert actions == [chain.PRUNE_ACTION, "young", chain.PRUNE_ACTION]


async def test_files_in_a_bucket_go_too(tmp_path: Path) -> None:
    server = S3Server(free_port())
    server.start()
    try:
        settings = settings_for(tmp_path / "archive", **server.settings(), retention_days=30)
        studies = await filled(settings, 2)
        engine = open_engine(settings.resolved_database_url, 5)
        age(engine, [min(studies)], 31)
        assert clean(Removals(engine, open_files(settings)), settings, RUNNING) == Cleaned(
            studies=1
        )
        engine.dispose()
        assert {key.split("/")[1] for key in server.all_keys()} == {max(studies)}
    finally:
        server.stop()


async def test_nothing_of_a_deleted_row_stays_in_sqlites_files(tmp_path: Path) -> None:
    settings = settings_for(tmp_path / "archive")
    async with open_archive(settings) as archive:
        study = (await put(archive, b"radiograph", "key")).id
    engine = open_engine(settings.resolved_database_url, 5)
    files = open_files(settings)
    # The id stays, as what keeps the study deleted when a backup is restored.
    content = hashlib.sha256(b"radiograph").hexdigest().encode()
    assert any(content in stored for stored in _database_files(settings))
    assert Removals(engine, files).study(study, by_the_machine(EXPIRY_ACTION))
    assert not any(content in stored for stored in _database_files(settings))
    engine.dispose()


def _database_files(settings: GatewaySettings) -> list[bytes]:
    return [path.read_bytes() for path in settings.archive_dir.glob("archive.sqlite3*")]
