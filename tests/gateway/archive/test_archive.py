"""The archive's rows and files together, on SQLite and on PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import create_engine, text
from sqlalchemy.exc import OperationalError

from cxr_contracts import CamGrid, Finding, Region
from cxr_gateway.archive import (
    AlreadyArchived,
    Archive,
    Cursor,
    StoredStudy,
    StudyFilter,
    open_archive,
)
from cxr_gateway.archive.database import open_by_itself, open_engine
from cxr_gateway.core.ids import new_study_id
from cxr_gateway.core.schemas import (
    Box,
    ImageMetadata,
    ImageSource,
    OodResult,
    Priority,
    Study,
    StudyStatus,
    Timings,
    WorklistState,
)
from cxr_gateway.core.settings import GatewaySettings
from cxr_gateway.imaging import NO_PATIENT
from cxr_serving.errors import BadRequest, Conflict, NotFound, Unavailable
from support.archives import a_triage
from support.databases import give_schema
from support.fake_gateway import settings_for

A_BOX = Box(
    finding=Region.MASS,
    score=0.5,
    detector_score=0.5,
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
    *,
    score: float | None = None,
    received_at: datetime | None = None,
) -> Study:
    return Study(
        id=new_study_id(at_ms),
        status=status,
        received_at=received_at or datetime.now(UTC),
        file_name="a <b>name</b>.png",
        content_sha256=content.encode().hex().rjust(64, "0"),
        image=ImageMetadata(
            width=4, height=3, view=None, source=ImageSource.PNG, notes=[], stored=None
        ),
        quality=None,
        patient=NO_PATIENT,
        ood=OodResult(accepted=True, score=0.9, threshold=0.5, reason=None),
        top_findings=[],
        findings=[],
        boxes=[],
        rescoring=None,
        heatmaps=[],
        triage=a_triage(priority, score) if priority else None,
        models=[],
        calibrated=None,
        timings_ms=Timings(
            decode=1, ood=None, classifier=None, detector=None, archive=None, total=1
        ),
        problems=[],
    )


@pytest.fixture
def settings(tmp_path: Path, database_url: str | None) -> GatewaySettings:
    return settings_for(tmp_path / "archive", database_url, database_timeout_s=0.5)


@pytest.fixture
async def archive(settings: GatewaySettings) -> AsyncIterator[Archive]:
    give_schema(settings)
    async with open_archive(settings) as opened:
        yield opened


async def add(archive: Archive, study: Study, key: str | None = None) -> StoredStudy:
    await archive.in_thread(archive.files.write, study.id, "original.png", b"radiograph")
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
        assert stored.told_json == study.model_dump_json()
        assert stored.cams == CAMS
        assert stored.revision == 1
        assert second.files.path(study.id, stored.original).read_bytes() == b"radiograph"


async def test_the_release_before_can_read_a_result_whose_issuer_is_known(archive: Archive) -> None:
    known = a_study()
    patient = known.patient.model_copy(update={"issuer_of_patient_id": "NORTH"})
    stored = await add(archive, known.model_copy(update={"patient": patient}))
    # It refuses a field that it does not know.
    assert "issuer" not in stored.result_json
    assert (await archive.get(known.id, None)).study.patient.issuer_of_patient_id == "NORTH"


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


async def test_of_two_new_analyses_of_a_study_the_second_is_told(archive: Archive) -> None:
    before = await add(archive, a_study(status=StudyStatus.FAILED, priority=None))
    read = before.study.model_copy(update={"status": StudyStatus.COMPLETE})
    after = await archive.replace(before, read, [], None)
    assert (after.revision, after.status) == (2, StudyStatus.COMPLETE)
    assert (await archive.get(before.id, None)).study == read
    with pytest.raises(AlreadyArchived):
        await archive.replace(before, read, [], None)


async def test_a_new_analysis_removes_the_images_of_the_one_before(archive: Archive) -> None:
    before = await add(archive, a_study(status=StudyStatus.PARTIAL))
    for name in ("image.png", before.overlay, before.heatmap(Finding.MASS)):
        archive.files.write(before.id, name, b"png")
    await archive.replace(before, before.study, [], None)
    folder = archive.files.path(before.id, "image.png").parent
    assert sorted(path.name for path in folder.iterdir()) == ["image.png", "original.png"]


NOW = datetime(2026, 5, 4, 12, 0, tzinfo=UTC)


async def listed(
    archive: Archive,
    limit: int,
    asked: StudyFilter | None = None,
    *,
    now: datetime = NOW,
    **more: Any,
) -> list[str]:
    """The ids of all pages; each page after the first is asked for an hour later."""
    seen: list[str] = []
    cursor: Cursor | None = None
    while True:
        page = await archive.page(
            asked or StudyFilter(),
            **({"department": None} | more),
            limit=limit,
            after=cursor,
            now=now,
        )
        seen += [item.id for item in page.items]
        if page.next_cursor is None:
            return seen
        cursor, now = Cursor.parse(page.next_cursor), now + timedelta(hours=1)


async def test_the_list_is_ordered_by_urgency_then_score_then_newest(archive: Archive) -> None:
    wanted = [
        (StudyStatus.COMPLETE, Priority.URGENT, 0.9, 4),
        (StudyStatus.COMPLETE, Priority.URGENT, 0.5, 6),
        (StudyStatus.COMPLETE, Priority.URGENT, 0.5, 5),
        # Without a score, for a service was missing: behind those that have one.
        (StudyStatus.PARTIAL, Priority.URGENT, None, 8),
        (StudyStatus.FAILED, None, None, 9),
        (StudyStatus.COMPLETE, Priority.SOON, 0.2, 1),
        (StudyStatus.COMPLETE, Priority.SOON, 0.1, 7),
        (StudyStatus.COMPLETE, Priority.ROUTINE, 0.0, 3),
        (StudyStatus.REJECTED, None, None, 2),
    ]
    studies = [
        a_study(str(at), status, priority, at, score=score, received_at=NOW)
        for status, priority, score, at in wanted
    ]
    for study in sorted(studies, key=lambda study: study.content_sha256):
        await add(archive, study)
    for limit in (1, 2, 4, 9, 50):
        assert await listed(archive, limit) == [study.id for study in studies]


async def test_what_nobody_opened_for_too_long_comes_first_the_oldest_before_the_others(
    archive: Archive,
) -> None:
    def received(minutes_ago: float, priority: Priority | None, status: str = "complete") -> Study:
        moment = NOW - timedelta(minutes=minutes_ago)
        at_ms = int(moment.timestamp() * 1000)
        return a_study(f"{minutes_ago}", StudyStatus(status), priority, at_ms, received_at=moment)

    old = received(600, Priority.ROUTINE)
    older_urgent = received(90, Priority.URGENT)
    failed = received(61, None, "failed")
    opened = received(500, Priority.ROUTINE)
    rejected = received(700, None, "rejected")
    urgent, fresh = received(1, Priority.URGENT), received(59, Priority.ROUTINE)
    done = received(800, Priority.URGENT)
    for study in (old, older_urgent, failed, opened, rejected, urgent, fresh, done):
        await add(archive, study)
    await archive.set_worklist(opened.id, None, WorklistState.OPENED, by="ada")
    await archive.set_worklist(done.id, None, WorklistState.DONE, by="ada")
    expected = [
        one.id for one in (old, older_urgent, failed, urgent, fresh, opened, rejected, done)
    ]
    # However many there are on a page, and however long it takes to turn it: `fresh` grows
    # overdue while the pages are read, and is neither told twice nor left out.
    for limit in (1, 2, 3, 4, 50):
        assert await listed(archive, limit) == expected
    asked = StudyFilter(priorities=[Priority.ROUTINE])
    narrowed = await listed(archive, 2, asked)
    assert narrowed == [old.id, fresh.id, opened.id]


async def test_no_study_waits_for_ever_where_there_is_no_cap(settings: GatewaySettings) -> None:
    without = settings.model_copy(update={"max_wait_minutes": 0})
    async with open_archive(without) as archive:
        moment = NOW - timedelta(days=3)
        old = a_study("1", priority=Priority.ROUTINE, at_ms=1, received_at=moment)
        new = a_study("2", priority=Priority.URGENT, at_ms=2, received_at=NOW)
        for study in (old, new):
            await add(archive, study)
        assert await listed(archive, 1) == [new.id, old.id]


async def test_a_state_is_kept_with_who_set_it_first_and_survives_a_new_analysis(
    archive: Archive,
) -> None:
    before = await add(archive, a_study(status=StudyStatus.PARTIAL, priority=Priority.SOON))
    assert (await archive.worklist(before.id, None)).model_dump() == {
        "state": "new",
        "by": None,
        "at": None,
        "to": None,
    }
    done = await archive.set_worklist(before.id, None, WorklistState.DONE, by="ada")
    assert (done.state, done.by) == (WorklistState.DONE, "ada")
    assert done.at is not None
    assert abs(done.at - datetime.now(UTC)) < timedelta(minutes=1)
    assert await archive.set_worklist(before.id, None, WorklistState.DONE, by="bob") == done
    urgent = before.study.model_copy(
        update={"status": StudyStatus.COMPLETE, "triage": a_triage(Priority.URGENT, 0.7)}
    )
    await archive.replace(before, urgent, [], None)
    other = await add(archive, a_study("2", priority=Priority.ROUTINE))
    assert await listed(archive, 9, now=datetime.now(UTC)) == [other.id, before.id]
    again = await archive.set_worklist(before.id, None, WorklistState.NEW, by="bob")
    assert (again.state, again.by) == (WorklistState.NEW, "bob")
    assert await listed(archive, 9, now=datetime.now(UTC)) == [before.id, other.id]


@pytest.mark.parametrize("study_id", ["0" * 26, "../../etc/passwd", ""])
async def test_an_unknown_study_has_no_state(archive: Archive, study_id: str) -> None:
    with pytest.raises(NotFound):
        await archive.worklist(study_id, None)
    with pytest.raises(NotFound):
        await archive.set_worklist(study_id, None, WorklistState.DONE, by="ada")


async def test_a_state_is_a_departments_own(archive: Archive) -> None:
    study = a_study()
    await archive.in_thread(archive.files.write, study.id, "original.png", b"radiograph")
    await archive.add(study, CAMS, None, "radiology")
    with pytest.raises(NotFound):
        await archive.set_worklist(study.id, "surgery", WorklistState.DONE, by="ada")
    found = await archive.set_worklist(study.id, "radiology", WorklistState.DONE, by="ada")
    assert found.state is WorklistState.DONE


async def test_the_list_can_be_narrowed_by_status_and_priority(archive: Archive) -> None:
    urgent = await add(archive, a_study("1", priority=Priority.URGENT))
    failed = await add(archive, a_study("2", StudyStatus.FAILED, None))
    await add(archive, a_study("3"))
    urgent_or_soon = StudyFilter(priorities=[Priority.URGENT, Priority.SOON])
    page = await archive.page(urgent_or_soon, limit=9, after=None, department=None)
    assert [item.id for item in page.items] == [urgent.id]
    asked = StudyFilter(statuses=[StudyStatus.FAILED])
    page = await archive.page(asked, limit=9, after=None, department=None)
    assert [item.id for item in page.items] == [failed.id]
    assert page.total == 1


@pytest.mark.parametrize(
    "text_",
    [
        "",
        "0",
        "0." + "0" * 26,  # as the release before made them
        "1_r_0_0.5_" + "0" * 26,
        "1_r_0_0.500000_" + "0" * 25,
        "1_x_0_0.500000_" + "0" * 26,
        "99999999999999_r_0_0.500000_" + "0" * 26,
        "1_r_0_0.500000_' OR 1=1 --",
    ],
)
def test_a_cursor_that_is_none_of_ours_is_refused(text_: str) -> None:
    with pytest.raises(BadRequest):
        Cursor.parse(text_)


@pytest.mark.parametrize("score", [-1.0, 0.0, 0.123456, 1.0])
def test_a_cursor_is_read_as_it_was_written(score: float) -> None:
    for overdue in (True, False):
        cursor = Cursor(1_777_000_000_123, overdue, 7, score, new_study_id())
        assert Cursor.parse(str(cursor)) == cursor


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
