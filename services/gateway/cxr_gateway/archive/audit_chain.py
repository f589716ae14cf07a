"""The chain in the database: entries appended, read and verified, each within a transaction.

Whoever appends holds the chain's lock until the commit, so that no two entries follow the same one:
SQLite's only writer, or a lock of PostgreSQL's that nothing else takes.
"""

import threading
from collections.abc import Generator, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import Connection, Engine, delete, func, insert, inspect, select, text
from sqlalchemy.exc import ProgrammingError

from cxr_gateway.archive.audit_entries import (
    CLOCK_SET_BACK,
    GENESIS,
    Anchor,
    Entry,
    Event,
    as_written,
    next_entry,
    read_time,
)
from cxr_gateway.archive.audit_guards import min_age_days, set_min_age_days
from cxr_gateway.archive.audit_queries import AuditPage, AuditQuery, page
from cxr_gateway.archive.database import open_by_itself, open_engine
from cxr_gateway.archive.db_errors import database_failures
from cxr_gateway.archive.schema import refuse_other
from cxr_gateway.archive.tables import AuditAnchorRow, AuditRow, Base
from cxr_gateway.core.errors import CommandError
from cxr_gateway.core.settings import GatewaySettings
from cxr_serving.errors import Unavailable

# Any number, as long as nothing else of the database takes it: "cxr" and a 2.
_POSTGRES_LOCK = 0x63787202
_ROWS_AT_ONCE = 1000
# How the log calls its own pruning.
PRUNE_ACTION = "pruneAuditLog"
_AHEAD = timedelta(days=1)
_ENTRIES = Base.metadata.tables[AuditRow.__tablename__]
_ANCHORS = Base.metadata.tables[AuditAnchorRow.__tablename__]
# Made once, of tables and not of classes: every request pays for them, and SQLAlchemy takes
# longer to make them than the database to answer.
_TAKE = text("SELECT pg_advisory_xact_lock(:key)").bindparams(key=_POSTGRES_LOCK)
_LAST = (
    select(_ENTRIES.c.seq, _ENTRIES.c.hash, _ENTRIES.c.at).order_by(_ENTRIES.c.seq.desc()).limit(1)
)
# Of a server's clock where there is one: several gateways' clocks differ.
_LAST_AND_NOW = _LAST.add_columns(func.clock_timestamp().label("now"))
_NOW = select(func.clock_timestamp())
_WRITE = insert(_ENTRIES)
_PRUNE = text("SELECT seq, hash, last_at FROM audit_prune(:before, :at_most)")


class BrokenChain(CommandError):
    """What an operator is told, a sentence: the log is not as it was written, and where."""


def lock(connection: Connection) -> None:
    """Take the chain for the rest of the transaction; waits for whoever has it."""
    if connection.dialect.name == "sqlite":
        if not connection.connection.dbapi_connection.in_transaction:  # type: ignore[union-attr]
            connection.exec_driver_sql("BEGIN IMMEDIATE")
    else:
        connection.execute(_TAKE)


def append(
    connection: Connection, events: Sequence[Event], now: datetime | None = None
) -> list[Entry]:
    """Write an entry for each event, in the caller's transaction; see `lock`.

    Args:
        connection: of the transaction.
        events: what has happened.
        now: the time; None asks the database server, or without one this machine.
    """
    lock(connection)
    if connection.dialect.name == "sqlite":
        last, moment = connection.execute(_LAST).first(), datetime.now(UTC)
    else:
        found = connection.execute(_LAST_AND_NOW).first()
        last, moment = found, found.now if found else connection.scalars(_NOW).one()
    moment = now or moment
    end = Anchor(last.seq, last.hash, last.at) if last else start(connection)
    made = []
    for event in events:
        entry = next_entry(event, end, moment)
        made.append(entry)
        end = Anchor(entry.seq, entry.hash, entry.at)
    connection.execute(_WRITE, [entry.columns() for entry in made])
    return made


def is_kept(connection: Connection) -> bool:
    """Whether this database has an audit log: an older schema has none."""
    return inspect(connection).has_table(AuditRow.__tablename__)


def start(connection: Connection) -> Anchor:
    """Behind which entry the log begins: the last one that was pruned for its age."""
    newest = select(_ANCHORS.c.seq, _ANCHORS.c.hash).order_by(_ANCHORS.c.seq.desc()).limit(1)
    row = connection.execute(newest).first()
    return Anchor(row.seq, row.hash) if row else Anchor(0, GENESIS)


def head(connection: Connection) -> Anchor:
    """The last entry, as an anchor with its time."""
    row = connection.execute(_LAST).first()
    return Anchor(row.seq, row.hash, row.at) if row else start(connection)


