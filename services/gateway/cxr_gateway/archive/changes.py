"""The changes of studies, in the order in which they were committed.

A number is drawn from one row, which stays locked until the commit. So numbers become visible in
their order: whoever has read up to a number misses nothing that is committed later. It is drawn as
the last thing of a transaction, which keeps the lock short and never waits for another row with it.
"""

import re
import secrets
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import Any, Self

from sqlalchemy import (
    BindParameter,
    Connection,
    DateTime,
    RowMapping,
    Select,
    case,
    delete,
    func,
    insert,
    literal,
    select,
    update,
)
from sqlalchemy.orm import Session

from cxr_gateway.archive.tables import NO_SCORE, ChangeFeedRow, ChangeRow, StudyRow
from cxr_gateway.core.errors import CursorGone
from cxr_gateway.core.tokens import in_utc, now
from cxr_serving.errors import BadRequest

_FEED_BYTES = 4
_CURSOR = re.compile(r"([0-9a-f]{8})-([0-9a-f]{1,15})", re.ASCII)


class ChangeKind(StrEnum):
    """What happened to a study."""

    CREATED = "created"
    ANALYSED = "analysed"  # what was kept as pending has its result
    RERUN = "rerun"  # analysed again
    REVIEWED = "reviewed"  # a reader said something, or took it back
    REPORTED = "reported"  # a version of the report was written
    WORKLIST = "worklist"  # opened, done, or new again
    DELETED = "deleted"


@dataclass(frozen=True)
class Position:
    """A place in a feed: after the change of this number. `feed` is another after a restore."""

    feed: str
    seq: int

    @classmethod
    def parse(cls, text: str) -> Self:
        """The position that `str` made; BadRequest for anything else."""
        match = _CURSOR.fullmatch(text)
        if match is None:
            raise BadRequest("This is not a cursor of the changes.")
        return cls(match[1], int(match[2], 16))

    def __str__(self) -> str:
        return f"{self.feed}-{self.seq:x}"


@dataclass(frozen=True)
class ChangeRecord:
    """A change, and what the study is by now; nothing of that once it is deleted.

    Attributes:
        seq: its number.
        department: None for none.
        score: the triage score, 0 to 1; None without one.
        revision: how often it was analysed.
    """

    seq: int
    at: datetime
    kind: ChangeKind
    study_id: str
    department: str | None
    status: str | None
    priority: str | None
    score: float | None
    worklist_state: str | None
    revision: int | None


def note(transaction: Session | Connection, study_id: str, kind: ChangeKind) -> None:
    """Put a change of a study that is there on record, as the last thing of a transaction."""
    what = (literal(_draw(transaction)), StudyRow.id, StudyRow.department, literal(kind.value))
    _put(transaction, select(*what, _now()).where(StudyRow.id == study_id))


def note_deleted(transaction: Session | Connection, study_id: str, department: str) -> None:
    """Put on record that a study is gone; its earlier changes go, too."""
    transaction.execute(delete(ChangeRow).where(ChangeRow.study_id == study_id))
    what = (_draw(transaction), study_id, department, ChangeKind.DELETED.value)
    _put(transaction, select(*map(literal, what), _now()))


def position(transaction: Session | Connection) -> Position:
    """Where the feed is now."""
    row = transaction.execute(select(ChangeFeedRow.feed, ChangeFeedRow.seq)).one()
    return Position(row.feed, row.seq)


def changes_after(
    session: Session, after: Position | None, limit: int, department: str | None
) -> tuple[list[ChangeRecord], Position, bool]:
    """Up to `limit` changes of a department's studies (None: of all), the earliest first.

    Args:
        session: a transaction of its own.
        after: where the reader was; None is the beginning.
        limit: how many at most.
        department: whose.

    Returns:
        The changes, where the reader is then, and whether there are more.

    Raises:
        CursorGone: `after` is of the feed before a restore, or ahead of this one.
    """
    # Asked first: whatever has a lower number is committed, and seen by what is asked next.
    reached = position(session)
    start = after or Position(reached.feed, 0)
    if start.feed != reached.feed or start.seq > reached.seq:
        raise CursorGone(
            "This cursor belongs to the archive as it was before a restore; begin without one."
        )
    wanted = (
        select(
            ChangeRow.seq,
            ChangeRow.at,
            ChangeRow.kind,
            ChangeRow.study_id,
            ChangeRow.department,
            StudyRow.status,
            StudyRow.priority,
            case((StudyRow.score != NO_SCORE, StudyRow.score)).label("score"),
            StudyRow.worklist_state,
            StudyRow.revision,
        )
        .outerjoin(StudyRow, StudyRow.id == ChangeRow.study_id)
        .where(ChangeRow.seq > start.seq, ChangeRow.seq <= reached.seq)
        .order_by(ChangeRow.seq)
        .limit(limit + 1)
    )
    if department is not None:
        wanted = wanted.where(ChangeRow.department == department)
    rows = session.execute(wanted).mappings().all()
    found = [_record(row) for row in rows[:limit]]
    more = len(rows) > limit
    return found, Position(reached.feed, found[-1].seq) if more else reached, more


def begin_feed(connection: Connection) -> None:
    """Begin anew, after a restore: with the studies that are there, and cursors of its own."""
    connection.execute(delete(ChangeRow))
    number = func.row_number().over(order_by=StudyRow.id)
    created = literal(ChangeKind.CREATED.value)
    _put(connection, select(number, StudyRow.id, StudyRow.department, created, _now()))
    last = select(func.coalesce(func.max(ChangeRow.seq), 0)).scalar_subquery()
    new = {"feed": secrets.token_hex(_FEED_BYTES), "seq": last}
    connection.execute(update(ChangeFeedRow).values(new))


def _draw(transaction: Session | Connection) -> int:
    """The next number; its row is locked until the commit."""
    drawn = update(ChangeFeedRow).values(seq=ChangeFeedRow.seq + 1).returning(ChangeFeedRow.seq)
    return int(transaction.execute(drawn).scalar_one())


def _put(transaction: Session | Connection, rows: Select[*tuple[Any, ...]]) -> None:
    columns = ["seq", "study_id", "department", "kind", "at"]
    transaction.execute(insert(ChangeRow).from_select(columns, rows))


def _now() -> BindParameter[datetime]:
    return literal(now(), DateTime(timezone=True))


def _record(row: RowMapping) -> ChangeRecord:
    values = {field.name: row[field.name] for field in fields(ChangeRecord)}
    typed = {
        "kind": ChangeKind(row["kind"]),
        "at": in_utc(row["at"]),
        "department": row["department"] or None,
    }
    return ChangeRecord(**values | typed)
