"""The running gateway's writer: the lines of many requests at once in one commit.

While one commit is on its way to the disk, the lines of other requests gather, and the next commit
takes them all: so a busy gateway pays for far fewer commits than it answers requests.
"""

import asyncio
from collections.abc import AsyncIterator, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager, contextmanager

from sqlalchemy import Connection, Engine

from cxr_gateway.archive.db_errors import database_failures
from cxr_gateway.archive.tables import open_engine
from cxr_gateway.audit import hash_chain as chain
from cxr_gateway.audit.entries import Event
from cxr_gateway.audit.queries import AuditPage, LineQuery, page
from cxr_gateway.core.settings import GatewaySettings

_MOST_AT_ONCE = 500


class AuditLog:
    """Writes and reads the log of a running gateway."""

    def __init__(self, engine: Engine, threads: ThreadPoolExecutor) -> None:
        self._engine = engine
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

    async def page(self, query: LineQuery) -> AuditPage:
        """Some of the lines, the latest first."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, self._page, query)

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
                await loop.run_in_executor(self._threads, self._append, [line for line, _ in batch])
            except Exception as error:
                failure = error
            for _, written in batch:
                if written.cancelled():
                    continue  # whoever asked has gone; the line is there all the same
                if failure is None:
                    written.set_result(None)
                else:
                    written.set_exception(failure)

    def _append(self, events: Sequence[Event]) -> None:
        with database_failures(), self._engine.begin() as connection:
            chain.append(connection, events)

    def _page(self, query: LineQuery) -> AuditPage:
        with database_failures(), self._engine.connect() as connection:
            return page(connection, query)


@asynccontextmanager
async def open_audit_log(settings: GatewaySettings) -> AsyncIterator[AuditLog]:
    """The log of these settings; what is being written at the end is waited for."""
    engine = open_engine(settings.resolved_database_url, settings.database_timeout_s)
    try:
        # A thread for writing and one for reading: a page of the log holds up no request.
        with ThreadPoolExecutor(2, thread_name_prefix="audit") as threads:
            log = AuditLog(engine, threads)
            try:
                yield log
            finally:
                await log.close()
    finally:
        engine.dispose()


@contextmanager
def log_database(settings: GatewaySettings) -> Iterator[Connection]:
    """A transaction of a command on the log's database; committed at the end."""
    engine = open_engine(settings.resolved_database_url, settings.database_timeout_s)
    try:
        with database_failures(), engine.begin() as connection:
            yield connection
    finally:
        engine.dispose()


def record(settings: GatewaySettings, event: Event) -> bool:
    """Write the line of a command; False if this database has no log, being of an older schema."""
    with log_database(settings) as connection:
        if not chain.is_kept(connection):
            return False
        chain.append(connection, [event])
    return True