def has(connection: Connection, anchor: Anchor) -> bool:
    """Whether the entry of this anchor is part of the log, or what its first entry follows."""
    entry = select(_ENTRIES.c.seq).where(
        _ENTRIES.c.seq == anchor.seq, _ENTRIES.c.hash == anchor.hash
    )
    return anchor == start(connection) or connection.scalar(entry) is not None


def entries(connection: Connection, after: int = 0) -> Generator[Entry]:
    """Every entry behind number `after`, the oldest first."""
    wanted = select(_ENTRIES).where(_ENTRIES.c.seq > after).order_by(_ENTRIES.c.seq)
    with connection.execute(wanted.execution_options(yield_per=_ROWS_AT_ONCE)) as found:
        for row in found.mappings():
            yield Entry(**row)


@dataclass(frozen=True)
class Verified:
    """A log that is whole.

    Attributes:
        count: its entries.
        head: the last of them.
        clock_steps: the numbers of entries before which a clock was set back.
    """

    count: int
    head: Anchor
    clock_steps: list[int]


def verify(
    connection: Connection,
    anchors: Sequence[Anchor] = (),
    stopped: threading.Event | None = None,
) -> Verified:
    """Read the whole log.

    Args:
        connection: of a transaction that sees one moment of the database.
        anchors: entries that were written down elsewhere; without one, entries that were cut off
            the end cannot be told from entries that were never written.
        stopped: once it is set, Unavailable is raised.

    Raises:
        BrokenChain: at the first entry that is not as it was written, is missing or out of place;
            for a beginning that no pruning of old entries explains; for a log without entries.
    """
    before = first = start(connection)
    steps: list[int] = []
    pruning: Entry | None = None
    count = 0
    expected = {anchor.seq: anchor for anchor in anchors}
    with closing(entries(connection)) as found:
        for entry in found:
            if stopped is not None and stopped.is_set():
                raise Unavailable("The gateway is stopping.")
            _check(entry, before)
            if CLOCK_SET_BACK in entry.detail:
                steps.append(entry.seq)
            if pruning is None and entry.action == PRUNE_ACTION and _prunes(entry, first):
                pruning = entry
            before, count = Anchor(entry.seq, entry.hash, entry.at), count + 1
            if expected.get(entry.seq, before) != before:
                raise BrokenChain(
                    f"Entry {entry.seq} is another than the one that the anchor was taken of."
                )
    if not count:
        raise BrokenChain(
            "The log has no entry. A gateway writes one at each start, so all were removed."
        )
    if first.seq:
        _check_pruning(connection, first, pruning)
    for anchor in anchors:
        _check_anchor(anchor, first, before, pruning)
    return Verified(count, before, steps)


def prune(
    connection: Connection, before: str, at_most: int
) -> tuple[Anchor, dict[str, Any]] | None:
    """Remove the oldest entries, and leave the last of them as an anchor; None if none is old.

    The database itself keeps what is younger than its policy says. What was stamped by a clock
    that had jumped ahead goes with its neighbours.

    Args:
        connection: of the transaction.
        before: entries that were written before this time go, a time as in `Entry.at`.
        at_most: so many, for nobody can append meanwhile.

    Returns:
        The anchor, and the details that the entry of this pruning must have.
    """
    lock(connection)
    if connection.dialect.name == "sqlite":
        made = _prune_here(connection, before, at_most)
    else:
        row = connection.execute(_PRUNE, {"before": before, "at_most": at_most}).first()
        made = None if row is None else (Anchor(row.seq, row.hash), row.last_at)
    if made is None:
        return None
    anchor, last_at = made
    days = min_age_days(connection)
    return anchor, {"up_to": str(anchor), "last_at": last_at, "min_age_days": days}


def _prune_here(connection: Connection, before: str, at_most: int) -> tuple[Anchor, str] | None:
    """What `audit_prune` does where the database is a server."""
    now = datetime.now(UTC)
    days = min_age_days(connection) or 0
    before = min(before, as_written(now - timedelta(days=days)))
    at = _ENTRIES.c.at
    kept = select(_ENTRIES.c.seq).where((at >= before) & (at <= as_written(now + _AHEAD)))
    first_kept = connection.scalar(kept.order_by(_ENTRIES.c.seq).limit(1))
    old = select(_ENTRIES.c.seq, _ENTRIES.c.hash).where(
        _ENTRIES.c.seq <= start(connection).seq + at_most
    )
    if first_kept is not None:
        old = old.where(_ENTRIES.c.seq < first_kept)
    row = connection.execute(old.order_by(_ENTRIES.c.seq.desc()).limit(1)).first()
    if row is None:
        return None
    gone = (_ENTRIES.c.seq <= row.seq) & (at < before)
    last_at: str | None = connection.scalar(select(func.max(at)).where(gone))
    if last_at is None:
        return None
    connection.execute(
        insert(_ANCHORS).values(
            seq=row.seq, hash=row.hash, last_at=last_at, pruned_at=as_written(now)
        )
    )
    connection.execute(delete(_ENTRIES).where(_ENTRIES.c.seq <= row.seq))
    return Anchor(row.seq, row.hash), last_at


