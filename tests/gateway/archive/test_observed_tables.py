"""Shadow answers, promotions and statistics: through migrations, backups and both databases."""

import zipfile
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, inspect, select
from sqlalchemy.orm import Session

from cxr_contracts import ModelIdentity
from cxr_gateway.archive import StudyFilter, open_archive, schema
from cxr_gateway.archive.promotions import PromotionLog, Slot
from cxr_gateway.archive.tables import Base, PromotionRow, ShadowAnswerRow, StudyStatisticsRow
from cxr_gateway.backup.backup import back_up
from cxr_gateway.backup.restore import restore
from cxr_gateway.core.image_numbers import ImageStatistics
from cxr_gateway.core.schemas import ModelRole, UsedModel
from cxr_gateway.core.settings import GatewaySettings
from support.archives import a_study
from support.databases import postgresql_database
from support.fake_gateway import SHA, settings_for

TABLES: tuple[type[Base], ...] = (ShadowAnswerRow, PromotionRow, StudyStatisticsRow)
OLD = ModelIdentity(name="old", version="1", sha256=SHA)
NEW = ModelIdentity(name="new", version="2", sha256="cd" * 32)


@pytest.fixture
def settings(tmp_path: Path, database_url: str | None) -> GatewaySettings:
    return settings_for(tmp_path / "archive", database_url, database_timeout_s=2)


@pytest.fixture
def other(tmp_path: Path, database_url: str | None) -> Iterator[GatewaySettings]:
    """An empty archive whose database is of the other kind."""
    if database_url is not None:
        yield settings_for(tmp_path / "other", None, database_timeout_s=2)
        return
    with postgresql_database() as url:
        yield settings_for(tmp_path / "other", url, database_timeout_s=2)


async def fill(settings: GatewaySettings) -> None:
    """A study with its statistics, a shadow's answer and failure, a promotion and its rollback."""
    async with open_archive(settings) as archive:
        ood = UsedModel(role=ModelRole.OOD, name="ood", version="1", sha256=SHA)
        study = a_study(b"radiograph").model_copy(update={"models": [ood]})
        await archive.in_thread(archive.files.write, study.id, "original.png", b"radiograph")
        await archive.add(study, [], None, None, ImageStatistics(100.5, 40.25, 0.125))
        await archive.query(lambda session: _observe(session, study.id))


def _observe(session: Session, study_id: str) -> None:
    for number, error in enumerate((None, "timeout")):
        session.add(
            ShadowAnswerRow(
                id=f"{number:026}",
                study_id=study_id,
                revision=1,
                recorded_at=datetime(2026, 11, 25, 8, 30, tzinfo=UTC),
                role="classifier",
                model_name="new",
                model_version="2",
                model_sha256=NEW.sha256,
                current_sha256=OLD.sha256,
                duration_ms=12.5,
                current_ms=None,
                error=error,
                detail=error,
                answer_json=None if error else '{"findings":[],"boxes":[]}',
                priority=None if error else "soon",
                current_priority="urgent",
                boxes=None if error else 2,
                current_boxes=1,
            )
        )
    add = partial(PromotionLog(session).add, role="classifier", made_by="tester")
    add(slot=Slot.SECOND, model=NEW, before=OLD)
    add(slot=Slot.FIRST, model=OLD, before=NEW, undoes=1)


async def rows_of(settings: GatewaySettings) -> dict[str, list[dict[str, Any]]]:
    def rows(session: Session) -> dict[str, list[dict[str, Any]]]:
        return {
            one.__tablename__: [
                {name: _in_utc(value) for name, value in row.items()}
                for row in session.execute(select(*one.__table__.columns)).mappings()
            ]
            for one in TABLES
        }

    async with open_archive(settings) as archive:
        return await archive.query(rows)


def _in_utc(value: Any) -> Any:
    if not isinstance(value, datetime):
        return value
    return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


async def test_a_backup_carries_them_into_the_other_kind_of_database(
    settings: GatewaySettings, other: GatewaySettings, tmp_path: Path
) -> None:
    await fill(settings)
    before = await rows_of(settings)
    assert [len(rows) for rows in before.values()] == [2, 2, 1]
    back_up(settings, tmp_path / "b.zip")
    with zipfile.ZipFile(tmp_path / "b.zip") as archived:
        assert {f"rows/{one.__tablename__}.jsonl" for one in TABLES} < set(archived.namelist())
    restore(other, tmp_path / "b.zip", replace=False)
    assert await rows_of(other) == before


async def test_the_way_down_removes_them_and_keeps_the_study_and_the_way_up_makes_them_empty(
    settings: GatewaySettings,
) -> None:
    await fill(settings)
    url = settings.resolved_database_url
    schema.migrate(url, 2, "0001")
    engine = create_engine(url)
    assert not {one.__tablename__ for one in TABLES} & set(inspect(engine).get_table_names())
    engine.dispose()
    schema.migrate(url, 2)
    assert [rows for rows in (await rows_of(settings)).values() if rows] == []
    async with open_archive(settings) as archive:
        everything = await archive.page(StudyFilter(), department=None, limit=9, after=None)
        assert everything.total == 1
