"""An archive made of a backup: verified whole, then the files, then all rows in one transaction.

Whatever ends a restore before its last commit leaves the database as it was; files that it had
written by then belong to no study, and are swept at the next start. The audit log is not wound
back, and what it says was deleted stays deleted; see `log_rows.py`.
"""

import json
import zipfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from cxr_gateway.archive import FileStore, open_files
from cxr_gateway.archive.restoring import restoration
from cxr_gateway.archive.schema import LATEST, REVISIONS
from cxr_gateway.audit import by_the_machine
from cxr_gateway.backup.form import BackupError, Manifest, file_of, opened, rows_name, verify
from cxr_gateway.core.settings import GatewaySettings


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
        with opened(source) as (archive, _), restoration(settings) as database:
            if database.is_used():
                raise BackupError(
                    "A gateway uses this archive's database; stop every gateway first."
                )
            held = database.studies()
            if held and not replace:
                raise BackupError(
                    f"The archive holds {held} studies. `--replace` puts the backup in their place."
                )
            _put_files(files, archive, manifest)
            gone = database.replace(
                manifest.schema_revision,
                partial(_rows_in, archive),
                manifest.removed,
                settings.archive_dir,
                by_the_machine("restore"),
            )
            known = database.study_ids()
        # Committed: from here on the archive is the backup's.
        if files.sweep_age is None:
            files.remove_incoming()
            for study_id in set(files.study_ids()) - known:
                files.remove_study(study_id)
        for study_id in gone:
            files.remove_study(study_id)
    finally:
        files.close()
    return manifest


def _put_files(files: FileStore, archive: zipfile.ZipFile, manifest: Manifest) -> None:
    for entry in manifest.entries:
        if (place := file_of(entry)) is not None:
            files.write(*place, archive.read(entry))


def _rows_in(archive: zipfile.ZipFile, table: str) -> Iterator[dict[str, Any]] | None:
    """The rows of a table, as `archive.restoring` reads them."""
    entry = rows_name(table)
    return _lines(archive, entry) if entry in archive.namelist() else None


def _lines(archive: zipfile.ZipFile, entry: str) -> Iterator[dict[str, Any]]:
    with archive.open(entry) as lines:
        yield from map(json.loads, lines)
