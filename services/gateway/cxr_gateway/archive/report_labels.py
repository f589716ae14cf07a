"""Labels of the hospital's signed reports, and the studies that they are of.

Functions for `Archive.query`.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime

from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from cxr_gateway.archive.tables import ReportLabelRow, StudyRow

# How a table of labels names a study: the column, and the archive's.
IDENTIFIERS = {
    "study_id": StudyRow.id,
    "accession_number": StudyRow.accession_number,
    "study_instance_uid": StudyRow.study_instance_uid,
}


@dataclass(frozen=True)
class ReportLabel:
    """One label; the columns of `report_labels`, whose table says what each is."""

    study_id: str
    finding: str
    present: bool
    level: str
    revision: int
    signed_on: str
    imported_at: datetime


@dataclass(frozen=True)
class Candidate:
    """A study that an identifier names."""

    study_id: str
    revision: int
    result_json: str


def named(session: Session, identifier: str, value: str, department: str | None) -> list[Candidate]:
    """The studies of a department (None: of all) that `value` names, by one of `IDENTIFIERS`."""
    wanted = select(StudyRow.id, StudyRow.revision, StudyRow.result_json).where(
        IDENTIFIERS[identifier] == value
    )
    if department is not None:
        wanted = wanted.where(StudyRow.department == department)
    rows = session.execute(wanted.order_by(StudyRow.id))
    return [Candidate(row.id, row.revision, row.result_json) for row in rows]


def put_report_labels(session: Session, labels: Sequence[ReportLabel]) -> None:
    """Keep the labels of studies in place of those that they had."""
    for study_id in {label.study_id for label in labels}:
        session.execute(delete(ReportLabelRow).where(ReportLabelRow.study_id == study_id))
    session.add_all(ReportLabelRow(**asdict(label)) for label in labels)
    session.flush()


def report_labels_since(session: Session, department: str | None, since: date) -> list[ReportLabel]:
    """Of a department's studies (None: of all), of reports signed since a day."""
    wanted = select(ReportLabelRow).where(ReportLabelRow.signed_on >= since.isoformat())
    if department is not None:
        wanted = wanted.join(StudyRow).where(StudyRow.department == department)
    names = ReportLabel.__dataclass_fields__
    return [
        ReportLabel(**{name: getattr(row, name) for name in names})
        for row in session.scalars(wanted)
    ]
