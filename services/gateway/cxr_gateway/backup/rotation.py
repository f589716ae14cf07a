"""Backups of one folder: each costs what has changed, and the oldest make room.

A study's original and images are never written anew under their names, so a file that is beside the
backups already, and that the latest of them names with its sum, is not read again. What no backup
names is removed. `verify` reads every byte, and finds what a disk has lost since.
"""

import fcntl
import hashlib
import os
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from cxr_gateway.archive import FileStore, open_files
from cxr_gateway.archive.db_errors import FULL_ERRORS
from cxr_gateway.backup.backup import back_up
from cxr_gateway.backup.form import (
    BESIDE,
    BackupError,
    Entry,
    Manifest,
    backups_in,
    beside,
    file_name,
    opened,
)
from cxr_gateway.backup.sealing import BackupKey, backup_key
from cxr_gateway.core.settings import GatewaySettings
from cxr_serving.errors import NotFound

_PART = ".part"


def back_up_into(
    settings: GatewaySettings, folder: Path, *, keep: int, keys: bool = True
) -> tuple[Path, Manifest, int]:
    """Add a backup to a folder, and remove the oldest beyond `keep`.

    Args:
        settings: of the archive.
        folder: of backups, made if it is not there.
        keep: how many backups stay, the new one among them.
        keys: as of `back_up`.

    Returns:
        The backup, its manifest, and the bytes that were copied for it.

    Raises:
        BackupError: as `back_up`, or another backup is being made there.
        ServiceError: the archive cannot be read.
    """
    with _alone_in(folder):
        target = folder / f"{datetime.now(UTC):%Y%m%dT%H%M%SZ}.zip"
        pool = _Pool(open_files(settings), target, _known(folder, backup_key(settings)))
        manifest = back_up(settings, target, keys=keys, put_file=pool.put)
        for old in backups_in(folder)[:-keep]:
            old.unlink()
        _remove_unnamed(folder, backup_key(settings))
    return target, manifest, pool.copied_bytes


class _Pool:
    """The studies' files beside the backups."""

    def __init__(self, files: FileStore, target: Path, known: dict[str, Entry]) -> None:
        self._files = files
        self._target = target
        self._known = known
        self.copied_bytes = 0

    def put(
        self, _archive: zipfile.ZipFile, entries: dict[str, Entry], study_id: str, name: str
    ) -> bool:
        """See `back_up`."""
        entry = file_name(study_id, name)
        path = beside(self._target, entry)
        if path is None:
            raise BackupError(f"{entry}: no name of a study's file.")
        known = self._known.get(entry)
        if known is not None and path.is_file() and path.stat().st_size == known.size_bytes:
            entries[entry] = known
            return True
        try:
            content = self._files.read(study_id, name)
        except NotFound:
            return False
        self._copy(content, path)
        entries[entry] = Entry(size_bytes=len(content), sha256=hashlib.sha256(content).hexdigest())
        return True

    def _copy(self, content: bytes, path: Path) -> None:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = path.with_name(path.name + _PART)
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
            stream.write(content)
            stream.flush()
            os.fsync(stream.fileno())
        part.replace(path)
        self.copied_bytes += len(content)


def _known(folder: Path, key: BackupKey | None) -> dict[str, Entry]:
    """What the latest backup names; nothing if there is none, or it is not ours."""
    for path in reversed(backups_in(folder)):
        try:
            with opened(path, key) as (_, manifest):
                return manifest.entries
        except BackupError:
            continue  # damaged: what is beside it is copied anew
    return {}


def _remove_unnamed(folder: Path, key: BackupKey | None) -> None:
    """Remove files that no backup names; none if one backup does not say what it names."""
    named = set[Path]()
    for path in backups_in(folder):
        try:
            with opened(path, key) as (_, manifest):
                named.update(found for entry in manifest.entries if (found := beside(path, entry)))
        except BackupError:
            return
    for shard in (folder / BESIDE).iterdir() if (folder / BESIDE).is_dir() else ():
        for path in shard.iterdir():
            if path not in named:
                path.unlink()


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        with os.fdopen(os.open(folder / ".lock", os.O_RDWR | os.O_CREAT, 0o600)) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            yield
    except BlockingIOError as error:
        raise BackupError(f"{folder}: another backup is being made there.") from error
    except OSError as error:
        room = "there is no room for the backup" if error.errno in FULL_ERRORS else error.strerror
        raise BackupError(f"{folder}: {room}; the backups that were there are whole.") from error
