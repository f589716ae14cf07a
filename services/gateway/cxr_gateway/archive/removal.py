"""A study removed for good: its rows and the audit log's line in one commit, then its files.

In this order a row never names a missing file. What a crash between the two leaves is files
without a row, which nothing shows; `Removals.leftovers` removes them.
"""

import contextlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, Engine, delete, insert, select
from sqlalchemy.exc import OperationalError

from cxr_gateway.archive import audit_chain as chain
from cxr_gateway.archive.audit_entries import Event, as_details
from cxr_gateway.archive.changes import note_deleted
from cxr_gateway.archive.db_errors import database_failures
from cxr_gateway.archive.files import FileStore
from cxr_gateway.archive.schema import current_database
from cxr_gateway.archive.store import open_files
from cxr_gateway.archive.sweeping import sweep
from cxr_gateway.archive.tables import Base, StudyRow, TombstoneRow
from cxr_gateway.core.settings import GatewaySettings

# How the audit log calls the end of a study: on request, and for its age.
DELETE_ACTION = "deleteStudy"
EXPIRY_ACTION = "removeStudy"
# An upload's files are without a row for as long as its analysis takes: seconds.
_SETTLED = timedelta(hours=1)


class Removals:
    """Removes studies and old entries of the audit log. Every method blocks."""

    def __init__(self, engine: Engine, files: FileStore) -> None:
        self._engine = engine
        self._files = files

    def study(self, study_id: str, event: Event) -> bool:
        """Remove rows and files, and put `event` on record; whether the study was there.

        Of several that remove the same study at once, one does.

        Raises:
            FilesLeft: the rows are gone, on record, and files are still there.
        """
        with database_failures(), self._engine.begin() as connection:
            chain.lock(connection)
            if not remove_rows(connection, study_id):
                return False
            chain.append(connection, [event])
        try:
            self._files.remove_study(study_id)
        finally:
            if self._engine.dialect.name == "sqlite":
                _forget_journal(self._engine)
        return True

    def expired(self, before: datetime, limit: int) -> list[str]:
        """Studies that were received before this time, the oldest first."""
        old = (
            select(StudyRow.id).where(StudyRow.received_at < before).order_by(StudyRow.received_at)
        )
        with database_failures(), self._engine.connect() as connection:
            return list(connection.scalars(old.limit(limit)))

    def leftovers(self) -> int:
        """Remove files whose study is gone; how many studies they were of.

        A bucket is left to the sweep of its own, which asks the storage how old the files are.
        """
        if self._files.sweep_age is not None:
            return 0
        return sweep(self._engine, self._files, _SETTLED)

    def audit_entries(self, before: str, at_most: int, event: Event) -> int:
        """Remove the oldest entries written before a time, and put `event` on record.

        Returns:
            How many went, at most `at_most`; 0 if none is so old.
        """
        with database_failures(), self._engine.begin() as connection:
            first = chain.start(connection).seq
            pruned = chain.prune(connection, before, at_most)
            if pruned is None:
                return 0
            anchor, details = pruned
            chain.append(connection, [replace(event, details=as_details(details))])
        return anchor.seq - first


def remove_rows(connection: Connection, study_id: str) -> bool:
    """Remove the study's row, after all that point to it; whether it was there.

    What is left is its id, so that no restore brings it back.
    """
    studies = Base.metadata.tables[StudyRow.__tablename__]
    for table in reversed(Base.metadata.sorted_tables):
        for column in table.columns:
            if any(key.column.table is studies for key in column.foreign_keys):
                connection.execute(delete(table).where(column == study_id))
    removed = delete(StudyRow).where(StudyRow.id == study_id).returning(StudyRow.department)
    department = connection.scalar(removed)
    if department is None:
        return False
    note_deleted(connection, study_id, department)
    if connection.scalar(select(TombstoneRow.study_id).where(TombstoneRow.study_id == study_id)):
        return True
    buried_now = insert(TombstoneRow).values(study_id=study_id, deleted_at=datetime.now(UTC))
    connection.execute(buried_now)
    return True


def buried(connection: Connection) -> list[str]:
    """The studies that are there, and were deleted for good once."""
    both = select(StudyRow.id).join(TombstoneRow, TombstoneRow.study_id == StudyRow.id)
    return list(connection.scalars(both))


@contextmanager
def open_removals(settings: GatewaySettings) -> Iterator[Removals]:
    """For a command: of these settings' archive, closed at the end."""
    with current_database(settings) as engine:
        yield Removals(engine, open_files(settings))


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
