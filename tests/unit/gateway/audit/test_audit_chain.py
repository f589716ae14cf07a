"""The chain of the audit log, on SQLite and PostgreSQL: appended, verified, tampered with."""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, datetime
from pathlib import Path

import pytest
from sqlalchemy import Connection, Engine, create_engine, select, text
from sqlalchemy.exc import DBAPIError

from cxr_gateway.archive import schema
from cxr_gateway.archive.tables import AuditRow, open_engine
from cxr_gateway.audit import by_the_machine, hash_chain as chain
from cxr_gateway.audit.entries import Anchor, as_written, next_line
from cxr_gateway.core.ids import new_study_id
from databases import database_url, postgresql_database
from gateway_stand import settings_for

__all__ = ["database_url"]
STUDY = new_study_id()


@pytest.fixture
def engine(tmp_path: Path, database_url: str | None) -> Iterator[Engine]:
    """A database without a line."""
    yield from opened(tmp_path, database_url)


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def five(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Engine]:
    """A database with five lines, which a test puts back as they were; see `tampered`."""
    folder = tmp_path_factory.mktemp("five")
    with postgresql_database() if request.param != "sqlite" else nullcontext(None) as url:
        for engine in opened(folder, url):
            write(engine, 5)
            yield engine


def opened(folder: Path, url: str | None) -> Iterator[Engine]:
    (folder / "archive").mkdir()
    settings = settings_for(folder / "archive", url)
    schema.migrate(settings.resolved_database_url, 5)
    engine = open_engine(settings.resolved_database_url, 5)
    yield engine
    engine.dispose()


def write(engine: Engine, count: int) -> None:
    with engine.begin() as connection:
        events = [by_the_machine(f"step {number}", study_id=STUDY) for number in range(count)]
        chain.append(connection, events)


def verify(engine: Engine, anchor: Anchor | None = None) -> int:
    with engine.connect() as connection:
        return chain.verify(connection, anchor)


def head(engine: Engine) -> Anchor:
    with engine.connect() as connection:
        return chain.head(connection)


def disarm(connection: Connection) -> None:
    """What somebody does who owns the database: without the triggers, anything can be changed."""
    if connection.dialect.name == "sqlite":
        names = connection.scalars(text("SELECT name FROM sqlite_master WHERE type = 'trigger'"))
        for name in names.all():
            connection.exec_driver_sql(f"DROP TRIGGER {name}")
    else:
        for table in ("audit_log", "audit_anchors"):
            connection.exec_driver_sql(f"ALTER TABLE {table} DISABLE TRIGGER ALL")


@contextmanager
def tampered(engine: Engine, *statements: str) -> Iterator[Connection]:
    """The log with changes that are taken back at the end."""
    with engine.connect() as connection:
        chain.lock(connection)
        disarm(connection)
        for statement in statements:
            connection.exec_driver_sql(statement)
        yield connection
        connection.rollback()


def test_an_untouched_log_is_whole_and_its_lines_follow_each_other(five: Engine) -> None:
    assert verify(five) == 5
    assert verify(five, head(five)) == 5
    with five.connect() as connection:
        lines = list(chain.lines(connection))
    assert [line.seq for line in lines] == [1, 2, 3, 4, 5]
    assert [line.previous_hash for line in lines[1:]] == [line.hash for line in lines[:-1]]
    assert [line.at for line in lines] == sorted(line.at for line in lines)


CHANGES = {
    "at": "'2026-01-01T00:00:00.000000Z'",
    "kind": "'user'",
    "subject": "'locam'",
    "department": "''",
    "action": "'step 3'",
    "study_id": "NULL",
    "outcome": "1",
    "source": "'10.0.0.1'",
    "request_id": "'x'",
    "hash": f"'{'0' * 64}'",
}


@pytest.mark.parametrize("column", CHANGES)
def test_one_changed_value_is_found_with_its_line(five: Engine, column: str) -> None:
    statement = f"UPDATE audit_log SET {column} = {CHANGES[column]} WHERE seq = 3"
    with (
        tampered(five, statement) as connection,
        pytest.raises(chain.BrokenChain, match="Line 3 was changed"),
    ):
        chain.verify(connection)


@pytest.mark.parametrize(
    ("statements", "found"),
    [
        (["DELETE FROM audit_log WHERE seq = 3"], "Line 3 is missing: line 4 is the next"),
        (["DELETE FROM audit_log WHERE seq < 3"], "Lines 1 to 2 are missing"),
        (
            [
                "UPDATE audit_log SET seq = 99 WHERE seq = 2",
                "UPDATE audit_log SET seq = 2 WHERE seq = 3",
                "UPDATE audit_log SET seq = 3 WHERE seq = 99",
            ],
            "Line 2 was changed",
        ),
    ],
    ids=["removed", "removed at the beginning", "swapped"],
)
def test_lines_that_are_gone_or_changed_places_are_found(
    five: Engine, statements: list[str], found: str
) -> None:
    with tampered(five, *statements) as connection, pytest.raises(chain.BrokenChain, match=found):
        chain.verify(connection)


