"""The form of a backup: a zip file that either kind of database, and of storage, can be made of.

    rows/<table>.jsonl         a row a line; times in ISO 8601, UTC
    studies/<study id>/<name>  the study's files, as they lie in the archive
    manifest.json              schema, time, and size and sha256 of every entry before it
    manifest.hmac              HMAC of the manifest, where the installation has a key for it

The manifest is written last, and a zip's directory after it: what is cut short has neither.

Of the backups of one folder (`rotation.py`) the studies' files lie beside them, each of them once:

    <time>.zip                           rows, manifest and MAC
    files/<shard>/<study id>.<name>      what the manifests name
"""

import hashlib
import json
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from pydantic import BaseModel, ConfigDict, ValidationError

from cxr_contracts import Sha256
from cxr_gateway.backup.sealing import BackupKey
from cxr_gateway.core.errors import CommandError
from cxr_gateway.core.ids import is_study_id

MANIFEST = "manifest.json"
MAC = "manifest.hmac"
FORMAT = 1
BESIDE = "files"
_NAMED = re.compile(r"[0-9]{8}T[0-9]{6}Z\.zip")
CHUNK_BYTES = 1024 * 1024
_ROWS = re.compile(r"rows/([a-z_]+)\.jsonl")
_FILE = re.compile(r"studies/([0-9a-z]{26})/([A-Za-z_0-9-]+\.[a-z]{3,4})")
_MAX_MANIFEST_BYTES = 1 << 30
_MAX_ROW_BYTES = 64 * 1024 * 1024
_MAC_BYTES = 64
# A changed byte may break an entry's head or its compression before its sum is reached.
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)


class BackupError(CommandError):
    """What an operator is told, a sentence: the backup or the archive is not as it must be."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class Entry(_Part):
    """One file of the backup."""

    size_bytes: int
    sha256: Sha256


class Manifest(_Part):
    """What a backup says of itself.

    `missing` names studies whose original the archive had lost, and `removed` those that were
    deleted while the backup was made: their rows are in it, and are not restored.
    """

    format: int
    product: str
    schema_revision: str
    made_at: str
    studies: int
    missing: list[str]
    removed: list[str] = []
    entries: dict[str, Entry]


def rows_name(table: str) -> str:
    """The entry of a table's rows."""
    return f"rows/{table}.jsonl"


def table_of(entry: str) -> str | None:
    """The table whose rows the entry holds, if it holds rows."""
    match = _ROWS.fullmatch(entry)
    return match and match[1]


def file_name(study_id: str, name: str) -> str:
    """The entry of a study's file."""
    return f"studies/{study_id}/{name}"


def beside(backup: Path, entry: str) -> Path | None:
    """Where an entry's file lies beside a backup; None of what is no study's file."""
    place = file_of(entry)
    if place is None:
        return None
    study_id, name = place
    # The end of an id is random, so the folders fill evenly.
    return backup.parent / BESIDE / study_id[-2:] / f"{study_id}.{name}"


class BackupFile(zipfile.ZipFile):
    """A backup, whose studies' files may lie beside it."""

    def open(self, name: Any, mode: Any = "r", *rest: Any, **options: Any) -> Any:
        """An entry, wherever it is."""
        if mode == "r" and isinstance(name, str) and name not in self.NameToInfo:
            path = beside(Path(str(self.filename)), name)
            if path is not None and path.is_file():
                return path.open("rb")
        return super().open(name, mode, *rest, **options)

    def has(self, name: str) -> bool:
        """Whether an entry is there, in the zip or beside it."""
        if name in self.NameToInfo:
            return True
        path = beside(Path(str(self.filename)), name)
        return path is not None and path.is_file()


def file_of(entry: str) -> tuple[str, str] | None:
    """Study and name, if the entry is a study's file; nothing else may become a path."""
    match = _FILE.fullmatch(entry)
    return (match[1], match[2]) if match and is_study_id(match[1]) else None


@contextmanager
def opened(path: Path, key: BackupKey | None = None) -> Iterator[tuple[BackupFile, Manifest]]:
    """A backup and its manifest; BackupError for what is none, is cut short, or not made by `key`.

    Args:
        path: of the backup, or of a folder of backups: then the latest of them.
        key: of the installation; None believes any backup that is not sealed.
    """
    path = latest_of(path)
    try:
        with BackupFile(path) as archive:
            yield archive, _manifest(path, archive, key)
    except FileNotFoundError as error:
        raise BackupError(f"{path}: there is no such file.") from error
    except (zipfile.BadZipFile, EOFError) as error:
        raise BackupError(f"{path}: not a backup, or cut short; nothing was changed.") from error


