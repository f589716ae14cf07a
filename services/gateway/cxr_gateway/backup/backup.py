"""A consistent copy of database and files into one file, while the gateway runs.

The rows come from one snapshot of the database. A row is written after its file, and an original
is removed with its study only, so each original that the snapshot names is there however long
copying takes, or its study was deleted meanwhile, which the manifest says. Images can be made
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
from functools import partial
from pathlib import Path
from typing import IO

from cxr_gateway.archive import FileStore, open_files, original_name
from cxr_gateway.archive.db_errors import FULL_ERRORS
from cxr_gateway.archive.dump import (
    API_KEYS,
    PSEUDONYM_KEYS,
    STUDIES,
    snapshot,
    studies_gone,
)
from cxr_gateway.archive.models import owned_by
from cxr_gateway.backup.form import FORMAT, MAC, MANIFEST, BackupError, Entry, Manifest, rows_name
from cxr_gateway.backup.form import file_name as entry_of_file
from cxr_gateway.backup.sealing import BackupKey, backup_key
from cxr_gateway.core.schemas import ImageSource
from cxr_gateway.core.settings import GatewaySettings
from cxr_serving.errors import NotFound
from cxr_serving.product import VERSION

_LOG = logging.getLogger(__name__)
_PART = ".cxr-backup-part"


# What a backup may be without, and is where it has no key of its own to hide it.
_KEY_TABLES = frozenset({API_KEYS, PSEUDONYM_KEYS})


PutFile = Callable[[zipfile.ZipFile, dict[str, Entry], str, str], bool]


def back_up(
    settings: GatewaySettings,
    target: Path,
    *,
    keys: bool = True,
    put_file: PutFile | None = None,
) -> Manifest:
    """Write a backup to `target`, which is whole or not there.

    Args:
        settings: of the archive; with a `backup_key_file` the backup carries a MAC.
        target: the file to be made.
        keys: whether API keys (as hashes) and the pseudonyms' key go along, the latter hidden by
            the backups' key; without that it never does.
        put_file: puts a study's file into the backup, or beside it, and says whether it was there;
            into it by default.

    Raises:
        BackupError: `target` is there already or cannot be written, or there is no archive.
        ServiceError: the archive cannot be read.
    """
    files, key = open_files(settings), backup_key(settings)
    put = put_file or partial(_write_file, files)
    left_out: frozenset[str] = frozenset()
    if not keys:
        left_out = _KEY_TABLES
    elif key is None:
        left_out = frozenset({PSEUDONYM_KEYS})
    with _new_file(target) as stream, zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
        entries: dict[str, Entry] = {}
        revision, studies = _write_rows(settings, archive, entries, left_out, key)
        missing = []
        for study_id, source, latest in studies:
            keeps = owned_by(source, latest)
            original = original_name(source)
            for name in sorted({original, *filter(keeps, files.names(study_id))}):
                copied = put(archive, entries, study_id, name)
                if not copied and name == original:
                    missing.append(study_id)
        removed = studies_gone(settings, missing)
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
        written = manifest.model_dump_json().encode()
        archive.writestr(MANIFEST, written, zipfile.ZIP_DEFLATED)
        if key is not None:
            archive.writestr(MAC, key.mac(written))
    return manifest


def _write_rows(
    settings: GatewaySettings,
    archive: zipfile.ZipFile,
    entries: dict[str, Entry],
    left_out: frozenset[str],
    key: BackupKey | None,
) -> tuple[str, list[tuple[str, ImageSource, int]]]:
    studies = []
    with snapshot(settings) as database:
        if STUDIES not in database.tables:
            raise BackupError("There is no archive to back up: its database has no studies.")
        for table in database.tables:
            if table in left_out:
                continue
            with _entry(archive, entries, rows_name(table), zipfile.ZIP_DEFLATED) as put:
                for row in database.rows(table):
                    if table == PSEUDONYM_KEYS and key is not None:
                        row["key"] = key.hidden(row["key"])
                    put(json.dumps(row, ensure_ascii=False).encode())
                    put(b"\n")
                    if table == STUDIES:
                        studies.append((row["id"], ImageSource(row["source"]), row["revision"]))
        return database.revision, studies


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
