"""The cleaning that a gateway does once a day, and an operator by a command: the same work.

Several gateways on one archive may all do it at once: each study and each line goes once.
"""

import logging
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial

from cxr_gateway.archive import Archive
from cxr_gateway.archive.audit_entries import as_written
from cxr_gateway.archive.removal import EXPIRY_ACTION, Removals
from cxr_gateway.audit import by_the_machine
from cxr_gateway.core.background import in_background, repeat
from cxr_gateway.core.errors import FilesLeft
from cxr_gateway.core.settings import GatewaySettings
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
    audit_entries: int = 0
    leftovers: int = 0


def clean(removals: Removals, settings: GatewaySettings, stopped: threading.Event) -> Cleaned:
    """Remove what is older than the settings keep, and files that a crash left without a study.

    Ends early, in good order, once `stopped` is set.
    """
    cleaned = Cleaned()
    if settings.retention_days is not None:
        before = datetime.now(UTC) - timedelta(days=settings.retention_days)
        while not stopped.is_set() and (old := removals.expired(before, _STUDIES_AT_ONCE)):
            for study_id in old:
                event = by_the_machine(EXPIRY_ACTION, study_id=study_id, subject=_SUBJECT)
                try:
                    cleaned.studies += removals.study(study_id, event)
                except FilesLeft as error:
                    # Its rows are gone and on record; the files are tried again below.
                    cleaned.studies += 1
                    _LOG.warning("files are left", extra={"detail": error.detail})
                if stopped.is_set():
                    break
    if settings.audit_retention_days is not None:
        cleaned.audit_entries = _clean_log(removals, settings.audit_retention_days, stopped)
    if not stopped.is_set():
        cleaned.leftovers = removals.leftovers()
    return cleaned


def _clean_log(removals: Removals, days: int, stopped: threading.Event) -> int:
    before = as_written(datetime.now(UTC) - timedelta(days=days))
    removed = 0
    while not stopped.is_set():
        event = by_the_machine("pruneAuditLog", subject=_SUBJECT)
        if not (gone := removals.audit_entries(before, _LINES_AT_ONCE, event)):
            break
        removed += gone
    return removed


@asynccontextmanager
async def cleaned_daily(archive: Archive, settings: GatewaySettings) -> AsyncIterator[None]:
    """Clean at the start and once a day."""
    stopped = threading.Event()

    async def work() -> None:
        try:
            done = await archive.in_thread(clean, archive.removals, settings, stopped)
        except ServiceError as error:
            _LOG.warning("the archive was not cleaned", extra={"detail": error.detail})
        else:
            if done != Cleaned():
                _LOG.info("the archive was cleaned", extra=vars(done))

    async with in_background(partial(repeat, work, _DAY_S, "the archive was not cleaned")):
        try:
            yield
        finally:
            # What is being cleaned ends in its thread, in good order; the archive waits for that.
            stopped.set()
