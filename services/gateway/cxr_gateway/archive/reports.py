"""Versions of reports: added, never changed. Functions for `Archive.query`."""

from dataclasses import dataclass, fields
from datetime import UTC, datetime

from sqlalchemy import insert, select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from cxr_gateway.archive.changes import ChangeKind, note
from cxr_gateway.archive.tables import ReportRow
from cxr_serving.errors import Conflict


@dataclass(frozen=True)
class ReportRecord:
    """One version; the columns of `reports`, whose table says what each is."""

    study_id: str
    version: int
    revision: int
    made_at: datetime
    made_by: str
    made_by_name: str
    signed: bool
    text_json: str


def reports_of(session: Session, study_id: str) -> list[ReportRecord]:
    """All versions of a study's report, the latest last."""
    wanted = select(ReportRow).where(ReportRow.study_id == study_id).order_by(ReportRow.version)
    return [_record(row) for row in session.scalars(wanted)]


def add_report(session: Session, record: ReportRecord) -> None:
    """Add the version that follows the last one.

    Raises:
        Conflict: somebody else wrote another version meanwhile, or the study was deleted.
    """
    last = session.scalar(
        select(ReportRow.version)
        .where(ReportRow.study_id == record.study_id)
        .order_by(ReportRow.version.desc())
        .limit(1)
    )
    if (last or 0) + 1 != record.version:
        raise Conflict(
            "Somebody else wrote another version meanwhile; what you wrote is kept here."
        )
    values = {field.name: getattr(record, field.name) for field in fields(record)}
    try:
        session.execute(insert(ReportRow).values(values))
    except IntegrityError as error:
        raise Conflict("Somebody else wrote this version at the same moment.") from error
    note(session, record.study_id, ChangeKind.REPORTED)


def _record(row: ReportRow) -> ReportRecord:
    values = {field.name: getattr(row, field.name) for field in fields(ReportRecord)}
    at = row.made_at
    # SQLite forgets the zone; the archive writes UTC only.
    return ReportRecord(**values | {"made_at": at if at.tzinfo else at.replace(tzinfo=UTC)})