def test_a_line_that_was_replaced_with_a_hash_of_its_own_breaks_the_next(five: Engine) -> None:
    with five.connect() as connection:
        third = list(chain.lines(connection))[2]
    line = next_line(by_the_machine("step 9"), Anchor(2, third.previous_hash), third.at)
    statement = (
        f"UPDATE audit_log SET action = 'step 9', study_id = NULL, at = '{line.at}', "
        f"hash = '{line.hash}' WHERE seq = 3"
    )
    with (
        tampered(five, statement) as connection,
        pytest.raises(chain.BrokenChain, match="Line 4 does not follow what is before it"),
    ):
        chain.verify(connection)


def test_an_end_that_was_cut_off_is_found_by_an_anchor(five: Engine) -> None:
    anchor = head(five)
    with tampered(five, "DELETE FROM audit_log WHERE seq > 3") as connection:
        assert chain.verify(connection) == 3
        with pytest.raises(chain.BrokenChain, match=r"ends with line 3; .* had line 5"):
            chain.verify(connection, anchor)


def test_a_log_that_was_written_anew_is_found_by_an_anchor(five: Engine) -> None:
    anchor = head(five)
    with tampered(five, "DELETE FROM audit_log") as connection:
        chain.append(connection, [by_the_machine(f"step {number}") for number in range(6)])
        assert chain.verify(connection) == 6
        with pytest.raises(chain.BrokenChain, match="Line 5 is another"):
            chain.verify(connection, anchor)


def test_the_database_itself_refuses_changes(five: Engine) -> None:
    statements = ["UPDATE audit_log SET outcome = 1", "DELETE FROM audit_log WHERE seq = 2"]
    if five.dialect.name != "sqlite":
        statements.append("TRUNCATE audit_log")
    for statement in statements:
        with pytest.raises(DBAPIError, match="append-only"), five.begin() as connection:
            connection.exec_driver_sql(statement)
    assert verify(five) == 5


def test_old_lines_go_and_leave_an_anchor_that_the_rest_follows(engine: Engine) -> None:
    write(engine, 5)
    with engine.connect() as connection:
        second = list(chain.lines(connection))[1]
    whole = head(engine)
    with engine.begin() as connection:
        gone = chain.remove_oldest(connection, as_written(datetime.now(UTC)), at_most=3)
    assert gone is not None
    assert gone.seq == 3
    assert verify(engine, gone) == 2
    assert verify(engine, whole) == 2
    with pytest.raises(chain.BrokenChain, match="Line 2 was removed for its age"):
        verify(engine, Anchor(2, second.hash))
    with engine.begin() as connection:
        assert chain.remove_oldest(connection, "2000", at_most=3) is None
    with pytest.raises(DBAPIError, match="append-only"), engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM audit_anchors")
    with engine.begin() as connection:
        chain.remove_oldest(connection, "9", at_most=100)
    assert verify(engine) == 0
    write(engine, 1)
    assert head(engine).seq == 6
    assert verify(engine) == 1


def test_many_writers_at_once_make_one_chain(engine: Engine) -> None:
    def work() -> None:
        own = create_engine(engine.url, connect_args=waiting(engine))
        for _ in range(10):
            write(own, 2)
        own.dispose()

    in_threads(work, 4)
    assert verify(engine) == 80


def waiting(engine: Engine) -> dict[str, int]:
    return {"timeout": 60} if engine.dialect.name == "sqlite" else {}


def in_threads(work: Callable[[], None], count: int) -> None:
    threads = [threading.Thread(target=work) for _ in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


def test_a_clock_that_is_set_back_does_not_set_the_log_back(engine: Engine) -> None:
    future = "2999-01-01T00:00:00.000000Z"
    with engine.begin() as connection:
        line = next_line(by_the_machine("ahead"), chain.start(connection), future)
        connection.execute(AuditRow.__table__.insert().values(line.columns()))  # type: ignore[attr-defined]
    write(engine, 1)
    assert verify(engine) == 2
    with engine.connect() as connection:
        assert set(connection.scalars(select(AuditRow.at))) == {future}


@pytest.mark.parametrize("wrong", ["", "5", "5:abc", "x:" + "0" * 64, "5:" + "G" * 64])
def test_what_is_no_anchor_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="is no anchor"):
        Anchor.parse(wrong)
