"""From the changes to the webhooks: queued in the database, sent, tried again, given up."""

import asyncio
import logging
import secrets
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from datetime import timedelta
from functools import partial

from cxr_gateway.archive import Archive
from cxr_gateway.archive.webhooks import (
    DeliveryRecord,
    DeliveryState,
    WebhookRecord,
    disable,
    forget_ended,
    note_outcome,
    queue,
    queue_changes,
    seal_secrets,
    take_due,
)
from cxr_gateway.audit import AuditLog, by_the_machine
from cxr_gateway.core.background import guarded, in_background, repeat
from cxr_gateway.core.sealing import SealedError
from cxr_gateway.core.settings import GatewaySettings
from cxr_gateway.core.tokens import now
from cxr_gateway.webhooks.schemas import message_of, test_message
from cxr_gateway.webhooks.sending import Outcome, WebhookSender

_LOG = logging.getLogger(__name__)
# To one webhook at once: a slow one holds up itself alone.
_AT_ONCE = 4
_FORGET_EVERY_S = 3600.0


class WebhookDispatcher:
    """Sends what is due, in this gateway; others on the same database take their share.

    Args:
        archive: its database holds the queue.
        sender: calls the webhooks.
        audit: is told of each message that was taken or given up.
        settings: when it is tried again, and for how long; the key of the webhooks' secrets.
    """

    def __init__(
        self, archive: Archive, sender: WebhookSender, audit: AuditLog, settings: GatewaySettings
    ) -> None:
        self._archive = archive
        self._sender = sender
        self._audit = audit
        self._settings = settings
        self._keyring = settings.keyring
        # Longer than an attempt takes, the look-up of its name included.
        self._lease = timedelta(seconds=3 * settings.webhook_timeout_s + 30)
        self._busy: Counter[str] = Counter()
        self._sending: set[asyncio.Task[object]] = set()

    @asynccontextmanager
    async def at_work(self) -> AsyncIterator[None]:
        """Send until the end of the block; what is on its way then is ended in good order."""
        failure = "webhooks were not looked at"
        forget = partial(self._archive.query, forget_ended)
        await guarded(self._seal, "webhooks' secrets were not sealed")
        async with (
            in_background(partial(repeat, self._round, self._settings.webhook_poll_s, failure)),
            in_background(partial(repeat, forget, _FORGET_EVERY_S, failure)),
        ):
            yield
        await asyncio.gather(*self._sending, return_exceptions=True)

    async def test(self, hook: WebhookRecord) -> DeliveryRecord:
        """Call a webhook now, with an event of its own; what came of it. It is tried once."""
        put = partial(queue, webhook_id=hook.id, message=test_message(), lease=self._lease)
        delivery = await self._archive.query(put)
        outcome = await self._send(hook, delivery)
        state = DeliveryState.DEAD if outcome.error else DeliveryState.DELIVERED
        return await self._note(delivery, state, 0.0, outcome)

    async def _seal(self) -> None:
        """Seal the secrets by the first key, and say so to whoever changes it: they wait for it."""
        done = await self._archive.query(partial(seal_secrets, keyring=self._keyring))
        if self._keyring.is_changing or done.sealed or done.not_opened:
            log = _LOG.warning if done.not_opened else _LOG.info
            log("webhooks' secrets were sealed by the first key", extra=asdict(done))

    async def _round(self) -> None:
        await self._archive.query(partial(queue_changes, message_of=message_of))
        take = partial(take_due, busy=dict(self._busy), most=_AT_ONCE, lease=self._lease)
        for hook, delivery in await self._archive.query(take):
            self._busy[hook.id] += 1
            task = asyncio.create_task(
                guarded(partial(self._deliver, hook, delivery), "a webhook's call is not on record")
            )
            self._sending.add(task)
            task.add_done_callback(partial(self._done, hook.id))

    def _done(self, webhook_id: str, task: asyncio.Task[object]) -> None:
        self._sending.discard(task)
        self._busy[webhook_id] -= 1
        if not self._busy[webhook_id]:
            del self._busy[webhook_id]

    async def _deliver(self, hook: WebhookRecord, delivery: DeliveryRecord) -> None:
        outcome = await self._send(hook, delivery)
        if outcome.error is None:
            await self._note(delivery, DeliveryState.DELIVERED, 0.0, outcome)
            return
        wait_s = max(self._backoff_s(delivery.attempts), outcome.retry_after_s)
        age = now() + timedelta(seconds=wait_s) - delivery.created_at
        over = age > timedelta(hours=self._settings.webhook_max_age_h)
        state = DeliveryState.DEAD if over or outcome.is_gone else DeliveryState.WAITING
        await self._note(delivery, state, wait_s, outcome)
        if outcome.is_gone:
            _LOG.warning("a webhook is gone, and is called no more", extra={"webhook": hook.id})
            await self._archive.query(partial(disable, webhook_id=hook.id))

    async def _send(self, hook: WebhookRecord, delivery: DeliveryRecord) -> Outcome:
        try:
            secret = self._keyring.opened(hook.secret, hook.id)
        except SealedError:
            return Outcome(None, "Its secret was sealed by another CXR_GATEWAY_SECRETS_KEY.")
        return await self._sender.send(hook.url, secret, delivery.id, delivery.body)

    async def _note(
        self, delivery: DeliveryRecord, state: DeliveryState, wait_s: float, outcome: Outcome
    ) -> DeliveryRecord:
        note = partial(
            note_outcome,
            delivery_id=delivery.id,
            state=state,
            next_at=now() + timedelta(seconds=wait_s),
            status=outcome.status,
            error=outcome.error,
        )
        noted = await self._archive.query(note)
        if state is DeliveryState.DEAD:
            names = {"webhook": delivery.webhook_id, "delivery": delivery.id}
            _LOG.error("a webhook's message was given up", extra=names)
        if state is not DeliveryState.WAITING:
            event = by_the_machine(
                "deliverWebhook",
                outcome.status or 0,
                study_id=delivery.study_id,
                subject="gateway",
                details={"webhook": delivery.webhook_id, "delivery": delivery.id, "state": state},
            )
            await self._audit.record(event)
        return noted or delivery

    def _backoff_s(self, attempts: int) -> float:
        """Twice as long after each attempt, and some chance in it, so that not all come at once."""
        first, longest = self._settings.webhook_retry_min_s, self._settings.webhook_retry_max_s
        wait_s = min(first * 2.0 ** min(attempts - 1, 30), longest)
        return wait_s * secrets.SystemRandom().uniform(0.8, 1.2)
