"""All rows of the archive's database, read from one snapshot for a backup."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Connection, MetaData, Table, inspect, select

from cxr_gateway.archive.database import open_by_itself
from cxr_gateway.archive.db_errors import database_failures
from cxr_gateway.archive.schema import revision_of
from cxr_gateway.archive.tables import ApiKeyRow, Base, PseudonymKeyRow, StudyRow
from cxr_gateway.core.settings import GatewaySettings

STUDIES = StudyRow.__tablename__
API_KEYS = ApiKeyRow.__tablename__
PSEUDONYM_KEYS = PseudonymKeyRow.__tablename__
_ROWS_AT_ONCE = 500
# What 0.1 made has tables, and no revision of its own.
_FIRST = "0001"


@dataclass(frozen=True)
class Snapshot:
    """The database at one moment."""

    revision: str
    _connection: Connection
    _tables: list[Table]

    @property
    def tables(self) -> list[str]:
        """Their names, those that others point to first; without those that are not backed up."""
        return [table.name for table in self._tables]

    def rows(self, name: str) -> Iterator[dict[str, Any]]:
        """The rows of a table; a time is ISO 8601 in UTC."""
        table = next(table for table in self._tables if table.name == name)
        asked = self._connection.execution_options(yield_per=_ROWS_AT_ONCE)
        with asked.execute(select(table)) as found:
            for row in found.mappings():
                yield {
                    column: _in_utc(value) if isinstance(value, datetime) else value
                    for column, value in row.items()
                }


@contextmanager
def snapshot(settings: GatewaySettings) -> Iterator[Snapshot]:
    """The database of these settings, as it is now until the end of the block."""
    engine = open_by_itself(settings.resolved_database_url, "BEGIN", "REPEATABLE READ")
    try:
        with database_failures(), engine.begin() as connection:
            revision = revision_of(connection) or _FIRST
            yield Snapshot(revision, connection, tables_of(connection))
    finally:
        engine.dispose()


def tables_of(connection: Connection) -> list[Table]:
    """The archive's tables as they are in this database, those that others point to first.

    Without those whose rows are not backed up.
    """
    there = set(inspect(connection).get_table_names())
    kept = {name for name, table in Base.metadata.tables.items() if not table.info.get("live_only")}
    found = MetaData()
    found.reflect(connection, only=sorted(there & kept))
    return found.sorted_tables


def studies_gone(settings: GatewaySettings, study_ids: list[str]) -> list[str]:
    """Those of the studies that are no longer in the database."""
    if not study_ids:
        return []
    engine = open_by_itself(settings.resolved_database_url, "BEGIN")
    try:
        with database_failures(), engine.begin() as connection:
            there = select(StudyRow.id).where(StudyRow.id.in_(study_ids))
            return sorted(set(study_ids) - set(connection.scalars(there)))
    finally:
        engine.dispose()


def _in_utc(moment: datetime) -> str:
    # SQLite forgets the zone; the archive writes UTC only.
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.astimezone(UTC).isoformat()
