"""The running gateway's writer: the lines of many requests at once in one commit.

While one commit is on its way to the disk, the lines of other requests gather, and the next commit
takes them all: so a busy gateway pays for far fewer commits than it answers requests.
"""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager

from cxr_gateway.archive.audit_chain import AuditRepository, open_audit_repository
from cxr_gateway.archive.audit_entries import Event
from cxr_gateway.archive.audit_queries import AuditPage, AuditQuery
from cxr_gateway.core.settings import GatewaySettings

_MOST_AT_ONCE = 500


class AuditLog:
    """Writes and reads the log of a running gateway."""

    def __init__(self, repository: AuditRepository, threads: ThreadPoolExecutor) -> None:
        self._repository = repository
        self._threads = threads
        self._waiting: list[tuple[Event, asyncio.Future[None]]] = []
        self._writer: asyncio.Task[None] | None = None

    async def record(self, event: Event) -> None:
        """Return when the line is committed.

        Raises:
            Unavailable: the database is locked or unreachable beyond the timeout.
            StorageFull: no room.
        """
        written: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append((event, written))
        if self._writer is None or self._writer.done():
            self._writer = asyncio.create_task(self._write_all())
        await written

    async def page(self, query: AuditQuery) -> AuditPage:
        """Some of the lines, the latest first."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._repository.page, query)

    async def close(self) -> None:
        """Wait for what is being written."""
        if self._writer is not None:
            await asyncio.wait({self._writer})

    async def _write_all(self) -> None:
        loop = asyncio.get_running_loop()
        while self._waiting:
            batch, self._waiting = self._waiting[:_MOST_AT_ONCE], self._waiting[_MOST_AT_ONCE:]
            failure: Exception | None = None
            try:
                events = [event for event, _ in batch]
                await loop.run_in_executor(self._threads, self._repository.append, events)
            except Exception as error:
                failure = error
            for _, written in batch:
                if written.cancelled():
                    continue  # whoever asked has gone; the line is there all the same
                if failure is None:
                    written.set_result(None)
                else:
                    written.set_exception(failure)


@asynccontextmanager
async def open_audit_log(settings: GatewaySettings) -> AsyncIterator[AuditLog]:
    """The log of these settings; what is being written at the end is waited for."""
    # A thread for writing and one for reading: a page of the log holds up no request.
    with (
        open_audit_repository(settings) as repository,
        ThreadPoolExecutor(2, thread_name_prefix="audit") as threads,
    ):
        log = AuditLog(repository, threads)
        try:
            yield log
        finally:
            await log.close()
