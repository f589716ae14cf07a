"""The chain in the database: entries appended, read and verified, each within a transaction.

Whoever appends holds the chain's lock until the commit, so that no two entries follow the same one:
SQLite's only writer, or a lock of PostgreSQL's that nothing else takes.
"""

from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager

from sqlalchemy import Connection, Engine, delete, insert, inspect, select, text

from cxr_gateway.archive.audit_entries import GENESIS, Anchor, Entry, Event, next_entry
from cxr_gateway.archive.audit_queries import AuditPage, AuditQuery, page
from cxr_gateway.archive.database import open_by_itself, open_engine
from cxr_gateway.archive.db_errors import database_failures
from cxr_gateway.archive.schema import refuse_other
from cxr_gateway.archive.tables import AuditAnchorRow, AuditRow, Base
from cxr_gateway.core.errors import CommandError
from cxr_gateway.core.settings import GatewaySettings

# Any number, as long as nothing else of the database takes it: "cxr" and a 2.
_POSTGRES_LOCK = 0x63787202
_ROWS_AT_ONCE = 1000
_NEVER = ""
_ENTRIES = Base.metadata.tables[AuditRow.__tablename__]
_ANCHORS = Base.metadata.tables[AuditAnchorRow.__tablename__]
# Made once, of tables and not of classes: every request pays for them, and SQLAlchemy takes
# longer to make them than the database to answer.
_TAKE = text("SELECT pg_advisory_xact_lock(:key)").bindparams(key=_POSTGRES_LOCK)
_LAST = (
    select(_ENTRIES.c.seq, _ENTRIES.c.hash, _ENTRIES.c.at).order_by(_ENTRIES.c.seq.desc()).limit(1)
)
_WRITE = insert(_ENTRIES)


class BrokenChain(CommandError):
    """What an operator is told, a sentence: the log is not as it was written, and where."""


def lock(connection: Connection) -> None:
    """Take the chain for the rest of the transaction; waits for whoever has it."""
    if connection.dialect.name == "sqlite":
        if not connection.connection.dbapi_connection.in_transaction:  # type: ignore[union-attr]
            connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.execute(_TAKE)


def append(connection: Connection, events: Sequence[Event]) -> None:
    """Write a entry for each event, in the caller's transaction; see `lock`."""
    lock(connection)
    last = connection.execute(_LAST).first()
    end, at = (Anchor(last.seq, last.hash), last.at) if last else (start(connection), _NEVER)
    rows = []
    for event in events:
        entry = next_entry(event, end, at)
        rows.append(entry.columns())
        end, at = Anchor(entry.seq, entry.hash), entry.at
    connection.execute(_WRITE, rows)


def is_kept(connection: Connection) -> bool:
    """Whether this database has an audit log: an older schema has none."""
    return inspect(connection).has_table(AuditRow.__tablename__)


def start(connection: Connection) -> Anchor:
    """Behind which entry the log begins: the last one that was removed for its age."""
    newest = select(_ANCHORS.c.seq, _ANCHORS.c.hash).order_by(_ANCHORS.c.seq.desc()).limit(1)
    row = connection.execute(newest).first()
    return Anchor(row.seq, row.hash) if row else Anchor(0, GENESIS)


def head(connection: Connection) -> Anchor:
    """The last entry, as an anchor."""
    row = connection.execute(_LAST).first()
    return Anchor(row.seq, row.hash) if row else start(connection)


def has(connection: Connection, anchor: Anchor) -> bool:
    """Whether the entry of this anchor is part of the log, or what its first entry follows."""
    entry = select(_ENTRIES.c.seq).where(
        _ENTRIES.c.seq == anchor.seq, _ENTRIES.c.hash == anchor.hash
    )
    return anchor == start(connection) or connection.scalar(entry) is not None


def entries(connection: Connection) -> Generator[Entry]:
    """Every entry, the oldest first."""
    rows = select(_ENTRIES).order_by(_ENTRIES.c.seq).execution_options(yield_per=_ROWS_AT_ONCE)
    with connection.execute(rows) as found:
        for row in found.mappings():
            yield Entry(**row)


