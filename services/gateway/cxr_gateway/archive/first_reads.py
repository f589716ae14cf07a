"""What readers said of studies before they saw the models' answers: kept once, never changed.

Functions for `Archive.query`.
"""

from dataclasses import dataclass, fields
from datetime import UTC, datetime

from sqlalchemy import select
from sqlalchemy.dialects.postgresql import insert as insert_postgresql
from sqlalchemy.dialects.sqlite import insert as insert_sqlite
from sqlalchemy.orm import Session

from cxr_gateway.archive.tables import FirstReadRow, StudyRow
from cxr_serving.errors import Conflict


@dataclass(frozen=True)
class FirstReadRecord:
    """One opinion; the columns of `first_reads`, whose table says what each is."""

    study_id: str
    made_by: str
    made_at: datetime
    revision: int
    findings_json: str
    comment: str
    shown_json: str


def first_reads_of(session: Session, study_id: str) -> list[FirstReadRecord]:
    """All of a study, the oldest first."""
    wanted = select(FirstReadRow).where(FirstReadRow.study_id == study_id)
    return [_record(row) for row in session.scalars(wanted.order_by(FirstReadRow.made_at))]


def first_reads_since(
    session: Session, department: str | None, since: datetime | None = None
) -> list[FirstReadRecord]:
    """Of a department's studies (None: of all), the oldest first."""
    wanted = select(FirstReadRow)
    if department is not None:
        wanted = wanted.join(StudyRow).where(StudyRow.department == department)
    if since is not None:
        wanted = wanted.where(FirstReadRow.made_at >= since)
    ordered = wanted.order_by(FirstReadRow.made_at, FirstReadRow.study_id)
    return [_record(row) for row in session.scalars(ordered)]


def add_first_read(session: Session, record: FirstReadRecord) -> FirstReadRecord:
    """Keep a reader's first opinion; sent twice, it is kept once.

    Raises:
        Conflict: the reader has given another one, and has seen the answers since.
    """
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    insert = insert_sqlite if is_sqlite else insert_postgresql
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    session.execute(insert(FirstReadRow).values(values).on_conflict_do_nothing())
    row = session.get(FirstReadRow, (record.study_id, record.made_by))
    kept = record if row is None else _record(row)
    if (kept.findings_json, kept.comment) != (record.findings_json, record.comment):
        raise Conflict("Your first opinion is kept already, and is never changed.")
    return kept


def _record(row: FirstReadRow) -> FirstReadRecord:
    values = {field.name: getattr(row, field.name) for field in fields(FirstReadRecord)}
    at = row.made_at
    # SQLite forgets the zone; the archive writes UTC only.
    return FirstReadRecord(**values | {"made_at": at if at.tzinfo else at.replace(tzinfo=UTC)})
