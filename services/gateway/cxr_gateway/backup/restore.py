"""An archive made of a backup: verified whole, then the files, then all rows in one transaction.

Whatever ends a restore before its last commit leaves the database as it was; files that it had
written by then belong to no study, and are swept at the next start. The audit log is not wound
back, and what it says was deleted stays deleted; see `log_rows.py`.
"""

import zipfile
from collections.abc import Iterator
from datetime import datetime
from itertools import islice
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, DateTime, Table, delete, func, insert, inspect, select, text

from cxr_gateway.archive import FileStore, open_files
from cxr_gateway.archive.schema import EMPTY, LATEST, REVISIONS, change, exclusively
from cxr_gateway.archive.tables import APPLICATION, StudyRow
from cxr_gateway.audit import by_the_machine
from cxr_gateway.audit import hash_chain as chain
from cxr_gateway.backup.backup import tables_of
from cxr_gateway.backup.form import BackupError, Manifest, file_of, opened, rows_name, verify
from cxr_gateway.backup.log_rows import LOG, LOG_TABLES, keeping_log, removed_by_log, rows_in
from cxr_gateway.core.settings import GatewaySettings
from cxr_gateway.retention.removal import remove_rows

_ROWS_AT_ONCE = 500


def restore(settings: GatewaySettings, source: Path, *, replace: bool) -> Manifest:
    """Make the archive of these settings what the backup at `source` holds, at today's schema.

    Args:
        settings: of the archive; its database and storage may be of another kind.
        source: the backup.
        replace: whether an archive that holds studies may be replaced.

    Raises:
        BackupError: the backup is damaged or too new, the archive is in use or not empty.
        ServiceError: no room, or the database or storage cannot be used; it is as it was.
    """
    manifest = verify(source)
    if manifest.schema_revision not in REVISIONS:
        raise BackupError(
            f"{source}: its schema is {manifest.schema_revision}, this gateway knows those up to "
            f"{LATEST}; restore it with a newer gateway."
        )
    files = open_files(settings)
    try:
        if not files.open():
            raise BackupError(f"{settings.archive_dir}: a gateway uses this archive; stop it.")
        files.check_writable()
        database = settings.resolved_database_url
        with (
            opened(source) as (archive, _),
            exclusively(database, settings.database_timeout_s) as connection,
        ):
            _refuse_users(connection)
            held = _studies_in(connection)
            if held and not replace:
                raise BackupError(
                    f"The archive holds {held} studies. `--replace` puts the backup in their place."
                )
            _put_files(files, archive, manifest)
            gone = _put_rows(connection, archive, manifest, settings.archive_dir)
            chain.append(connection, [by_the_machine("restore")])
            known = set(connection.scalars(select(StudyRow.id)))
        # Committed: from here on the archive is the backup's.
        if files.sweep_age is None:
            files.sweep(set(files.study_ids()) - known)
        for study_id in gone:
            files.remove_study(study_id)
    finally:
        files.close()
    return manifest


def _put_files(files: FileStore, archive: zipfile.ZipFile, manifest: Manifest) -> None:
    for entry in manifest.entries:
        if (place := file_of(entry)) is not None:
            files.write(*place, archive.read(entry))


def _put_rows(
    connection: Connection, archive: zipfile.ZipFile, manifest: Manifest, folder: Path
) -> list[str]:
    """Replace all rows; the studies of the backup that have been deleted since, and stay so."""
    # By way of the schema that the rows were written in, whichever that was.
    change(connection, LATEST)
    with keeping_log(connection, rows_in(archive, rows_name(LOG)), folder) as kept:
        # What is there goes first: not all of it need have a form in an older schema.
        for table in reversed(tables_of(connection)):
            if table.name not in LOG_TABLES:
                connection.execute(delete(table))
        change(connection, EMPTY)
        change(connection, manifest.schema_revision)
        for table in tables_of(connection):
            entry = rows_name(table.name)
            if entry in manifest.entries and not (kept and table.name in LOG_TABLES):
                _insert(connection, table, rows_in(archive, entry))
        change(connection, LATEST)
        if kept:
            for table in tables_of(connection):
                if table.name in LOG_TABLES:
                    _insert(connection, table, kept.rows(table.name))
    gone = sorted({*manifest.removed, *removed_by_log(connection)})
    return [study_id for study_id in gone if remove_rows(connection, study_id)]


def _insert(connection: Connection, table: Table, rows: Iterator[dict[str, Any]]) -> None:
    times = {column.name for column in table.columns if isinstance(column.type, DateTime)}
    while some := list(islice(rows, _ROWS_AT_ONCE)):
        for row in some:
            for name in times & row.keys():
                row[name] = row[name] and datetime.fromisoformat(row[name])
        connection.execute(insert(table), some)


def _studies_in(connection: Connection) -> int:
    if not inspect(connection).has_table("studies"):
        return 0
    return connection.scalar(select(func.count()).select_from(StudyRow)) or 0


def _refuse_users(connection: Connection) -> None:
    if connection.dialect.name != "postgresql":
        return  # the folder's register has told
    others = text(
        "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() "
        "AND application_name = :name AND pid <> pg_backend_pid()"
    )
    if connection.scalar(others, {"name": APPLICATION}):
        raise BackupError("A gateway uses this archive's database; stop every gateway first.")
