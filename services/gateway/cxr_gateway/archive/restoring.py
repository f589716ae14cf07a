"""All rows of the archive's database replaced by those of a backup, in one transaction.

What ends it before its commit leaves the database as it was. The audit log is not wound back, and
what it says was deleted stays deleted; see `restored_log.py`.
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, DateTime, Table, delete, func, insert, inspect, select, text

from cxr_gateway.archive import audit_chain as chain
from cxr_gateway.archive.audit_entries import Event
from cxr_gateway.archive.audit_guards import min_age_days, set_min_age_days, unguarded
from cxr_gateway.archive.changes import begin_feed
from cxr_gateway.archive.database import APPLICATION
from cxr_gateway.archive.database_roles import grant_application
from cxr_gateway.archive.dump import API_KEYS, PSEUDONYM_KEYS, tables_of
from cxr_gateway.archive.removal import buried, remove_rows
from cxr_gateway.archive.restored_log import LOG, LOG_TABLES, log_preserved, removed_by_log
from cxr_gateway.archive.schema import EMPTY, LATEST, change, exclusively
from cxr_gateway.archive.tables import Base, StudyRow, TombstoneRow
from cxr_gateway.core.settings import GatewaySettings

_ROWS_AT_ONCE = 500
TOMBSTONES = TombstoneRow.__tablename__
# What stays as it is where the backup does not have it; of tombstones also where it does.
_OWN = (API_KEYS, PSEUDONYM_KEYS, TOMBSTONES)
# The rows that a backup has of a table; None if it has no such table.
Rows = Callable[[str], Iterator[dict[str, Any]] | None]


class Restoration:
    """The transaction of a restore."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    def is_used(self) -> bool:
        """Whether a gateway uses the database; of SQLite only the folder's lock tells."""
        if self._connection.dialect.name != "postgresql":
            return False
        others = text(
            "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
            "AND application_name = :name AND pid <> pg_backend_pid()"
        )
        return bool(self._connection.scalar(others, {"name": APPLICATION}))

    def studies(self) -> int:
        """How many studies it holds."""
        if not inspect(self._connection).has_table(StudyRow.__tablename__):
            return 0
        return self._connection.scalar(select(func.count()).select_from(StudyRow)) or 0

    def study_ids(self) -> set[str]:
        """Every study that it holds."""
        return set(self._connection.scalars(select(StudyRow.id)))

    def replace(
        self, revision: str, rows: Rows, removed: Collection[str], folder: Path, event: Event
    ) -> list[str]:
        """Replace all rows, and put `event` on record.

        Args:
            revision: the schema in which the backup's rows were written.
            rows: of the backup.
            removed: studies that were deleted while the backup was made.
            folder: where there is room for what is written aside.
            event: of the restore.

        Returns:
            Studies of the backup that have been deleted since, and stay so.
        """
        connection = self._connection
        policy = min_age_days(connection)
        kept_rows = {
            table.name: [dict(row) for row in connection.execute(select(table)).mappings()]
            for table in tables_of(connection)
            if table.name in _OWN and (rows(table.name) is None or table.name == TOMBSTONES)
        }
        # By way of the schema that the rows were written in, whichever that was.
        change(connection, LATEST)
        with log_preserved(connection, rows(LOG) or iter(()), folder) as kept:
            # What is there goes first: not all of it need have a form in an older schema.
            for table in reversed(tables_of(connection)):
                if table.name not in LOG_TABLES:
                    connection.execute(delete(table))
            change(connection, EMPTY)
            change(connection, revision)
            for table in tables_of(connection):
                found = rows(table.name)
                if found is not None and table.name not in LOG_TABLES:
                    _insert(connection, table, found)
            change(connection, LATEST)
            # No migration changes an entry, so the log goes into today's tables as it is.
            with unguarded(connection):
                for table in tables_of(connection):
                    if table.name in LOG_TABLES:
                        found = kept.rows(table.name) if kept else rows(table.name)
                        _insert(connection, table, found or iter(()))
            for name, own in kept_rows.items():
                _insert_missing(connection, Base.metadata.tables[name], own)
            if policy is not None:
                set_min_age_days(connection, policy)
        begin_feed(connection)
        gone = sorted({*removed, *removed_by_log(connection), *buried(connection)})
        gone = [study_id for study_id in gone if remove_rows(connection, study_id)]
        chain.append(connection, [event])
        # The tables were made anew.
        grant_application(connection)
        return gone


@contextmanager
def restoration(settings: GatewaySettings) -> Iterator[Restoration]:
    """A restore of these settings' database, committed at the end of the block."""
    with exclusively(settings.resolved_database_url, settings.database_timeout_s) as connection:
        yield Restoration(connection)


def _insert_missing(connection: Connection, table: Table, rows: list[dict[str, Any]]) -> None:
    [key] = table.primary_key.columns
    there = set(connection.scalars(select(key)))
    if missing := [row for row in rows if row[key.name] not in there]:
        connection.execute(insert(table), missing)


def _insert(connection: Connection, table: Table, rows: Iterator[dict[str, Any]]) -> None:
    times = {column.name for column in table.columns if isinstance(column.type, DateTime)}
    while some := list(islice(rows, _ROWS_AT_ONCE)):
        for row in some:
            for name in times & row.keys():
                row[name] = row[name] and datetime.fromisoformat(row[name])
        connection.execute(insert(table), some)
