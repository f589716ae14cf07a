"""The feed of changes: nothing is missed by whoever reads while others commit."""

import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import Engine, text
from sqlalchemy.orm import Session

from cxr_gateway.archive import open_archive, schema
from cxr_gateway.archive.changes import ChangeKind, ChangeRecord, Position, changes_after, note
from cxr_gateway.archive.database import open_engine
from cxr_gateway.archive.removal import remove_rows
from cxr_gateway.core.errors import CursorGone
from cxr_gateway.core.schemas import WorklistState
from cxr_gateway.core.settings import GatewaySettings
from cxr_serving.errors import BadRequest
from support.archives import filled
from support.fake_gateway import settings_for

WRITERS, ROUNDS = 6, 12


@pytest.fixture
def settings(tmp_path: Path, database_url: str | None) -> GatewaySettings:
    return settings_for(tmp_path / "archive", database_url, database_timeout_s=30)


@pytest.fixture
def engine(settings: GatewaySettings) -> Iterator[Engine]:
    settings.archive_dir.mkdir(exist_ok=True)
    opened = open_engine(settings.resolved_database_url, 30)
    yield opened
    opened.dispose()


def read(
    engine: Engine, after: Position | None = None, limit: int = 1000
) -> tuple[list[ChangeRecord], Position, bool]:
    with Session(engine) as session:
        return changes_after(session, after, limit, None)


def change(engine: Engine, study_id: str, kind: ChangeKind = ChangeKind.WORKLIST) -> None:
    with Session(engine) as session, session.begin():
        note(session, study_id, kind)


async def test_a_change_that_commits_late_is_not_missed(
    settings: GatewaySettings, engine: Engine
) -> None:
    first, second = sorted(await filled(settings, 2))
    _, start, _ = read(engine)
    with ThreadPoolExecutor() as pool:
        with Session(engine) as slow, slow.begin():
            note(slow, first, ChangeKind.REVIEWED)
            quick = pool.submit(change, engine, second)
            time.sleep(0.3)
            # Its number is higher, so it waits for the one that was drawn before.
            assert not quick.done()
            assert read(engine, start) == ([], start, False)
        quick.result(30)
    found, reached, more = read(engine, start)
    assert [(one.study_id, one.kind) for one in found] == [
        (first, ChangeKind.REVIEWED),
        (second, ChangeKind.WORKLIST),
    ]
    assert [one.seq for one in found] == [start.seq + 1, start.seq + 2]
    assert (reached.seq, more) == (start.seq + 2, False)


async def test_who_reads_while_many_write_gets_every_change_once_and_in_order(
    settings: GatewaySettings, engine: Engine
) -> None:
    studies = sorted(await filled(settings, WRITERS))
    _, start, _ = read(engine)
    over = threading.Event()
    seen: list[int] = []

    def write(study_id: str) -> None:
        for _ in range(ROUNDS):
            change(engine, study_id)

    def follow() -> None:
        at = start
        while True:
            last = over.is_set()
            found, at, more = read(engine, at, limit=7)
            seen.extend(one.seq for one in found)
            if last and not more:
                return

    with ThreadPoolExecutor(WRITERS + 1) as pool:
        following = pool.submit(follow)
        for done in [pool.submit(write, one) for one in studies]:
            done.result(60)
        over.set()
        following.result(60)
    assert seen == [start.seq + 1 + number for number in range(WRITERS * ROUNDS)]


async def test_a_transaction_that_is_rolled_back_leaves_no_change(
    settings: GatewaySettings, engine: Engine
) -> None:
    [study] = await filled(settings, 1)
    _, start, _ = read(engine)
    with Session(engine) as session:
        note(session, study, ChangeKind.REVIEWED)
        session.rollback()
    assert read(engine, start) == ([], start, False)


async def test_what_was_there_before_the_feed_begins_it(
    settings: GatewaySettings, engine: Engine
) -> None:
    studies = sorted(await filled(settings, 3))
    _, before, _ = read(engine)
    url = settings.resolved_database_url
    schema.migrate(url, 30, "0013")
    schema.migrate(url, 30)
    found, reached, _ = read(engine)
    assert [one.study_id for one in found] == studies
    assert {one.kind for one in found} == {ChangeKind.CREATED}
    assert found[0].at.tzinfo is not None
    # It is another feed, and says so.
    assert reached.feed != before.feed
    with pytest.raises(CursorGone):
        read(engine, before)
    with pytest.raises(CursorGone):
        read(engine, Position(reached.feed, reached.seq + 1))


async def test_a_deletion_is_the_only_change_left_of_a_study(
    settings: GatewaySettings, engine: Engine
) -> None:
    gone, stays = sorted(await filled(settings, 2))
    async with open_archive(settings) as archive:
        await archive.set_worklist(gone, None, WorklistState.DONE, "reader")
        await archive.set_worklist(stays, None, WorklistState.OPENED, "reader")
        # Said twice, it is one change.
        await archive.set_worklist(stays, None, WorklistState.OPENED, "reader")
    with engine.begin() as connection:
        assert remove_rows(connection, gone)
    found = [(one.study_id, one.kind, one.worklist_state, one.revision) for one in read(engine)[0]]
    assert found == [
        (stays, ChangeKind.CREATED, "opened", 1),
        (stays, ChangeKind.WORKLIST, "opened", 1),
        (gone, ChangeKind.DELETED, None, None),
    ]


@pytest.mark.parametrize("given", ["", "x", "0" * 17, "12345678-", "12345678-xyz", "1-1", "é-1"])
def test_only_a_cursor_is_a_cursor(given: str) -> None:
    with pytest.raises(BadRequest):
        Position.parse(given)
    assert str(Position.parse("0123abcd-2f")) == "0123abcd-2f"


async def test_the_numbers_are_kept_apart_by_one_row(
    settings: GatewaySettings, engine: Engine
) -> None:
    await filled(settings, 1)
    with engine.connect() as connection:
        assert connection.scalar(text("SELECT count(*) FROM change_feed")) == 1
