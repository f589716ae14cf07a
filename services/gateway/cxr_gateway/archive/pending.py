"""Studies that wait to be analysed, whose client does not. Functions for `Archive.query`.

A row comes in the commit that keeps the study, and goes in the one that keeps its analysis. Who
takes one has it until its lease ends; a gateway that dies leaves it to the others, or to its next
start.
"""

from datetime import timedelta

from sqlalchemy import Connection, func, insert, select, update
from sqlalchemy import delete as delete_rows
from sqlalchemy.orm import Session

from cxr_gateway.archive.tables import PendingRow
from cxr_gateway.core.tokens import now


def put_pending(session: Session, study_id: str) -> None:
    """Have a study analysed later, from now on."""
    session.execute(insert(PendingRow).values(study_id=study_id, attempts=0, next_at=now()))


def end_pending(session: Session, study_id: str) -> None:
    """The study is analysed; nothing if it did not wait."""
    session.execute(delete_rows(PendingRow).where(PendingRow.study_id == study_id))


def count_pending(session: Session) -> int:
    """How many wait."""
    return session.scalar(select(func.count()).select_from(PendingRow)) or 0


def take_pending(session: Session, most: int, lease: timedelta) -> list[tuple[str, int]]:
    """Studies for the caller to analyse within `lease`, and how often each was tried with this."""
    moment = now()
    due = PendingRow.next_at <= moment
    first = select(PendingRow.study_id).where(due).order_by(PendingRow.next_at).limit(most)
    ids = session.scalars(first.with_for_update(skip_locked=True)).all()
    if not ids:
        return []
    mine = (
        update(PendingRow)
        .where(PendingRow.study_id.in_(ids), due)
        .values(attempts=PendingRow.attempts + 1, next_at=moment + lease)
        .returning(PendingRow.study_id, PendingRow.attempts)
    )
    return [(row.study_id, row.attempts) for row in session.execute(mine)]


def postpone_pending(session: Session, study_id: str, wait_s: float) -> None:
    """Try a study again after so long."""
    later = now() + timedelta(seconds=wait_s)
    session.execute(update(PendingRow).where(PendingRow.study_id == study_id).values(next_at=later))


def free_pending(connection: Connection) -> None:
    """End all leases: whoever starts alone knows that their holders are dead."""
    connection.execute(update(PendingRow).values(next_at=now()))
