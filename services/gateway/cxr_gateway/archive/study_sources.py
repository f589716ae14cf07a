"""Which studies the archive keeps, and of which kind their originals are; a page at a time."""

from sqlalchemy import select
from sqlalchemy.orm import Session

from cxr_gateway.archive.tables import StudyRow


def study_sources(session: Session, after: str, limit: int) -> list[tuple[str, str]]:
    """Up to `limit` studies behind the id `after`, of all departments: id and kind of file."""
    wanted = select(StudyRow.id, StudyRow.source).where(StudyRow.id > after)
    rows = session.execute(wanted.order_by(StudyRow.id).limit(limit))
    return [(row.id, row.source) for row in rows]
