"""What a gateway does with its log by itself: ships it, verifies it, and says how both went."""

import asyncio
import logging
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import AsyncExitStack, asynccontextmanager
from functools import partial
from typing import Any

from cxr_gateway.archive import Archive
from cxr_gateway.archive.audit_chain import BrokenChain, audit_snapshot, verify
from cxr_gateway.archive.audit_entries import Anchor
from cxr_gateway.archive.audit_queries import last_backup
from cxr_gateway.archive.audit_shipments import last_entry, note_sent, unsent
from cxr_gateway.archive.database import clock_skew_s, database_bytes
from cxr_gateway.audit.shipping import anchor_message, entry_message, sender
from cxr_gateway.core.background import in_background, repeat
from cxr_gateway.core.metrics import AuditMetrics
from cxr_gateway.core.settings import GatewaySettings
from cxr_serving.errors import ServiceError

_LOG = logging.getLogger(__name__)
_ENTRIES_AT_ONCE = 500
_LOOK_S = 60.0


class AuditShipper:
    """Sends new entries, and the last entry's anchor, to the places of the settings."""

    def __init__(self, archive: Archive, settings: GatewaySettings, metrics: AuditMetrics) -> None:
        self._archive = archive
        self._settings = settings
        self._metrics = metrics
        self._anchored: dict[str, Anchor] = {}

    async def ship(self) -> None:
        """Send what is new; a place that cannot be reached is tried again the next time."""
        for target in self._settings.audit_entries_to.split():
            await self._attempt("entries", partial(self._ship_entries, target))
        for target in self._settings.audit_anchors_to.split():
            await self._attempt("anchors", partial(self._ship_anchor, target))

    async def _attempt(self, kind: str, work: "partial[Coroutine[Any, Any, None]]") -> None:
        try:
            await work()
        except ServiceError as error:
            self._metrics.ship_failures.labels(kind).inc()
            _LOG.warning("the audit log was not shipped", extra={"detail": error.detail})
        else:
            self._metrics.shipped_at.labels(kind).set(time.time())

    async def _ship_entries(self, target: str) -> None:
        send = sender(target, self._settings)
        while True:
            query = partial(unsent, target=target, at_most=_ENTRIES_AT_ONCE)
            before, entries = await self._archive.query(query)
            if not entries:
                return
            messages = [entry_message(entry) for entry in entries]
            await asyncio.to_thread(send, messages)
            noted = partial(note_sent, target=target, before=before, now=entries[-1].seq)
            if not await self._archive.query(noted):
                return  # another gateway ships, too

    async def _ship_anchor(self, target: str) -> None:
        anchor = await self._archive.query(last_entry)
        if anchor.at is None or self._anchored.get(target) == anchor:
            return
        await asyncio.to_thread(sender(target, self._settings), [anchor_message(anchor)])
        self._anchored[target] = anchor


@asynccontextmanager
async def audit_watched(
    archive: Archive, settings: GatewaySettings, metrics: AuditMetrics
) -> AsyncIterator[None]:
    """Ship, verify and measure beside the block."""
    shipper, stopped = AuditShipper(archive, settings, metrics), threading.Event()
    rounds: list[tuple[Callable[[], Awaitable[None]], float, str]] = [
        (partial(_verify, settings, metrics, stopped), settings.audit_verify_interval_s,
         "the audit log was not verified"),
        (partial(_look, archive, settings, metrics), _LOOK_S,
         "database and backups were not looked at"),
    ]  # fmt: skip
    if settings.audit_anchors_to or settings.audit_entries_to:
        rounds.append(
            (shipper.ship, settings.audit_ship_interval_s, "the audit log was not shipped")
        )
    async with AsyncExitStack() as stack:
        for work, interval_s, failure in rounds:
            await stack.enter_async_context(
                in_background(partial(repeat, work, interval_s, failure))
            )
        try:
            yield
        finally:
            stopped.set()


async def _verify(
    settings: GatewaySettings, metrics: AuditMetrics, stopped: threading.Event
) -> None:
    try:
        await asyncio.to_thread(_verify_here, settings, stopped)
    except BrokenChain as error:
        metrics.intact.set(0)
        _LOG.error("the audit log is broken", extra={"detail": str(error)})
    else:
        metrics.intact.set(1)
        metrics.verified_at.set(time.time())


def _verify_here(settings: GatewaySettings, stopped: threading.Event) -> None:
    with audit_snapshot(settings) as connection:
        verify(connection, stopped=stopped)


async def _look(archive: Archive, settings: GatewaySettings, metrics: AuditMetrics) -> None:
    backup = await archive.query(last_backup)
    if backup is not None:
        metrics.backup_at.set(backup.timestamp())
    metrics.database_size.set(await archive.query(database_bytes))
    if settings.database_volume_bytes:
        metrics.database_volume.set(settings.database_volume_bytes)
    metrics.clock_skew.set(await archive.query(clock_skew_s))