def verify(path: Path, key: BackupKey | None = None) -> Manifest:
    """Read the whole backup; BackupError at the first entry that is not as it was written."""
    with opened(path, key) as (archive, manifest):
        for name, entry in manifest.entries.items():
            if digest(archive, name, entry.size_bytes) != entry:
                raise BackupError(f"{path}: {name} was changed; nothing was restored.")
    return manifest


def digest(archive: zipfile.ZipFile, name: str, at_most: int) -> Entry:
    """Size and sha256 of an entry as it is; no more than a piece beyond `at_most` bytes is read."""
    sha256, size = hashlib.sha256(), 0
    try:
        with archive.open(name) as stream:
            for chunk in chunks(stream):
                sha256.update(chunk)
                size += len(chunk)
                if size > at_most:
                    break  # a bomb, or another content: either way not what the manifest says
    except _BROKEN as error:
        raise BackupError(f"{archive.filename}: {name} was changed ({error}).") from error
    return Entry(size_bytes=size, sha256=sha256.hexdigest())


def content(archive: zipfile.ZipFile, name: str, entry: Entry) -> bytes:
    """A study's file, held to the manifest once more: it may have changed since `verify`."""
    found = b""
    try:
        with archive.open(name) as stream:
            found = stream.read(entry.size_bytes + 1)
    except _BROKEN as error:
        raise BackupError(f"{archive.filename}: {name} was changed ({error}).") from error
    if Entry(size_bytes=len(found), sha256=hashlib.sha256(found).hexdigest()) != entry:
        raise BackupError(f"{archive.filename}: {name} was changed.")
    return found


def lines(archive: zipfile.ZipFile, name: str) -> Iterator[bytes]:
    """The rows of an entry; BackupError for a line that is longer than a row can be."""
    with archive.open(name) as stream:
        while line := stream.readline(_MAX_ROW_BYTES + 1):
            if len(line) > _MAX_ROW_BYTES:
                raise BackupError(f"{archive.filename}: {name} has a row that is too long.")
            yield line


def chunks(stream: IO[bytes]) -> Iterator[bytes]:
    """What is left of a stream, in pieces."""
    while chunk := stream.read(CHUNK_BYTES):
        yield chunk


def latest_of(path: Path) -> Path:
    """A backup itself, or the latest one of a folder; BackupError if there is none in it."""
    if not path.is_dir():
        return path
    found = backups_in(path)
    if not found:
        raise BackupError(f"{path}: there is no backup in this folder.")
    return found[-1]


def backups_in(folder: Path) -> list[Path]:
    """The backups of a folder that `rotation.py` keeps, the oldest first."""
    return sorted(path for path in folder.glob("*.zip") if _NAMED.fullmatch(path.name))


def _manifest(path: Path, archive: BackupFile, key: BackupKey | None) -> Manifest:
    names = archive.namelist()
    if MANIFEST not in names or archive.getinfo(MANIFEST).file_size > _MAX_MANIFEST_BYTES:
        raise BackupError(f"{path}: a zip file without a backup's {MANIFEST}.")
    if key is not None:
        _check_mac(path, archive, key)
    elif MAC in names:
        # Unread, a seal would hold nobody to anything.
        raise BackupError(
            f"{path}: it is sealed; CXR_GATEWAY_BACKUP_KEY_FILE has to name the key that it was "
            "made with."
        )
    try:
        content = json.loads(archive.read(MANIFEST))
        if content.get("format") != FORMAT:
            raise BackupError(
                f"{path}: {MANIFEST} names format {content.get('format')}, this gateway reads "
                f"{FORMAT}."
            )
        manifest = Manifest.model_validate(content)
    except (ValueError, ValidationError, AttributeError) as error:
        raise BackupError(f"{path}: {MANIFEST} was changed.") from error
    own = [MANIFEST, MAC] if MAC in names else [MANIFEST]
    expected = {*manifest.entries, *own}
    if (
        len(names) != len(set(names))
        or set(names) - expected
        or not all(map(archive.has, expected))
    ):
        raise BackupError(f"{path}: {MANIFEST} does not name the entries that are there.")
    for name in manifest.entries:
        if table_of(name) is None and file_of(name) is None:
            raise BackupError(f"{path}: {name} belongs to no backup.")
    return manifest


def _check_mac(path: Path, archive: BackupFile, key: BackupKey) -> None:
    if MAC not in archive.namelist():
        raise BackupError(f"{path}: it carries no MAC, and this installation's backups do.")
    with archive.open(MAC) as stream:
        mac = stream.read(_MAC_BYTES).decode("ascii", "replace")
    if not key.made(archive.read(MANIFEST), mac):
        raise BackupError(f"{path}: it was not made with this installation's key, or was changed.")
