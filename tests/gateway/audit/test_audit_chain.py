"""The chain of the audit log, on SQLite and PostgreSQL: appended, verified, tampered with."""

import threading
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import Engine, create_engine
from sqlalchemy.exc import DBAPIError

from cxr_gateway.archive import audit_chain as chain
from cxr_gateway.archive.audit_entries import CLOCK_SET_BACK, Anchor, next_entry, read_time
from cxr_gateway.archive.audit_queries import AuditQuery, page
from cxr_gateway.archive.database import open_engine
from cxr_gateway.audit import by_the_machine
from cxr_gateway.core.ids import new_study_id
from support.audit_logs import aged, tampered
from support.databases import give_schema, postgresql_database
from support.fake_gateway import settings_for

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
    with (
        postgresql_database(migrated=True)
        if request.param != "sqlite"
        else nullcontext(None) as url
    ):
        for engine in opened(folder, url):
            write(engine, 5)
            yield engine


def opened(folder: Path, url: str | None) -> Iterator[Engine]:
    settings = settings_for(folder / "archive", url)
    give_schema(settings)
    engine = open_engine(settings.resolved_database_url, 5)
    yield engine
    engine.dispose()


def write(engine: Engine, count: int) -> None:
    with engine.begin() as connection:
        events = [by_the_machine(f"step {number}", study_id=STUDY) for number in range(count)]
        chain.append(connection, events)


def verify(engine: Engine, *anchors: Anchor) -> int:
    with engine.connect() as connection:
        return chain.verify(connection, anchors).count


def head(engine: Engine) -> Anchor:
    with engine.connect() as connection:
        return chain.head(connection)


def test_an_untouched_log_is_whole_and_its_lines_follow_each_other(five: Engine) -> None:
    assert verify(five) == 5
    assert verify(five, head(five)) == 5
    with five.connect() as connection:
        lines = list(chain.entries(connection))
    assert [line.seq for line in lines] == [1, 2, 3, 4, 5]
    assert [line.previous_hash for line in lines[1:]] == [line.hash for line in lines[:-1]]
    assert [line.at for line in lines] == sorted(line.at for line in lines)


CHANGES = {
    "details": "'{}'",
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
        pytest.raises(chain.BrokenChain, match="Entry 3 was changed"),
    ):
        chain.verify(connection)


