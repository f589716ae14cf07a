"""The running gateway's writer: the entries of many requests at once in one commit.

While one commit is on its way to the disk, the entries of other requests gather, and the next
commit takes them all: so a busy gateway pays for far fewer commits than it answers requests.
"""

import asyncio
import logging
import time
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from cxr_gateway.archive.audit_chain import AuditRepository, open_audit_repository
from cxr_gateway.archive.audit_entries import CLOCK_SET_BACK, Entry, Event, hash_of
from cxr_gateway.archive.audit_queries import AuditPage, AuditQuery
from cxr_gateway.audit.spool import Spool
from cxr_gateway.audit.summary import Summary
from cxr_gateway.core.background import in_background, repeat
from cxr_gateway.core.errors import StorageFull
from cxr_gateway.core.metrics import AuditMetrics
from cxr_gateway.core.principal import Principal
from cxr_gateway.core.settings import GatewaySettings
from cxr_serving.errors import ServiceError

_LOG = logging.getLogger(__name__)
_MOST_AT_ONCE = 500
# How soon a full database is tried again.
_AGAIN_S = 1.0
_DIGEST_CHARS = 16
_SAME_LIST_S = 3600.0
_MOST_LISTS = 10_000


class AuditLog:
    """Writes and reads the log of a running gateway.

    Args:
        repository: the log in the database.
        spool: where entries wait while the database is full.
        threads: a thread for writing and one for reading.
        metrics: count what happens to it.
    """

    def __init__(
        self,
        repository: AuditRepository,
        spool: Spool,
        threads: ThreadPoolExecutor,
        metrics: AuditMetrics,
    ) -> None:
        self._repository = repository
        self._spool = spool
        self._threads = threads
        self._metrics = metrics
        self._summary = Summary()
        self._due: list[Event] = []
        self._again_at = 0.0
        self._listed: dict[tuple[str, str], tuple[str, float]] = {}
        self._waiting: list[tuple[Event, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None

    async def record(self, event: Event) -> None:
        """Return when the entry is committed, or a repeated refusal is counted.

        Raises:
            Unavailable: the database is locked or unreachable beyond the timeout.
            StorageFull: no room, in the database and in what is reserved beside it.
        """
        if self._summary.counts(event):
            self._metrics.summarised.inc()
            return
        await self._write(event)

    async def _write(self, event: Event) -> None:
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((event, written))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_all())
        await written

    async def page(self, query: AuditQuery) -> AuditPage:
        """Some of the entries, the latest first."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._repository.page, query)

    def listed(self, principal: Principal, study_ids: list[str]) -> dict[str, Any]:
        """What an entry says of a list: its studies, or that it showed the same as before.

        Repeated within an hour, the same list of the same principal is named by the digest of the
        studies that the first entry has.
        """
        digest = hash_of(study_ids)[:_DIGEST_CHARS]
        who, now = (principal.kind, principal.subject), time.monotonic()
        known = self._listed.get(who)
        if known is not None and known[0] == digest and now - known[1] < _SAME_LIST_S:
            return {"same_studies": digest}
        self._listed.pop(who, None)
        self._listed[who] = (digest, now)
        if len(self._listed) > _MOST_LISTS:
            self._listed.pop(next(iter(self._listed)))
        return {"studies": study_ids, "studies_digest": digest}

    @property
    def waiting(self) -> int:
        """How many entries wait beside a full database."""
        return self._spool.count

    async def write_summary(self) -> None:
        """Put on record what was counted since the last time."""
        self._due += self._summary.take()
        while self._due:
            await self._write(self._due[0])
            self._due.pop(0)

    async def close(self) -> None:
        """Write what was counted, and wait for what is being written."""
        try:
            await self.write_summary()
        except ServiceError as error:
            _LOG.warning("counted refusals are not on record", extra={"detail": error.detail})
        if self._writer is not None:
            await asyncio.wait({self._writer})

    async def _write_all(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch, self._waiting = self._waiting[:_MOST_AT_ONCE], self._waiting[_MOST_AT_ONCE:]
            failure: Exception | None = None
            try:
                events = [event for event, _ in batch]
                await loop.run_in_executor(self._threads, self._append, events)
            except Exception as error:
                failure = error
            for _, written in batch:
                if written.cancelled():
                    continue  # whoever asked has gone; the entry is there all the same
                if failure is None:
                    written.set_result(None)
                else:
                    written.set_exception(failure)

    def _append(self, events: list[Event]) -> None:
        """Into the database, what waits before what is new; or into the spool."""
        if self._spool.count and time.monotonic() < self._again_at:
            self._spool.put(events)
            self._metrics.spooled.set(self._spool.count)
            return
        waited = self._spool.waiting()
        try:
            made = self._repository.append([*waited, *events])
        except StorageFull:
            self._again_at = time.monotonic() + _AGAIN_S
            self._spool.put(events)
            if not waited:
                _LOG.error("the database is full; the audit log waits beside it")
        else:
            if waited:
                self._spool.clear()
                _LOG.info("the audit log is in the database again", extra={"waited": len(waited)})
            self._note(made)
        self._metrics.spooled.set(self._spool.count)

    def _note(self, made: list[Entry]) -> None:
        steps = sum(CLOCK_SET_BACK in entry.detail for entry in made if entry.details)
        if steps:
            self._metrics.clock_steps.inc(steps)
            _LOG.error("the clock of the audit log was set back", extra={"steps": steps})

    def adopt(self) -> None:
        """Take over what a gateway that was killed while the database was full has left."""
        self._spool.adopt(self._repository.append)


@asynccontextmanager
async def open_audit_log(
    settings: GatewaySettings, metrics: AuditMetrics | None = None
) -> AsyncIterator[AuditLog]:
    """The log of these settings; what is being written at the end is waited for.

    Args:
        settings: name database, archive and intervals.
        metrics: of the service; None for a command.
    """
    spool = Spool(settings.archive_dir, settings.audit_spool_mb if metrics else 0)
    # A thread for writing and one for reading: a page of the log holds up no request.
    with (
        open_audit_repository(settings) as repository,
        ThreadPoolExecutor(2, thread_name_prefix="audit") as threads,
    ):
        log = AuditLog(repository, spool, threads, metrics or AuditMetrics.unseen())
        try:
            await asyncio.get_running_loop().run_in_executor(threads, log.adopt)
        except ServiceError as error:
            _LOG.warning("spooled audit entries wait on", extra={"detail": error.detail})
        failure = "counted refusals are not on record"
        summing = partial(
            repeat, log.write_summary, settings.audit_summary_s, failure, at_once=False
        )
        try:
            async with in_background(summing):
                yield log
        finally:
            await log.close()
            spool.close()
