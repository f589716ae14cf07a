"""The chain in the database: lines appended, read and verified, each within a transaction.

Whoever appends holds the chain's lock until the commit, so that no two lines follow the same one:
SQLite's only writer, or a lock of PostgreSQL's that nothing else takes.
"""

from collections.abc import Generator, Sequence
from contextlib import closing

from sqlalchemy import Connection, delete, insert, inspect, select, text

from cxr_gateway.archive.tables import AuditAnchorRow, AuditRow, Base
from cxr_gateway.audit.entries import GENESIS, Anchor, Event, Line, next_line
from cxr_gateway.core.errors import NotDone

# Any number, as long as nothing else of the database takes it: "cxr" and a 2.
_POSTGRES_LOCK = 0x63787202
_ROWS_AT_ONCE = 1000
_NEVER = ""
_LINES = Base.metadata.tables[AuditRow.__tablename__]
_ANCHORS = Base.metadata.tables[AuditAnchorRow.__tablename__]
# Made once, of tables and not of classes: every request pays for them, and SQLAlchemy takes
# longer to make them than the database to answer.
_TAKE = text("SELECT pg_advisory_xact_lock(:key)").bindparams(key=_POSTGRES_LOCK)
_LAST = select(_LINES.c.seq, _LINES.c.hash, _LINES.c.at).order_by(_LINES.c.seq.desc()).limit(1)
_WRITE = insert(_LINES)


class BrokenChain(NotDone):
    """What an operator is told, a sentence: the log is not as it was written, and where."""


def lock(connection: Connection) -> None:
    """Take the chain for the rest of the transaction; waits for whoever has it."""
    if connection.dialect.name == "sqlite":
        if not connection.connection.dbapi_connection.in_transaction:  # type: ignore[union-attr]
            connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.execute(_TAKE)


def append(connection: Connection, events: Sequence[Event]) -> None:
    """Write a line for each event, in the caller's transaction; see `lock`."""
    lock(connection)
    last = connection.execute(_LAST).first()
    end, at = (Anchor(last.seq, last.hash), last.at) if last else (start(connection), _NEVER)
    rows = []
    for event in events:
        line = next_line(event, end, at)
        rows.append(line.columns())
        end, at = Anchor(line.seq, line.hash), line.at
    connection.execute(_WRITE, rows)


def is_kept(connection: Connection) -> bool:
    """Whether this database has an audit log: an older schema has none."""
    return inspect(connection).has_table(AuditRow.__tablename__)


def start(connection: Connection) -> Anchor:
    """Behind which line the log begins: the last one that was removed for its age."""
    newest = select(_ANCHORS.c.seq, _ANCHORS.c.hash).order_by(_ANCHORS.c.seq.desc()).limit(1)
    row = connection.execute(newest).first()
    return Anchor(row.seq, row.hash) if row else Anchor(0, GENESIS)


def head(connection: Connection) -> Anchor:
    """The last line, as an anchor."""
    row = connection.execute(_LAST).first()
    return Anchor(row.seq, row.hash) if row else start(connection)


def has(connection: Connection, anchor: Anchor) -> bool:
    """Whether the line of this anchor is part of the log, or what its first line follows."""
    line = select(_LINES.c.seq).where(_LINES.c.seq == anchor.seq, _LINES.c.hash == anchor.hash)
    return anchor == start(connection) or connection.scalar(line) is not None


def lines(connection: Connection) -> Generator[Line]:
    """Every line, the oldest first."""
    rows = select(_LINES).order_by(_LINES.c.seq).execution_options(yield_per=_ROWS_AT_ONCE)
    with connection.execute(rows) as found:
        for row in found.mappings():
            yield Line(**row)


def verify(connection: Connection, anchor: Anchor | None = None) -> int:
    """Read the whole log; how many lines it has.

    Args:
        connection: of a transaction that sees one moment of the database.
        anchor: a line that was written down elsewhere; without one, lines that were cut off the
            end cannot be told from lines that were never written.

    Raises:
        BrokenChain: at the first line that is not as it was written, is missing or out of place.
    """
    before = first = start(connection)
    at, count, anchored = _NEVER, 0, anchor in (None, before)
    with closing(lines(connection)) as found:
        for line in found:
            _check(line, before, at)
            before, at, count = Anchor(line.seq, line.hash), line.at, count + 1
            anchored = anchored or before == anchor
    if anchor is not None and not anchored:
        raise BrokenChain(_unanchored(anchor, first, before))
    return count


def remove_oldest(connection: Connection, before: str, at_most: int) -> Anchor | None:
    """Remove the oldest lines, and leave the last one that went as an anchor; None if none is old.

    Args:
        connection: of the transaction.
        before: lines that were written before this time go, a time as in `Line.at`.
        at_most: so many, for nobody can append meanwhile.
    """
    lock(connection)
    old = select(_LINES.c.seq, _LINES.c.hash).where(
        _LINES.c.at < before, _LINES.c.seq <= start(connection).seq + at_most
    )
    row = connection.execute(old.order_by(_LINES.c.seq.desc()).limit(1)).first()
    if row is None:
        return None
    anchor = Anchor(row.seq, row.hash)
    connection.execute(insert(_ANCHORS).values(seq=anchor.seq, hash=anchor.hash))
    connection.execute(delete(_LINES).where(_LINES.c.seq <= anchor.seq))
    return anchor


def _check(line: Line, before: Anchor, at: str) -> None:
    expected = before.seq + 1
    if line.seq > expected:
        gone = (
            f"Line {expected} is"
            if line.seq == expected + 1
            else (f"Lines {expected} to {line.seq - 1} are")
        )
        raise BrokenChain(f"{gone} missing: line {line.seq} is the next that is there.")
    if line.seq < expected:
        raise BrokenChain(f"Line {line.seq} should have been removed with those up to {before}.")
    if line.hash != line.true_hash():
        raise BrokenChain(f"Line {line.seq} was changed: its hash is not that of its content.")
    if line.previous_hash != before.hash:
        raise BrokenChain(
            f"Line {line.seq} does not follow what is before it: one of the two was replaced."
        )
    if line.at < at:
        raise BrokenChain(f"Line {line.seq} is older than the line before it.")


def _unanchored(anchor: Anchor, first: Anchor, last: Anchor) -> str:
    if anchor.seq > last.seq:
        return f"The log ends with line {last.seq}; the anchor says that it had line {anchor.seq}."
    if anchor.seq <= first.seq:
        return (
            f"Line {anchor.seq} was removed for its age, with those up to {first.seq}; an anchor "
            "of a later line is needed."
        )
    return f"Line {anchor.seq} is another than the one that the anchor was taken of."
