"""A study removed for good: its rows and the audit log's line in one commit, then its files.

In this order a row never names a missing file. What a crash between the two leaves is files
without a row, which nothing shows; `sweep_leftovers` removes them.
"""

import contextlib
import logging
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, Engine, delete, select
from sqlalchemy.exc import OperationalError

from cxr_gateway.archive import FileStore
from cxr_gateway.archive.db_errors import database_failures
from cxr_gateway.archive.tables import Base, StudyRow
from cxr_gateway.audit import Event
from cxr_gateway.audit import hash_chain as chain
from cxr_gateway.core.ids import is_study_id, made_at

_LOG = logging.getLogger(__name__)
# How the audit log calls the end of a study: on request, and for its age.
DELETE_ACTION = "deleteStudy"
EXPIRY_ACTION = "removeStudy"
# An upload's files are without a row for as long as its reading takes: seconds.
_SETTLED = timedelta(hours=1)
_IDS_AT_ONCE = 500


def remove_study(engine: Engine, files: FileStore, study_id: str, event: Event) -> bool:
    """Remove rows and files, and put `event` on record; whether the study was there.

    Of several that remove the same study at once, one does.
    """
    with database_failures(), engine.begin() as connection:
        chain.lock(connection)
        if not remove_rows(connection, study_id):
            return False
        chain.append(connection, [event])
    files.remove_study(study_id)
    if engine.dialect.name == "sqlite":
        _forget_journal(engine)
    return True


def remove_rows(connection: Connection, study_id: str) -> bool:
    """Remove the study's row, after all that point to it; whether it was there."""
    studies = Base.metadata.tables[StudyRow.__tablename__]
    for table in reversed(Base.metadata.sorted_tables):
        for column in table.columns:
            if any(key.column.table is studies for key in column.foreign_keys):
                connection.execute(delete(table).where(column == study_id))
    removed = delete(StudyRow).where(StudyRow.id == study_id).returning(StudyRow.id)
    return connection.scalar(removed) is not None


def expired(engine: Engine, before: datetime, limit: int) -> list[str]:
    """Studies that were received before this time, the oldest first."""
    old = select(StudyRow.id).where(StudyRow.received_at < before).order_by(StudyRow.received_at)
    with database_failures(), engine.connect() as connection:
        return list(connection.scalars(old.limit(limit)))


def sweep_leftovers(engine: Engine, files: FileStore) -> int:
    """Remove files whose study is gone; how many studies they were of.

    A bucket is left to the sweep of its own, which asks the storage how old the files are.
    """
    if files.sweep_age is not None:
        return 0
    before = datetime.now(UTC) - _SETTLED
    settled = [name for name in files.study_ids() if is_study_id(name) and made_at(name) < before]
    orphans = []
    for place in range(0, len(settled), _IDS_AT_ONCE):
        some = settled[place : place + _IDS_AT_ONCE]
        with database_failures(), engine.connect() as connection:
            known = set(connection.scalars(select(StudyRow.id).where(StudyRow.id.in_(some))))
        orphans += [study_id for study_id in some if study_id not in known]
    for study_id in orphans:
        files.remove_study(study_id)
    if orphans:
        _LOG.warning("files without a study were removed", extra={"studies": len(orphans)})
    return len(orphans)


def _forget_journal(engine: Engine) -> None:
    """Have SQLite's journal, which holds what the row was, written out and cut to nothing.

    While somebody reads that is not possible, and not waited for: the journal is written over soon.
    """
    with database_failures(), engine.connect() as connection:
        patience_ms = connection.exec_driver_sql("PRAGMA busy_timeout").scalar_one()
        connection.exec_driver_sql("PRAGMA busy_timeout = 0")
        try:
            with contextlib.suppress(OperationalError):
                connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        finally:
            connection.exec_driver_sql(f"PRAGMA busy_timeout = {patience_ms:d}")
