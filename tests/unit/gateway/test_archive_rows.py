"""The archive's rows and files together, on SQLite and on PostgreSQL."""

import asyncio
import json
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from cxr_contracts import CamGrid, Finding, Region
from cxr_gateway.archive import (
    AlreadyArchived,
    Archive,
    Cursor,
    StoredStudy,
    new_study_id,
    open_archive,
)
from cxr_gateway.archive.tables import open_by_itself, open_engine
from cxr_gateway.core.schemas import (
    Box,
    Gate,
    ImageMetadata,
    ImageSource,
    Priority,
    Study,
    StudyStatus,
    Timings,
    Triage,
)
from cxr_gateway.core.settings import GatewaySettings
from cxr_gateway.imaging import NO_PATIENT
from cxr_serving.errors import BadRequest, Conflict, NotFound, Unavailable
from gateway_stand import settings_for

A_BOX = Box(
    finding=Region.MASS,
    rescored_score=None,
    score=0.5,
    classifier_probability=0.25,
    x_min=0,
    y_min=0,
    x_max=1,
    y_max=2,
)
CAMS = [CamGrid(finding=Finding.MASS, values=[[0.25, -1.5]])]


def a_study(
    content: str = "a",
    status: StudyStatus = StudyStatus.COMPLETE,
    priority: Priority | None = Priority.ROUTINE,
    at_ms: int | None = None,
) -> Study:
    return Study(
        id=new_study_id(at_ms),
        status=status,
        received_at=datetime.now(UTC),
        file_name="a <b>name</b>.png",
        content_sha256=content.encode().hex().rjust(64, "0"),
        image=ImageMetadata(width=4, height=3, view=None, source=ImageSource.PNG),
        patient=NO_PATIENT,
        gate=Gate(accepted=True, score=0.9, threshold=0.5, reason=None),
        top_findings=[],
        findings=[],
        boxes=[],
        rescoring=None,
        heatmaps=[],
        triage=Triage(priority=priority, reason="Because.") if priority else None,
        models=[],
        timings_ms=Timings(
            decode=1, gate=None, classifier=None, detector=None, archive=None, total=1
        ),
        problems=[],
    )


@pytest.fixture
def settings(tmp_path: Path, database_url: str | None) -> GatewaySettings:
    return settings_for(tmp_path / "archive", database_url, database_timeout_s=0.5)


@pytest.fixture
async def archive(settings: GatewaySettings) -> AsyncIterator[Archive]:
    async with open_archive(settings) as opened:
        yield opened


async def add(archive: Archive, study: Study, key: str | None = None) -> StoredStudy:
    await archive.in_thread(archive.files.write, study.id, "original.png", b"film")
    return await archive.add(study, CAMS, key, None)


async def test_a_study_is_found_as_it_was_put_in_also_after_a_restart(
    settings: GatewaySettings,
) -> None:
    study = a_study()
    async with open_archive(settings) as first:
        await add(first, study)
    async with open_archive(settings) as second:
        stored = await second.get(study.id, None)
        assert stored.study == study
        assert stored.result_json == study.model_dump_json()
        assert stored.cams == CAMS
        assert stored.revision == 1
        assert second.files.path(study.id, stored.original).read_bytes() == b"film"


@pytest.mark.parametrize("name", ["film.png", 'a "rescoring": null, é.png'])
async def test_a_study_from_before_boxes_were_joined_is_answered_in_todays_form(
    archive: Archive, settings: GatewaySettings, name: str
) -> None:
    study = a_study().model_copy(update={"boxes": [A_BOX], "file_name": name})
    stored = await add(archive, study)
    before = json.loads(stored.result_json)
    del before["rescoring"], before["boxes"][0]["rescored_score"]
    row = {"id": study.id, "result": json.dumps(before, ensure_ascii=False)}
    engine = create_engine(settings.resolved_database_url)
    with engine.begin() as rows:
        rows.execute(text("UPDATE studies SET result_json = :result WHERE id = :id"), row)
    engine.dispose()
    found = await archive.get(study.id, None)
    assert found.study == study
    assert json.loads(found.result_json) == json.loads(study.model_dump_json())


@pytest.mark.parametrize("study_id", ["0" * 26, "../../etc/passwd", "", "a\x00b", "é" * 26])
async def test_an_unknown_id_is_not_found(archive: Archive, study_id: str) -> None:
    with pytest.raises(NotFound):
        await archive.get(study_id, None)


async def test_the_same_content_cannot_be_archived_twice(archive: Archive) -> None:
    first = await add(archive, a_study("same"))
    with pytest.raises(AlreadyArchived):
        await add(archive, a_study("same"))
    assert await archive.look_up(first.content_sha256, None, None) == first


async def test_of_concurrent_studies_of_one_content_one_is_archived(archive: Archive) -> None:
    results = await asyncio.gather(
        *(add(archive, a_study("same")) for _ in range(6)), return_exceptions=True
    )
    assert sum(isinstance(result, StoredStudy) for result in results) == 1
    assert sum(isinstance(result, AlreadyArchived) for result in results) == 5


async def test_a_key_belongs_to_one_content(archive: Archive) -> None:
    stored = await add(archive, a_study("one"), "key")
    assert await archive.look_up(stored.content_sha256, "key", None) == stored
    other = a_study("two")
    with pytest.raises(Conflict):
        await archive.look_up(other.content_sha256, "key", None)
    with pytest.raises(Conflict):
        await add(archive, other, "key")
    with pytest.raises(NotFound):  # nothing of the refused study is there
        await archive.get(other.id, None)
    await archive.remember_key("second-key", stored)
    await archive.remember_key("second-key", stored)
    with pytest.raises(Conflict):
        await archive.look_up(other.content_sha256, "second-key", None)


