"""An archive made of a backup: verified whole, then the files, then all rows in one transaction.

Whatever ends a restore before its last commit leaves the database as it was; files that it had
written by then belong to no study, and are swept at the next start. The audit log is not wound
back, and what it says was deleted stays deleted; see `log_rows.py`.
"""

import json
import re
import zipfile
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from cxr_gateway.archive import FileStore, open_files
from cxr_gateway.archive.dump import PSEUDONYM_KEYS
from cxr_gateway.archive.restored_log import is_removal
from cxr_gateway.archive.restoring import restoration
from cxr_gateway.archive.schema import LATEST, REVISIONS
from cxr_gateway.audit import by_the_machine
from cxr_gateway.backup.form import (
    BackupError,
    Manifest,
    content,
    file_of,
    latest_of,
    lines,
    opened,
    rows_name,
    verify,
)
from cxr_gateway.backup.sealing import BackupKey, backup_key
from cxr_gateway.core.settings import GatewaySettings

# As backups held it before they had a key.
_IN_CLEAR = re.compile(r"[0-9a-f]{64}")
# Each is on the disk, or in the bucket, before it counts as written: most of that is waiting.
_FILES_AT_ONCE = 8


def restore(
    settings: GatewaySettings, source: Path, *, replace: bool, deleted: Path | None = None
) -> Manifest:
    """Make the archive of these settings what the backup at `source` holds, at today's schema.

    Args:
        settings: of the archive; its database and storage may be of another kind.
        source: the backup.
        replace: whether an archive that holds studies may be replaced.
        deleted: shipped entries of the audit log, JSON lines: what they say was deleted stays so,
            also where the archive that knew it is lost.

    Raises:
        BackupError: the backup is damaged or too new, the archive is in use or not empty.
        ServiceError: no room, or the database or storage cannot be used; it is as it was.
    """
    key, source = backup_key(settings), latest_of(source)
    manifest = verify(source, key)
    gone_since = [] if deleted is None else _deleted_by(deleted)
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
        with opened(source, key) as (archive, _), restoration(settings) as database:
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
            details = {
                "from": str(source.absolute()),
                "made_at": manifest.made_at,
                "n_replaced": held,
            }
            gone = database.replace(
                manifest.schema_revision,
                partial(_rows_in, archive, key),
                [*manifest.removed, *gone_since],
                settings.archive_dir,
                by_the_machine("restore", details=details),
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
    """Write the studies' files; a failure of one is raised, and no more are begun."""
    writing: deque[Future[None]] = deque()
    with ThreadPoolExecutor(_FILES_AT_ONCE) as writers:
        for entry in manifest.entries:
            if (place := file_of(entry)) is not None:
                if len(writing) == _FILES_AT_ONCE:
                    writing.popleft().result()
                found = content(archive, entry, manifest.entries[entry])
                writing.append(writers.submit(files.write, *place, found))
        for last in writing:
            last.result()


def _rows_in(
    archive: zipfile.ZipFile, key: BackupKey | None, table: str
) -> Iterator[dict[str, Any]] | None:
    """The rows of a table, as `archive.restoring` reads them."""
    entry = rows_name(table)
    if entry not in archive.namelist():
        return None
    rows = map(json.loads, lines(archive, entry))
    return _with_secrets(archive, key, rows) if table == PSEUDONYM_KEYS else rows


def _with_secrets(
    archive: zipfile.ZipFile, key: BackupKey | None, rows: Iterator[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    for row in rows:
        if key is not None:
            try:
                row["key"] = key.shown(row["key"])
            except ValueError as error:
                raise BackupError(
                    f"{archive.filename}: the pseudonyms' key in it is {error}."
                ) from error
        elif not _IN_CLEAR.fullmatch(row["key"]):
            raise BackupError(
                f"{archive.filename}: it was made with a key, which CXR_GATEWAY_BACKUP_KEY_FILE "
                "has to name."
            )
        yield row


def _deleted_by(path: Path) -> list[str]:
    """The studies that shipped entries say were deleted."""
    try:
        with path.open() as file:
            entries = [json.loads(line) for line in file if line.strip()]
        return [entry["study_id"] for entry in entries if is_removal(entry)]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BackupError(f"{path}: no entries of the audit log ({error}).") from error
