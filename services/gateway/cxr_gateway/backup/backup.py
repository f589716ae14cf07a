"""A consistent copy of database and files into one file, while the gateway runs.

The rows come from one snapshot of the database. A row is written after its file, and an original
is removed with its study only, so each original that the snapshot names is there however long
copying takes, or its study was deleted meanwhile, which the manifest says. Pictures can be made
again: one that goes meanwhile is left out.
"""

import fcntl
import hashlib
import json
import logging
import os
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from sqlalchemy import Connection, MetaData, Table, inspect, select

from cxr_gateway.archive import FileStore, open_files, original_name
from cxr_gateway.archive.db_errors import FULL_ERRORS, database_failures
from cxr_gateway.archive.models import owned_by
from cxr_gateway.archive.schema import revision_of
from cxr_gateway.archive.tables import Base, StudyRow, open_by_itself
from cxr_gateway.backup.form import FORMAT, MANIFEST, BackupError, Entry, Manifest, rows_name
from cxr_gateway.backup.form import file_name as entry_of_file
from cxr_gateway.core.schemas import ImageSource
from cxr_gateway.core.settings import GatewaySettings
from cxr_serving.errors import NotFound
from cxr_serving.product import VERSION

_LOG = logging.getLogger(__name__)
_PART = ".cxr-backup-part"
_ROWS_AT_ONCE = 500
# What 0.1 made has tables, and no revision of its own.
_FIRST = "0001"


def back_up(settings: GatewaySettings, target: Path) -> Manifest:
    """Write a backup to `target`, which is whole or not there.

    Raises:
        BackupError: `target` is there already or cannot be written, or there is no archive.
        ServiceError: the archive cannot be read.
    """
    files = open_files(settings)
    with _new_file(target) as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        entries: dict[str, Entry] = {}
        revision, studies = _write_rows(settings, archive, entries)
        missing = []
        for study_id, source, reading in studies:
            keeps = owned_by(source, reading)
            original = original_name(source)
            for name in sorted({original, *filter(keeps, files.names(study_id))}):
                copied = _write_file(files, archive, entries, study_id, name)
                if not copied and name == original:
                    missing.append(study_id)
        removed = _removed(settings, missing)
        manifest = Manifest(
            format=FORMAT,
            product=VERSION,
            schema_revision=revision,
            made_at=datetime.now(UTC).isoformat(timespec="seconds"),
            studies=len(studies),
            missing=[study_id for study_id in missing if study_id not in removed],
            removed=removed,
            entries=entries,
        )
        archive.writestr(MANIFEST, manifest.model_dump_json(), zipfile.ZIP_DEFLATED)
    return manifest


def tables_of(connection: Connection) -> list[Table]:
    """The archive's tables as they are in this database, those that others point to first.

    Without those of which a backup holds nothing.
    """
    there = set(inspect(connection).get_table_names())
    kept = {name for name, table in Base.metadata.tables.items() if not table.info.get("live_only")}
    found = MetaData()
    found.reflect(connection, only=sorted(there & kept))
    return found.sorted_tables


def _write_rows(
    settings: GatewaySettings, archive: zipfile.ZipFile, entries: dict[str, Entry]
) -> tuple[str, list[tuple[str, ImageSource, int]]]:
    studies = []
    engine = open_by_itself(settings.resolved_database_url, "BEGIN", "REPEATABLE READ")
    try:
        with database_failures(), engine.begin() as connection:
            revision = revision_of(connection)
            tables = tables_of(connection)
            if "studies" not in {table.name for table in tables}:
                raise BackupError("There is no archive to back up: its database has no studies.")
            for table in tables:
                rows = connection.execution_options(yield_per=_ROWS_AT_ONCE).execute(select(table))
                with _entry(archive, entries, rows_name(table.name), zipfile.ZIP_DEFLATED) as put:
                    for row in rows.mappings():
                        put(json.dumps(dict(row), default=_in_utc, ensure_ascii=False).encode())
                        put(b"\n")
                        if table.name == "studies":
                            source = ImageSource(row["source"])
                            studies.append((row["id"], source, row["revision"]))
    finally:
        engine.dispose()
    return revision or _FIRST, studies


def _removed(settings: GatewaySettings, without_original: list[str]) -> list[str]:
    """Those of the studies that are no longer in the database."""
    if not without_original:
        return []
    engine = open_by_itself(settings.resolved_database_url, "BEGIN")
    try:
        with database_failures(), engine.begin() as connection:
            there = select(StudyRow.id).where(StudyRow.id.in_(without_original))
            return sorted(set(without_original) - set(connection.scalars(there)))
    finally:
        engine.dispose()


def _write_file(
    files: FileStore,
    archive: zipfile.ZipFile,
    entries: dict[str, Entry],
    study_id: str,
    name: str,
) -> bool:
    try:
        content = files.read(study_id, name)
    except NotFound:
        return False
    with _entry(archive, entries, entry_of_file(study_id, name), zipfile.ZIP_STORED) as put:
        put(content)
    return True


@contextmanager
def _entry(
    archive: zipfile.ZipFile, entries: dict[str, Entry], name: str, compression: int
) -> Iterator[Callable[[bytes], None]]:
    info = zipfile.ZipInfo(name, datetime.now(UTC).timetuple()[:6])
    info.compress_type = compression
    info.external_attr = 0o600 << 16
    sha256, size = hashlib.sha256(), 0
    with archive.open(info, "w", force_zip64=True) as stream:

        def put(content: bytes) -> None:
            nonlocal size
            stream.write(content)
            sha256.update(content)
            size += len(content)

        yield put
    entries[name] = Entry(size_bytes=size, sha256=sha256.hexdigest())


@contextmanager
def _new_file(target: Path) -> Iterator[IO[bytes]]:
    """A file that becomes `target` at the end, or is gone; readable by this user only."""
    if target.exists():
        raise BackupError(f"{target}: there already; a backup never replaces a file.")
    part = target.with_name(f".{target.name}{_PART}")
    try:
        _remove_what_a_kill_left(target.parent)
        with os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600), "w+b") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX)
                yield stream
                stream.flush()
                os.fsync(stream.fileno())
                # Fails if somebody else wrote it meanwhile, where a rename would replace it.
                os.link(part, target)
            finally:
                part.unlink(missing_ok=True)
    except OSError as error:
        room = "there is no room for the backup" if error.errno in FULL_ERRORS else error.strerror
        raise BackupError(f"{target}: {room}; nothing of it was kept.") from error


def _remove_what_a_kill_left(folder: Path) -> None:
    for path in folder.glob(f".*{_PART}"):
        with path.open("rb") as stream:
            try:
                fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                continue  # another backup is being written
            path.unlink()
            _LOG.warning("what a killed backup left was removed", extra={"file": path.name})


def _in_utc(value: Any) -> str:
    if not isinstance(value, datetime):
        raise TypeError(f"no form for {type(value).__name__} in a backup")
    # SQLite forgets the zone; the archive writes UTC only.
    aware = value if value.tzinfo else value.replace(tzinfo=UTC)
    return aware.astimezone(UTC).isoformat()