async def test_of_two_new_readings_of_a_study_the_second_is_told(archive: Archive) -> None:
    before = await add(archive, a_study(status=StudyStatus.FAILED, priority=None))
    read = before.study.model_copy(update={"status": StudyStatus.COMPLETE})
    after = await archive.replace(before, read, [], None)
    assert (after.revision, after.status) == (2, StudyStatus.COMPLETE)
    assert (await archive.get(before.id, None)).study == read
    with pytest.raises(AlreadyArchived):
        await archive.replace(before, read, [], None)


async def test_a_new_reading_removes_the_pictures_of_the_one_before(archive: Archive) -> None:
    before = await add(archive, a_study(status=StudyStatus.PARTIAL))
    for name in ("image.png", before.overlay, before.heatmap(Finding.MASS)):
        archive.files.write(before.id, name, b"png")
    await archive.replace(before, before.study, [], None)
    folder = archive.files.path(before.id, "image.png").parent
    assert sorted(path.name for path in folder.iterdir()) == ["image.png", "original.png"]


async def test_the_list_is_ordered_by_urgency_then_newest_and_pages_through_all(
    archive: Archive,
) -> None:
    wanted = [
        (StudyStatus.COMPLETE, Priority.URGENT, 5),
        (StudyStatus.COMPLETE, Priority.URGENT, 4),
        (StudyStatus.FAILED, None, 9),
        (StudyStatus.PARTIAL, Priority.SOON, 8),
        (StudyStatus.COMPLETE, Priority.SOON, 1),
        (StudyStatus.COMPLETE, Priority.ROUTINE, 7),
        (StudyStatus.REJECTED, None, 6),
    ]
    studies = [a_study(str(at), status, priority, at) for status, priority, at in wanted]
    for study in sorted(studies, key=lambda study: study.content_sha256):
        await add(archive, study)
    seen: list[str] = []
    cursor: Cursor | None = None
    for _ in range(4):
        page = await archive.page(
            statuses=[], priorities=[], limit=2, after=cursor, department=None
        )
        assert page.total == 7
        seen += [item.id for item in page.items]
        cursor = Cursor.parse(page.next_cursor) if page.next_cursor else None
    assert cursor is None
    assert seen == [study.id for study in studies]


async def test_the_list_can_be_narrowed_by_status_and_priority(archive: Archive) -> None:
    urgent = await add(archive, a_study("1", priority=Priority.URGENT))
    failed = await add(archive, a_study("2", StudyStatus.FAILED, None))
    await add(archive, a_study("3"))
    page = await archive.page(
        statuses=[],
        priorities=[Priority.URGENT, Priority.SOON],
        limit=9,
        after=None,
        department=None,
    )
    assert [item.id for item in page.items] == [urgent.id]
    page = await archive.page(
        statuses=[StudyStatus.FAILED], priorities=[], limit=9, after=None, department=None
    )
    assert [item.id for item in page.items] == [failed.id]
    assert page.total == 1


@pytest.mark.parametrize("text_", ["", "0", "9." + "0" * 26, "0." + "0" * 25, "0.' OR 1=1 --"])
def test_a_cursor_that_is_none_of_ours_is_refused(text_: str) -> None:
    with pytest.raises(BadRequest):
        Cursor.parse(text_)


async def test_a_start_sweeps_what_a_kill_left(settings: GatewaySettings) -> None:
    async with open_archive(settings) as first:
        stored = await add(first, a_study())
        orphan = new_study_id()
        first.files.write(orphan, "original.png", b"no row")
        first.files.write(stored.id, "overlay-7.png", b"of a reading that was never committed")
        (settings.archive_dir / "incoming/half.part").write_bytes(b"half")
    async with open_archive(settings) as second:
        assert second.files.study_ids() == [stored.id]
        assert [path.name for path in second.files.path(stored.id, "x").parent.iterdir()] == [
            "original.png"
        ]
        assert list((settings.archive_dir / "incoming").iterdir()) == []


async def test_a_second_gateway_on_the_folder_sweeps_nothing(settings: GatewaySettings) -> None:
    async with open_archive(settings) as first:
        with first.files.begin() as alive:
            alive.write(b"being received")
            async with open_archive(settings):
                assert alive.path.exists()


async def test_a_locked_database_is_a_503_after_the_timeout(
    archive: Archive, settings: GatewaySettings
) -> None:
    stored = await add(archive, a_study("1"))
    engine = create_engine(settings.resolved_database_url)
    with engine.connect() as holder:
        if engine.dialect.name == "sqlite":
            holder.exec_driver_sql("BEGIN EXCLUSIVE")
        else:
            holder.execute(text("LOCK TABLE studies IN ACCESS EXCLUSIVE MODE"))
        started = asyncio.get_running_loop().time()
        with pytest.raises(Unavailable, match="locked or not reachable"):
            await add(archive, a_study("2"))
        assert asyncio.get_running_loop().time() - started < 5
        holder.rollback()
    engine.dispose()
    assert await archive.get(stored.id, None) == stored
    await add(archive, a_study("3"))


def test_an_error_of_the_database_names_no_values(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'any.sqlite3'}"
    for engine in (open_engine(url, 1), open_by_itself(url, "BEGIN")):
        with pytest.raises(OperationalError) as failed, engine.connect() as connection:
            connection.execute(text("INSERT INTO nothing VALUES (:name)"), {"name": "Marker"})
        assert "Marker" not in str(failed.value)
        engine.dispose()
