"""Webhooks and their deliveries. Functions for `Archive.query`.

What is queued for a webhook and up to which change is one commit, so each change is queued once,
however many gateways look. A delivery that is being tried is not due again before its lease ends;
a gateway that dies meanwhile leaves it to the others, or to its next start.
"""

import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any

from sqlalchemy import delete, func, insert, select, update
from sqlalchemy.orm import Session

from cxr_gateway.archive.changes import ChangeRecord, Position, changes_after, position
from cxr_gateway.archive.tables import WebhookDeliveryRow, WebhookRow
from cxr_gateway.core.sealing import Keyring, SealedError
from cxr_gateway.core.tokens import in_utc, now
from cxr_serving.errors import Conflict, NotFound

MOST_WEBHOOKS = 50
_CHANGES_AT_ONCE = 200
_KEPT = timedelta(days=30)
# Sealed it would not go into its column with it, and receivers' libraries alone want it.
_MARK = "whsec_"


class DeliveryState(StrEnum):
    """What became of a message."""

    WAITING = "waiting"  # to be tried, or to be tried again
    DELIVERED = "delivered"
    DEAD = "dead"  # given up


@dataclass(frozen=True)
class WebhookRecord:
    """The columns of `webhooks`, whose table says what each is; the secret as it is kept."""

    id: str
    url: str
    secret: str
    events: tuple[str, ...]
    department: str | None
    created_at: datetime
    created_by: str
    disabled_at: datetime | None


@dataclass(frozen=True)
class DeliveryRecord:
    """The columns of `webhook_deliveries`, whose table says what each is."""

    id: str
    webhook_id: str
    event: str
    study_id: str | None
    body: str
    state: DeliveryState
    attempts: int
    created_at: datetime
    next_at: datetime
    ended_at: datetime | None
    last_status: int | None
    last_error: str | None


@dataclass(frozen=True)
class Message:
    """What is to be sent: its event, the study that it is about, and the text."""

    event: str
    study_id: str | None
    body: str


def add_webhook(
    session: Session,
    *,
    url: str,
    secret: str,
    keyring: Keyring,
    events: tuple[str, ...],
    **owner: Any,
) -> WebhookRecord:
    """A webhook that is told of what happens from now on; Conflict if there are too many.

    `keyring` seals its secret.
    """
    if (session.scalar(select(func.count()).select_from(WebhookRow)) or 0) >= MOST_WEBHOOKS:
        raise Conflict(f"There are {MOST_WEBHOOKS} webhooks, as many as there may be.")
    webhook_id = secrets.token_hex(8)
    values = {
        "id": webhook_id,
        "url": url,
        "secret": _sealed(keyring, secret, webhook_id),
        "events": " ".join(events),
        "created_at": now(),
        "seq": position(session).seq,
        **owner,
    }
    row = session.scalars(insert(WebhookRow).values(values).returning(WebhookRow)).one()
    return _webhook(row)


def webhooks_of(session: Session, department: str | None) -> list[WebhookRecord]:
    """A department's webhooks (None: all), the oldest first."""
    wanted = select(WebhookRow).order_by(WebhookRow.created_at, WebhookRow.id)
    if department is not None:
        wanted = wanted.where(WebhookRow.department == department)
    return [_webhook(row) for row in session.scalars(wanted)]


def webhook(session: Session, webhook_id: str, department: str | None) -> WebhookRecord:
    """One of them; NotFound if there is none of this id, or it is another department's."""
    found = [one for one in webhooks_of(session, department) if one.id == webhook_id]
    if not found:
        raise NotFound("There is no webhook of this id.")
    return found[0]


@dataclass(frozen=True, slots=True)
class Sealing:
    """Of all webhooks' secrets: how many were sealed anew, and how many no key here opens."""

    webhooks: int
    sealed: int
    not_opened: int