@pytest.mark.parametrize(
    ("statements", "found"),
    [
        (["DELETE FROM audit_log WHERE seq = 3"], "Entry 3 is missing: entry 4 is the next"),
        (["DELETE FROM audit_log WHERE seq < 3"], "Entries 1 to 2 are missing"),
        (
            [
                "UPDATE audit_log SET seq = 99 WHERE seq = 2",
                "UPDATE audit_log SET seq = 2 WHERE seq = 3",
                "UPDATE audit_log SET seq = 3 WHERE seq = 99",
            ],
            "Entry 2 was changed",
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
        third = list(chain.entries(connection))[2]
    moment = read_time(third.at)
    line = next_entry(by_the_machine("step 9"), Anchor(2, third.previous_hash), moment)
    statement = (
        f"UPDATE audit_log SET action = 'step 9', study_id = NULL, at = '{line.at}', "
        f"hash = '{line.hash}' WHERE seq = 3"
    )
    with (
        tampered(five, statement) as connection,
        pytest.raises(chain.BrokenChain, match="Entry 4 does not follow what is before it"),
    ):
        chain.verify(connection)


def test_an_end_that_was_cut_off_is_found_by_an_anchor(five: Engine) -> None:
    anchor = head(five)
    with tampered(five, "DELETE FROM audit_log WHERE seq > 3") as connection:
        assert chain.verify(connection).count == 3
        with pytest.raises(chain.BrokenChain, match=r"ends with entry 3; .* had entry 5"):
            chain.verify(connection, [anchor])


def test_a_log_that_was_written_anew_is_found_by_an_anchor(five: Engine) -> None:
    anchor = head(five)
    with tampered(five, "DELETE FROM audit_log") as connection:
        chain.append(connection, [by_the_machine(f"step {number}") for number in range(6)])
        assert chain.verify(connection).count == 6
        with pytest.raises(chain.BrokenChain, match="Entry 5 is another"):
            chain.verify(connection, [anchor])


def test_the_database_itself_refuses_changes(five: Engine) -> None:
    statements = ["UPDATE audit_log SET outcome = 1", "DELETE FROM audit_log WHERE seq = 2"]
    if five.dialect.name != "sqlite":
        statements.append("TRUNCATE audit_log")
    for statement in statements:
        with pytest.raises(DBAPIError, match="append-only"), five.begin() as connection:
            connection.exec_driver_sql(statement)
    assert verify(five) == 5


OLD, LATER = 100.0, "9"


def pruned(engine: Engine, at_most: int = 100, before: str = LATER) -> Anchor | None:
    """What a gateway prunes, with its entry."""
    with engine.begin() as connection:
        made = chain.prune(connection, before, at_most)
        if made is None:
            return None
        chain.append(connection, [by_the_machine(chain.PRUNE_ACTION, details=made[1])])
        return made[0]


def test_old_entries_go_and_leave_an_anchor_that_the_rest_follows(engine: Engine) -> None:
    aged(engine, OLD, *("old" for _ in range(5)))
    with engine.connect() as connection:
        second = list(chain.entries(connection))[1]
    whole = head(engine)
    gone = pruned(engine, at_most=3)
    assert gone is not None
    assert gone.seq == 3
    assert verify(engine, gone) == 3
    assert verify(engine, whole) == 3
    assert verify(engine, Anchor(2, second.hash, second.at)) == 3
    with pytest.raises(chain.BrokenChain, match="does not say of what time it was"):
        verify(engine, Anchor(2, second.hash))
    assert pruned(engine, before="2000") is None
    with pytest.raises(DBAPIError, match="append-only"), engine.begin() as connection:
        connection.exec_driver_sql("DELETE FROM audit_anchors")
    last = pruned(engine)
    assert last is not None
    assert last.seq == 5
    assert verify(engine, last) == 2
    write(engine, 1)
    assert head(engine).seq == 8
    assert verify(engine) == 3


def test_the_young_are_kept_whatever_is_asked_for(engine: Engine) -> None:
    aged(engine, OLD, "old")
    write(engine, 3)
    gone = pruned(engine)
    assert gone is not None
    assert gone.seq == 1
    assert pruned(engine) is None
    assert verify(engine) == 4


def test_entries_of_a_clock_that_was_ahead_do_not_stay_for_ever(engine: Engine) -> None:
    aged(engine, OLD, "old")
    aged(engine, -36500, "of a clock that had jumped ahead")
    aged(engine, OLD, "old", "old")
    with engine.connect() as connection:
        assert chain.verify(connection).clock_steps == [3]
    gone = pruned(engine)
    assert gone is not None
    assert gone.seq == 4
    assert verify(engine) == 1


# What somebody does who has taken the gateway's rights: each ends at the database's own guards.
ATTACKS = {
    "an anchor for the last entry, and all are deleted": [
        "INSERT INTO audit_anchors (seq, hash) SELECT seq, hash FROM audit_log WHERE seq = 5",
        "DELETE FROM audit_log",
    ],
    "an anchor with invented times": [
        "INSERT INTO audit_anchors (seq, hash, last_at, pruned_at) SELECT seq, hash, "
        "'2020-01-01T00:00:00.000000Z', '2026-01-01T00:00:00.000000Z' FROM audit_log "
        "WHERE seq = 5",
        "DELETE FROM audit_log",
    ],
    "an anchor of an entry that is not there": [
        f"INSERT INTO audit_anchors (seq, hash, last_at, pruned_at) VALUES (9, '{'0' * 64}', "
        "'2020-01-01T00:00:00.000000Z', '2026-01-01T00:00:00.000000Z')",
    ],
    "an entry of a time long ago, to be pruned with all before it": [
        "INSERT INTO audit_log (seq, at, kind, subject, action, outcome, previous_hash, hash) "
        f"VALUES (6, '2020-01-01T00:00:00.000000Z', 'x', 'x', 'x', 0, '{'0' * 64}', '{'0' * 64}')"
    ],
}


@pytest.mark.parametrize("attack", ATTACKS)
def test_who_may_write_cannot_have_young_entries_removed(five: Engine, attack: str) -> None:
    with (
        pytest.raises(DBAPIError, match=r"append-only|present time"),
        tampered(five, *ATTACKS[attack], guarded=True),
    ):
        pass
    assert verify(five) == 5


ALL_GONE = "DELETE FROM audit_log"
AN_ANCHOR = (
    "INSERT INTO audit_anchors (seq, hash, last_at, pruned_at) SELECT seq, hash, "
    "'2020-01-01T00:00:00.000000Z', '2026-01-01T00:00:00.000000Z' FROM audit_log WHERE seq = 5"
)


@pytest.mark.parametrize(
    ("statements", "found"),
    [
        ([ALL_GONE], "The log has no entry"),
        ([AN_ANCHOR, ALL_GONE], "The log has no entry"),
        (
            ["INSERT INTO audit_anchors (seq, hash) SELECT seq, hash FROM audit_log WHERE seq = 3",
             "DELETE FROM audit_log WHERE seq <= 3"],
            "no entry says that they were pruned",
        ),
    ],
    ids=["all", "all, behind an anchor", "the beginning, behind an anchor of an older kind"],
)  # fmt: skip
def test_that_the_owner_removed_entries_is_found(
    five: Engine, statements: list[str], found: str
) -> None:
    with (
        tampered(five, *statements) as connection,
        pytest.raises(chain.BrokenChain, match=found),
    ):
        chain.verify(connection)


def test_an_owner_who_forges_the_pruning_too_is_found_by_an_older_anchor(five: Engine) -> None:
    with five.connect() as connection:
        second = list(chain.entries(connection))[1]
    last = head(five)
    details = {"up_to": str(last), "last_at": "2020-01-01T00:00:00.000000Z", "min_age_days": 90}
    forged = by_the_machine(chain.PRUNE_ACTION, details=details)
    with tampered(five, AN_ANCHOR, ALL_GONE) as connection:
        chain.append(connection, [forged])
        assert chain.verify(connection).count == 1
        with pytest.raises(chain.BrokenChain, match="too young for the pruning of entry 6"):
            chain.verify(connection, [Anchor(2, second.hash, second.at)])
        with pytest.raises(chain.BrokenChain, match="does not say of what time"):
            chain.verify(connection, [Anchor(2, second.hash)])


@pytest.mark.parametrize(
    ("details", "found"),
    [
        ({"last_at": "2026-11-01T00:00:00.000000Z"}, "and the database that those up to 2020"),
        ({"min_age_days": 36500}, "before they were 36500 days old"),
        ({"up_to": f"4:{'0' * 64}"}, "no entry says that they were pruned"),
    ],
    ids=["another time", "too young", "another entry"],
)
def test_a_prune_entry_must_match_what_was_pruned(
    five: Engine, details: dict[str, Any], found: str
) -> None:
    true = {
        "up_to": str(head(five)),
        "last_at": "2020-01-01T00:00:00.000000Z",
        "min_age_days": 90,
    }
    with tampered(five, AN_ANCHOR, ALL_GONE) as connection:
        event = by_the_machine(chain.PRUNE_ACTION, details=true | details)
        chain.append(connection, [event])
        with pytest.raises(chain.BrokenChain, match=found):
            chain.verify(connection)


def test_details_that_are_no_text_are_written_and_found_by_list(engine: Engine) -> None:
    # As a path comes out of a command line: with a byte that is no UTF-8.
    event = by_the_machine("backup", details={"to": "/backups/a\udcff\0b", "kind": "whole"})
    with engine.begin() as connection:
        chain.append(connection, [event])
    with engine.connect() as connection:
        assert page(connection, AuditQuery(study_id=new_study_id(), limit=9)).items == []
        [found] = page(connection, AuditQuery(limit=9)).items
    assert found.details == {"to": "/backups/a??b", "kind": "whole"}
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


def test_a_clock_that_jumps_poisons_no_later_stamp(engine: Engine) -> None:
    aged(engine, -36500, "ahead")
    write(engine, 2)
    with engine.connect() as connection:
        found = chain.verify(connection)
        entries = list(chain.entries(connection))
    assert found.clock_steps == [2]
    assert entries[1].detail[CLOCK_SET_BACK] == pytest.approx(36500 * 86400, rel=1e-3)
    behind = datetime.now(UTC) - read_time(entries[2].at)
    assert abs(behind) < timedelta(minutes=1)
    assert CLOCK_SET_BACK not in entries[2].detail


def test_a_clock_that_is_a_little_behind_does_not_set_the_log_back(engine: Engine) -> None:
    moment = datetime.now(UTC)
    with engine.begin() as connection:
        chain.append(connection, [by_the_machine("one")], moment)
        chain.append(connection, [by_the_machine("two")], moment - timedelta(seconds=1))
        assert chain.verify(connection).clock_steps == []
        one, two = chain.entries(connection)
    assert one.at == two.at


def test_an_entry_out_of_time_that_does_not_say_why_is_found(five: Engine) -> None:
    earlier = "UPDATE audit_log SET at = '2026-01-01T00:00:00.000000Z' WHERE seq = 5"
    with tampered(five, earlier) as connection:
        fifth = list(chain.entries(connection))[4]
        rehashed = f"UPDATE audit_log SET hash = '{fifth.true_hash()}' WHERE seq = 5"
        connection.exec_driver_sql(rehashed)
        with pytest.raises(chain.BrokenChain, match="Entry 5 is older than the entry before it"):
            chain.verify(connection)


def test_an_anchor_with_its_time_is_read_again(five: Engine) -> None:
    anchor = head(five)
    assert anchor.at is not None
    again = Anchor.parse(anchor.dated)
    assert (again, again.at) == (anchor, anchor.at)


@pytest.mark.parametrize("wrong", ["", "5", "5:abc", "x:" + "0" * 64, "5:" + "G" * 64])
def test_what_is_no_anchor_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="is no anchor"):
        Anchor.parse(wrong)
