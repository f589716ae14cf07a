"""What readers said of studies: entries that are added and taken back, never changed.

Functions for `Archive.query`. An entry and the check that its study is still the one that the
reader saw are one transaction.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from datetime import UTC, datetime

from sqlalchemy import select, update
from sqlalchemy.dialects.postgresql import insert as insert_postgresql
from sqlalchemy.dialects.sqlite import insert as insert_sqlite
from sqlalchemy.orm import Session

from cxr_gateway.archive.changes import ChangeKind, note
from cxr_gateway.archive.tables import ReviewRow, StudyRow
from cxr_serving.errors import Conflict, NotFound

# How the column writes what is of no target: it changes no other entry.
ADDED, COMMENTED = "added", "commented"


@dataclass(frozen=True)
class ReviewRecord:
    """One entry; the columns of `reviews`, whose table says what each is."""

    id: str
    study_id: str
    revision: int
    made_at: datetime
    made_by: str
    verdict: str
    target_kind: str | None
    target_label: str | None
    target_box: int | None
    shown_level: str | None
    shown_value: float | None
    model_role: str | None
    model_name: str | None
    model_version: str | None
    model_sha256: str | None
    label: str | None
    x_min: float | None
    y_min: float | None
    x_max: float | None
    y_max: float | None
    comment: str
    withdrawn_at: datetime | None

    @property
    def corners(self) -> tuple[float, float, float, float] | None:
        """`x_min, y_min, x_max, y_max`; None without a place."""
        places = (self.x_min, self.y_min, self.x_max, self.y_max)
        known = tuple(place for place in places if place is not None)
        return (known[0], known[1], known[2], known[3]) if len(known) == len(places) else None

    def says_the_same(self, other: "ReviewRecord") -> bool:
        """Whether both are one entry that was sent twice."""
        return replace(self, made_at=other.made_at, withdrawn_at=other.withdrawn_at) == other


def reviews_of(session: Session, study_id: str) -> list[ReviewRecord]:
    """All entries of a study, the oldest first."""
    wanted = select(ReviewRow).where(ReviewRow.study_id == study_id)
    return [_record(row) for row in session.scalars(wanted.order_by(ReviewRow.made_at))]


def put_review(session: Session, record: ReviewRecord) -> ReviewRecord:
    """Add an entry; what is kept, which is the earlier one where it was sent before.

    Raises:
        Conflict: the study was analysed again since, or the id names another entry.
        NotFound: the study was deleted since.
    """
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    insert = insert_sqlite if is_sqlite else insert_postgresql
    # Locked until the end, so that no new analysis comes in between. SQLite lets one write.
    if is_sqlite:
        session.execute(
            update(StudyRow).where(StudyRow.id == record.study_id).values(id=StudyRow.id)
        )
    wanted = select(StudyRow.revision).where(StudyRow.id == record.study_id)
    revision = session.scalar(wanted.with_for_update())
    if revision is None:
        raise NotFound("There is no study of this id.")
    known = session.get(ReviewRow, record.id)
    if known is None and revision != record.revision:
        raise Conflict(
            "The study was analysed again since it was opened. Look at the new result; what was "
            "written is kept on the page."
        )
    if known is None:
        values = {field.name: getattr(record, field.name) for field in fields(record)}
        new = insert(ReviewRow).values(values).on_conflict_do_nothing().returning(ReviewRow.id)
        if session.scalar(new) is not None:
            note(session, record.study_id, ChangeKind.REVIEWED)
        known = session.get(ReviewRow, record.id)
    if known is None or not record.says_the_same(_record(known)):
        raise Conflict("This id names another entry.")
    return _record(known)


def withdraw_review(session: Session, study_id: str, entry_id: str, by: str) -> ReviewRecord:
    """Take an entry back; taken back twice it stays as it is.

    Raises:
        NotFound: the study has no such entry of this reader.
    """
    own = (ReviewRow.id == entry_id) & (ReviewRow.study_id == study_id) & (ReviewRow.made_by == by)
    now = datetime.now(UTC)
    still = own & ReviewRow.withdrawn_at.is_(None)
    withdrawn = update(ReviewRow).where(still).values(withdrawn_at=now).returning(ReviewRow.id)
    if session.scalar(withdrawn) is not None:
        note(session, study_id, ChangeKind.REVIEWED)
    row = session.scalars(select(ReviewRow).where(own)).first()
    if row is None:
        raise NotFound("This study has no entry of this id that is yours.")
    return _record(row)


def reviews_since(
    session: Session, department: str | None, since: datetime | None = None
) -> list[ReviewRecord]:
    """What was not taken back of a department's studies (None: of all), the oldest first."""
    wanted = select(ReviewRow).where(ReviewRow.withdrawn_at.is_(None))
    if department is not None:
        wanted = wanted.join(StudyRow).where(StudyRow.department == department)
    if since is not None:
        wanted = wanted.where(ReviewRow.made_at >= since)
    return [
        _record(row) for row in session.scalars(wanted.order_by(ReviewRow.made_at, ReviewRow.id))
    ]


def results_of(session: Session, study_ids: Sequence[str]) -> dict[str, str]:
    """The results of studies, as JSON, by id; of those that are there."""
    wanted = select(StudyRow.id, StudyRow.result_json).where(StudyRow.id.in_(study_ids))
    return {row.id: row.result_json for row in session.execute(wanted)}


def standing(records: Iterable[ReviewRecord]) -> list[ReviewRecord]:
    """Those that count: of what a reader said of one answer, the last that was not taken back.

    Args:
        records: the oldest first.
    """
    latest: dict[tuple[str | int | None, ...], ReviewRecord] = {}
    for record in records:
        if record.withdrawn_at is not None:
            continue
        about: tuple[str | int | None, ...] = (record.id,)
        if record.verdict not in (ADDED, COMMENTED):
            kind, label, box = record.target_kind, record.target_label, record.target_box
            # A box has a number within one analysis alone.
            analysis = record.revision if kind == "box" else None
            about = (record.study_id, record.made_by, kind, label, box, analysis)
        latest.pop(about, None)
        latest[about] = record
    return list(latest.values())


def _record(row: ReviewRow) -> ReviewRecord:
    values = {field.name: getattr(row, field.name) for field in fields(ReviewRecord)}
    # SQLite forgets the zone; the archive writes UTC only.
    for name in ("made_at", "withdrawn_at"):
        at = values[name]
        values[name] = at.replace(tzinfo=UTC) if at is not None and at.tzinfo is None else at
    return ReviewRecord(**values)
