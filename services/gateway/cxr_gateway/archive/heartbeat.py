"""The proof that the database takes writes: a row that each look at readiness changes."""

import time

from sqlalchemy import insert, update
from sqlalchemy.orm import Session

from cxr_gateway.archive.tables import Base, HeartbeatRow

_HEARTBEATS = Base.metadata.tables[HeartbeatRow.__tablename__]


def note_alive(session: Session) -> None:
    """Change the row, and make it where there is none; to be committed."""
    now = int(time.time())
    changed = update(_HEARTBEATS).values(at_s=now).returning(_HEARTBEATS.c.number)
    if session.scalar(changed) is None:
        session.execute(insert(_HEARTBEATS).values(number=1, at_s=now))
