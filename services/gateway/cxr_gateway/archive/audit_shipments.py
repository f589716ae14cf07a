"""Up to which entry the audit log has been sent to each place, for all gateways together."""

import hashlib

from sqlalchemy import insert, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from cxr_gateway.archive.audit_chain import entries, head
from cxr_gateway.archive.audit_entries import Anchor, Entry
from cxr_gateway.archive.tables import AuditShipmentRow, Base

_SHIPMENTS = Base.metadata.tables[AuditShipmentRow.__tablename__]


def last_entry(session: Session) -> Anchor:
    """The log's last entry, as an anchor with its time."""
    return head(session.connection())


def unsent(session: Session, target: str, at_most: int) -> tuple[int, list[Entry]]:
    """The number up to which entries were sent to `target`, and some that follow."""
    key = _key(target)
    done = session.scalar(select(_SHIPMENTS.c.seq).where(_SHIPMENTS.c.target == key))
    if done is None:
        try:
            with session.begin_nested():
                session.execute(insert(_SHIPMENTS).values(target=key, seq=0))
        except IntegrityError:
            pass  # another gateway was quicker
        done = 0
    found: list[Entry] = []
    for entry in (rest := entries(session.connection(), done)):
        found.append(entry)
        if len(found) == at_most:
            break
    rest.close()
    return done, found


def note_sent(session: Session, target: str, before: int, now: int) -> bool:
    """Remember that entries up to `now` were sent; False if another gateway was quicker.

    What both of them sent has come twice, under the same number.
    """
    mine = (_SHIPMENTS.c.target == _key(target)) & (_SHIPMENTS.c.seq == before)
    changed = update(_SHIPMENTS).where(mine).values(seq=now).returning(_SHIPMENTS.c.seq)
    return session.scalar(changed) is not None


def _key(target: str) -> str:
    """The place by its hash: an address may hold a name or a password."""
    return hashlib.sha256(target.encode()).hexdigest()