def verify(connection: Connection, anchor: Anchor | None = None) -> int:
    """Read the whole log; how many entries it has.

    Args:
        connection: of a transaction that sees one moment of the database.
        anchor: a entry that was written down elsewhere; without one, entries that were cut off the
            end cannot be told from entries that were never written.

    Raises:
        BrokenChain: at the first entry that is not as it was written, is missing or out of place.
    """
    before = first = start(connection)
    at, count, anchored = _NEVER, 0, anchor in (None, before)
    with closing(entries(connection)) as found:
        for entry in found:
            _check(entry, before, at)
            before, at, count = Anchor(entry.seq, entry.hash), entry.at, count + 1
            anchored = anchored or before == anchor
    if anchor is not None and not anchored:
        raise BrokenChain(_unanchored(anchor, first, before))
    return count


def remove_oldest(connection: Connection, before: str, at_most: int) -> Anchor | None:
    """Remove the oldest entries, and leave the last of them as an anchor; None if none is old.

    Args:
        connection: of the transaction.
        before: entries that were written before this time go, a time as in `Entry.at`.
        at_most: so many, for nobody can append meanwhile.
    """
    lock(connection)
    old = select(_ENTRIES.c.seq, _ENTRIES.c.hash).where(
        _ENTRIES.c.at < before, _ENTRIES.c.seq <= start(connection).seq + at_most
    )
    row = connection.execute(old.order_by(_ENTRIES.c.seq.desc()).limit(1)).first()
    if row is None:
        return None
    anchor = Anchor(row.seq, row.hash)
    connection.execute(insert(_ANCHORS).values(seq=anchor.seq, hash=anchor.hash))
    connection.execute(delete(_ENTRIES).where(_ENTRIES.c.seq <= anchor.seq))
    return anchor


class AuditRepository:
    """The log of a running gateway, on connections of its own. Every method blocks.

    Raises (all methods):
        Unavailable: the database is locked or unreachable beyond the timeout.
        StorageFull: no room.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def append(self, events: Sequence[Event]) -> None:
        """Write an entry for each event, in one commit."""
        with database_failures(), self._engine.begin() as connection:
            append(connection, events)

    def page(self, query: AuditQuery) -> AuditPage:
        """Some of the entries, the latest first."""
        with database_failures(), self._engine.connect() as connection:
            return page(connection, query)


@contextmanager
def open_audit_repository(settings: GatewaySettings) -> Iterator[AuditRepository]:
    """The log of these settings, closed at the end."""
    engine = open_engine(settings.resolved_database_url, settings.database_timeout_s)
    try:
        yield AuditRepository(engine)
    finally:
        engine.dispose()


def record(settings: GatewaySettings, event: Event) -> bool:
    """Write a command's entry; False if this database has no log, being of an older schema."""
    engine = open_engine(settings.resolved_database_url, settings.database_timeout_s)
    try:
        with database_failures(), engine.begin() as connection:
            if not is_kept(connection):
                return False
            append(connection, [event])
    finally:
        engine.dispose()
    return True


@contextmanager
def audit_snapshot(settings: GatewaySettings) -> Iterator[Connection]:
    """The log at one moment, for `verify`, `head` and `page`."""
    engine = open_by_itself(settings.resolved_database_url, "BEGIN", "REPEATABLE READ")
    try:
        with database_failures(), engine.begin() as connection:
            refuse_other(connection)
            yield connection
    finally:
        engine.dispose()


def _check(entry: Entry, before: Anchor, at: str) -> None:
    expected = before.seq + 1
    if entry.seq > expected:
        gone = (
            f"Entry {expected} is"
            if entry.seq == expected + 1
            else (f"Entries {expected} to {entry.seq - 1} are")
        )
        raise BrokenChain(f"{gone} missing: entry {entry.seq} is the next that is there.")
    if entry.seq < expected:
        raise BrokenChain(f"Entry {entry.seq} should have been removed with those up to {before}.")
    if entry.hash != entry.true_hash():
        raise BrokenChain(f"Entry {entry.seq} was changed: its hash is not that of its content.")
    if entry.previous_hash != before.hash:
        raise BrokenChain(
            f"Entry {entry.seq} does not follow what is before it: one of the two was replaced."
        )
    if entry.at < at:
        raise BrokenChain(f"Entry {entry.seq} is older than the entry before it.")


def _unanchored(anchor: Anchor, first: Anchor, last: Anchor) -> str:
    if anchor.seq > last.seq:
        return (
            f"The log ends with entry {last.seq}; the anchor says that it had entry {anchor.seq}."
        )
    if anchor.seq <= first.seq:
        return (
            f"Entry {anchor.seq} was removed for its age, with those up to {first.seq}; an anchor "
            "of a later entry is needed."
        )
    return f"Entry {anchor.seq} is another than the one that the anchor was taken of."