def seal_secrets(session: Session, keyring: Keyring) -> Sealing:
    """Seal by the latest key what is not: readable, or sealed by one before."""
    row, sealed, not_opened = WebhookRow, 0, 0
    kept_by_id = session.execute(select(row.id, row.secret)).all()
    for webhook_id, kept in kept_by_id:
        if keyring.is_latest(kept, webhook_id):
            continue
        try:
            again = _sealed(keyring, keyring.opened(kept, webhook_id), webhook_id)
        except SealedError:
            not_opened += 1  # each of its messages says so, too
            continue
        # Another gateway may have been here in between.
        same = (row.id == webhook_id) & (row.secret == kept)
        sealed += len(
            session.scalars(update(row).where(same).values(secret=again).returning(row.id)).all()
        )
    return Sealing(len(kept_by_id), sealed, not_opened)


def _sealed(keyring: Keyring, secret: str, webhook_id: str) -> str:
    return keyring.sealed(secret.removeprefix(_MARK), webhook_id)


def remove_webhook(session: Session, webhook_id: str, department: str | None) -> None:
    """Remove a webhook with its log; NotFound as of `webhook`."""
    webhook(session, webhook_id, department)
    of_it = WebhookDeliveryRow.webhook_id == webhook_id
    session.execute(delete(WebhookDeliveryRow).where(of_it))
    session.execute(delete(WebhookRow).where(WebhookRow.id == webhook_id))


def deliveries_of(
    session: Session, webhook_id: str, state: DeliveryState | None, limit: int
) -> list[DeliveryRecord]:
    """The log of a webhook, the latest first."""
    row = WebhookDeliveryRow
    wanted = select(row).where(row.webhook_id == webhook_id)
    if state is not None:
        wanted = wanted.where(row.state == state.value)
    latest = wanted.order_by(row.created_at.desc(), row.id.desc()).limit(limit)
    return [_delivery(found) for found in session.scalars(latest)]


def queue(session: Session, webhook_id: str, message: Message, lease: timedelta) -> DeliveryRecord:
    """Put a message on record that its caller sends by itself, within `lease`."""
    values = _new(webhook_id, message, None) | {"attempts": 1, "next_at": now() + lease}
    added = insert(WebhookDeliveryRow).values(values).returning(WebhookDeliveryRow)
    return _delivery(session.scalars(added).one())


def queue_changes(session: Session, message_of: Callable[[ChangeRecord, str], Message]) -> None:
    """Queue what happened since the last time for all webhooks that want it."""
    reached = position(session)
    behind = (WebhookRow.seq < reached.seq) & WebhookRow.disabled_at.is_(None)
    for webhook_id in session.scalars(select(WebhookRow.id).where(behind)).all():
        # Locked, and then asked: another gateway may have been here in between.
        mine = (
            update(WebhookRow).where(WebhookRow.id == webhook_id).values(seq=WebhookRow.seq)
        ).returning(WebhookRow.seq, WebhookRow.events, WebhookRow.department)
        row = session.execute(mine).first()
        if row is None:
            continue
        start = Position(reached.feed, row.seq)
        found, end, _ = changes_after(session, start, _CHANGES_AT_ONCE, row.department)
        messages = [(message_of(change, reached.feed), change.seq) for change in found]
        wanted = [
            _new(webhook_id, message, seq)
            for message, seq in messages
            if message.event in row.events.split()
        ]
        if wanted:
            session.execute(insert(WebhookDeliveryRow), wanted)
        session.execute(update(WebhookRow).where(WebhookRow.id == webhook_id).values(seq=end.seq))


def take_due(
    session: Session, busy: Mapping[str, int], most: int, lease: timedelta
) -> list[tuple[WebhookRecord, DeliveryRecord]]:
    """Messages that are due, for the caller to send within `lease`.

    Args:
        session: a transaction.
        busy: how many messages to each webhook the caller is sending.
        most: how many it sends at once to one, so that a slow one holds up no other.
        lease: after this somebody else may.
    """
    moment = now()
    row = WebhookDeliveryRow
    taken = []
    for hook in webhooks_of(session, None):
        room = most - busy.get(hook.id, 0)
        due = (
            (row.webhook_id == hook.id)
            & (row.state == DeliveryState.WAITING.value)
            & (row.next_at <= moment)
        )
        if room <= 0:
            continue
        first = select(row.id).where(due).order_by(row.next_at).limit(room)
        ids = session.scalars(first.with_for_update(skip_locked=True)).all()
        if not ids:
            continue
        mine = (
            update(row)
            .where(row.id.in_(ids), due)
            .values(attempts=row.attempts + 1, next_at=moment + lease)
            .returning(row)
        )
        taken += [(hook, _delivery(found)) for found in session.scalars(mine)]
    return taken


