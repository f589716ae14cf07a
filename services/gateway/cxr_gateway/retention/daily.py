"""The cleaning that a gateway does once a day, and an operator by a command: the same work.

Several gateways on one archive may all do it at once: each study and each line goes once.
"""

import asyncio
import contextlib
import logging
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Engine

from cxr_gateway.archive import Archive, FileStore
from cxr_gateway.archive.db_errors import database_failures
from cxr_gateway.audit import by_the_machine
from cxr_gateway.audit import hash_chain as chain
from cxr_gateway.audit.entries import as_written
from cxr_gateway.core.settings import GatewaySettings
from cxr_gateway.retention.removal import EXPIRY_ACTION, expired, remove_study, sweep_leftovers
from cxr_serving.errors import ServiceError

_LOG = logging.getLogger(__name__)
_DAY_S = 24 * 3600
_STUDIES_AT_ONCE = 100
_LINES_AT_ONCE = 5000
_SUBJECT = "retention"


@dataclass
class Cleaned:
    """What has gone."""

    studies: int = 0
    audit_lines: int = 0
    leftovers: int = 0


def clean(
    engine: Engine, files: FileStore, settings: GatewaySettings, stopped: threading.Event
) -> Cleaned:
    """Remove what is older than the settings keep, and files that a crash left without a study.

    Ends early, in good order, once `stopped` is set.
    """
    cleaned = Cleaned()
    if settings.retention_days is not None:
        before = datetime.now(UTC) - timedelta(days=settings.retention_days)
        while not stopped.is_set() and (old := expired(engine, before, _STUDIES_AT_ONCE)):
            for study_id in old:
                event = by_the_machine(EXPIRY_ACTION, study_id=study_id, subject=_SUBJECT)
                cleaned.studies += remove_study(engine, files, study_id, event)
                if stopped.is_set():
                    break
    if settings.audit_retention_days is not None:
        cleaned.audit_lines = _clean_log(engine, settings.audit_retention_days, stopped)
    if not stopped.is_set():
        cleaned.leftovers = sweep_leftovers(engine, files)
    return cleaned


def _clean_log(engine: Engine, days: int, stopped: threading.Event) -> int:
    before = as_written(datetime.now(UTC) - timedelta(days=days))
    removed = 0
    while not stopped.is_set():
        with database_failures(), engine.begin() as connection:
            first = chain.start(connection).seq
            anchor = chain.remove_oldest(connection, before, _LINES_AT_ONCE)
            if anchor is None:
                break
            chain.append(connection, [by_the_machine("pruneAuditLog", subject=_SUBJECT)])
        removed += anchor.seq - first
    return removed


@asynccontextmanager
async def cleaned_daily(archive: Archive, settings: GatewaySettings) -> AsyncIterator[None]:
    """Clean at the start and once a day."""
    stopped, ended = threading.Event(), asyncio.Event()

    async def work() -> None:
        while not ended.is_set():
            try:
                done = await archive.in_thread(
                    clean, archive.engine, archive.files, settings, stopped
                )
            except ServiceError as error:
                _LOG.warning("the archive was not cleaned", extra={"detail": error.detail})
            except Exception:
                # Whatever it is: tomorrow is another day, and the gateway does not depend on it.
                _LOG.exception("the archive was not cleaned")
            else:
                if done != Cleaned():
                    _LOG.info("the archive was cleaned", extra=vars(done))
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(_DAY_S):
                    await ended.wait()

    working = asyncio.create_task(work())
    try:
        yield
    finally:
        stopped.set()
        ended.set()
        await working