class AuditRepository:
    """The log of a running gateway, on connections of its own. Every method blocks.

    Raises (all methods):
        Unavailable: the database is locked or unreachable beyond the timeout.
        StorageFull: no room.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def append(self, events: Sequence[Event]) -> list[Entry]:
        """Write an entry for each event, in one commit."""
        with database_failures(), self._engine.begin() as connection:
            return append(connection, events)

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
            if not _has_details(connection):
                _append_plainly(connection, event)
            else:
                append(connection, [event])
    finally:
        engine.dispose()
    return True


def _has_details(connection: Connection) -> bool:
    columns = inspect(connection).get_columns(AuditRow.__tablename__)
    return any(column["name"] == "details" for column in columns)


def _append_plainly(connection: Connection, event: Event) -> None:
    """As an older gateway does, whose schema this is: a backup is made before it is migrated."""
    lock(connection)
    row = next_entry(replace(event, details=None), head(connection), datetime.now(UTC)).columns()
    del row["details"]
    connection.execute(insert(_ENTRIES).values(row))


def keep_for(settings: GatewaySettings, days: int, event: Event) -> int | None:
    """Have the database keep entries for so many days at least; for how many it did.

    Raises:
        CommandError: this database user may not.
    """
    engine = open_engine(settings.resolved_database_url, settings.database_timeout_s)
    try:
        with database_failures(), engine.begin() as connection:
            refuse_other(connection)
            before = min_age_days(connection)
            set_min_age_days(connection, days)
            append(connection, [event])
    except ProgrammingError as error:
        raise CommandError("Only the owner of the database's tables may do this.") from error
    finally:
        engine.dispose()
    return before


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


def _check(entry: Entry, before: Anchor) -> None:
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
    if before.at is not None and entry.at < before.at and CLOCK_SET_BACK not in entry.detail:
        raise BrokenChain(f"Entry {entry.seq} is older than the entry before it.")


def _prunes(entry: Entry, first: Anchor) -> bool:
    """Whether this is the entry of the pruning up to `first`; an older gateway's has no details."""
    return not entry.details or entry.detail.get("up_to") == str(first)


def _check_pruning(connection: Connection, first: Anchor, pruning: Entry | None) -> None:
    """Raise unless the log says that what was before its first entry was old when it went."""
    wanted = select(_ANCHORS.c.last_at).where(_ANCHORS.c.seq == first.seq)
    last_at = connection.scalar(wanted)
    if pruning is None or bool(last_at) != bool(pruning.details):
        raise BrokenChain(
            f"The entries up to {first.seq} are gone, and no entry says that they were pruned."
        )
    if last_at is None:
        return  # pruned by an older gateway, which wrote no times down
    detail = pruning.detail
    if detail.get("last_at") != last_at:
        raise BrokenChain(
            f"Entry {pruning.seq} says that entries up to {detail.get('last_at')} were pruned, "
            f"and the database that those up to {last_at} were."
        )
    if not _was_old(last_at, pruning):
        raise BrokenChain(
            f"The entries up to {first.seq} were pruned by entry {pruning.seq} before they were "
            f"{detail.get('min_age_days')} days old."
        )


def _was_old(at: str, pruning: Entry) -> bool:
    """Whether an entry of this time might go when the pruning took place."""
    age = timedelta(days=max(1, int(pruning.detail.get("min_age_days") or 0)))
    return read_time(at) + age <= read_time(pruning.at)


def _check_anchor(anchor: Anchor, first: Anchor, last: Anchor, pruning: Entry | None) -> None:
    if anchor.seq > last.seq:
        raise BrokenChain(
            f"The log ends with entry {last.seq}; the anchor says that it had entry {anchor.seq}."
        )
    if anchor.seq > first.seq or anchor == first:
        return
    if anchor.seq == first.seq:
        raise BrokenChain(
            f"Entry {anchor.seq} is another than the one that the anchor was taken of."
        )
    if anchor.at is None or pruning is None or not pruning.details:
        raise BrokenChain(
            f"Entry {anchor.seq} was removed with those up to {first.seq}, and the anchor does "
            "not say of what time it was: an anchor with its time, or of a later entry, is needed."
        )
    if not _was_old(anchor.at, pruning):
        raise BrokenChain(
            f"Entry {anchor.seq} of {anchor.at} is gone, and it was too young for the pruning of "
            f"entry {pruning.seq}."
        )