def note_outcome(
    session: Session,
    delivery_id: str,
    state: DeliveryState,
    *,
    next_at: datetime,
    status: int | None,
    error: str | None,
) -> DeliveryRecord | None:
    """What came of an attempt, as it is kept then; None if the webhook is gone meanwhile."""
    values = {
        "state": state.value,
        "next_at": next_at,
        "last_status": status,
        "last_error": error,
        "ended_at": None if state is DeliveryState.WAITING else now(),
    }
    row = WebhookDeliveryRow
    changed = update(row).where(row.id == delivery_id).values(values).returning(row)
    found = session.scalars(changed).first()
    return None if found is None else _delivery(found)


def disable(session: Session, webhook_id: str) -> None:
    """Send nothing more to a webhook; what waits is given up."""
    moment = now()
    session.execute(
        update(WebhookRow).where(WebhookRow.id == webhook_id).values(disabled_at=moment)
    )
    row = WebhookDeliveryRow
    waiting = (row.webhook_id == webhook_id) & (row.state == DeliveryState.WAITING.value)
    given_up = {"state": DeliveryState.DEAD.value, "ended_at": moment}
    session.execute(update(row).where(waiting).values(given_up))


def revive(session: Session, webhook_id: str, delivery_id: str) -> DeliveryRecord:
    """Have a message that was given up tried again, from now on.

    Raises:
        NotFound: the webhook has no such message.
        Conflict: it was not given up.
    """
    row = WebhookDeliveryRow
    own = (row.id == delivery_id) & (row.webhook_id == webhook_id)
    dead = own & (row.state == DeliveryState.DEAD.value)
    again = {
        "state": DeliveryState.WAITING.value,
        "created_at": now(),
        "next_at": now(),
        "attempts": 0,
        "ended_at": None,
    }
    found = session.scalars(update(row).where(dead).values(again).returning(row)).first()
    if found is not None:
        return _delivery(found)
    if session.scalar(select(row.id).where(own)) is None:
        raise NotFound("This webhook has no such delivery.")
    raise Conflict("Only a delivery that was given up is tried again.")


def forget_ended(session: Session) -> None:
    """Remove what ended long ago from the logs."""
    old = WebhookDeliveryRow.ended_at < now() - _KEPT
    session.execute(delete(WebhookDeliveryRow).where(old))


def _new(webhook_id: str, message: Message, seq: int | None) -> dict[str, Any]:
    moment = now()
    return {
        "id": f"msg_{secrets.token_hex(12)}",
        "webhook_id": webhook_id,
        "seq": seq,
        "event": message.event,
        "study_id": message.study_id,
        "body": message.body,
        "state": DeliveryState.WAITING.value,
        "attempts": 0,
        "created_at": moment,
        "next_at": moment,
    }


def _webhook(row: WebhookRow) -> WebhookRecord:
    values = {field.name: getattr(row, field.name) for field in fields(WebhookRecord)}
    disabled_at = row.disabled_at and in_utc(row.disabled_at)
    typed = {"events": tuple(row.events.split()), "created_at": in_utc(row.created_at)}
    return WebhookRecord(**values | typed | {"disabled_at": disabled_at})


def _delivery(row: WebhookDeliveryRow) -> DeliveryRecord:
    values = {field.name: getattr(row, field.name) for field in fields(DeliveryRecord)}
    typed = {
        "state": DeliveryState(row.state),
        "created_at": in_utc(row.created_at),
        "next_at": in_utc(row.next_at),
        "ended_at": row.ended_at and in_utc(row.ended_at),
    }
    return DeliveryRecord(**values | typed)
