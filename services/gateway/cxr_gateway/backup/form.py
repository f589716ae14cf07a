"""The form of a backup: one zip file that either kind of database, and of storage, can be made of.

    rows/<table>.jsonl         a row a line; times in ISO 8601, UTC
    studies/<study id>/<name>  the study's files, as they lie in the archive
    manifest.json              schema, time, and size and sha256 of every entry before it

The manifest is written last, and a zip's directory after it: what is cut short has neither.
"""

import hashlib
import json
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from pydantic import BaseModel, ConfigDict, ValidationError

from cxr_contracts import Sha256
from cxr_gateway.core.errors import NotDone
from cxr_gateway.core.ids import is_study_id

MANIFEST = "manifest.json"
FORMAT = 1
CHUNK_BYTES = 1024 * 1024
_ROWS = re.compile(r"rows/([a-z_]+)\.jsonl")
_FILE = re.compile(r"studies/([0-9a-z]{26})/([A-Za-z_0-9-]+\.[a-z]{3})")
_MAX_MANIFEST_BYTES = 1 << 30
# A changed byte may break an entry's head or its compression before its sum is reached.
_BROKEN = (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError)


class BackupError(NotDone):
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


def file_of(entry: str) -> tuple[str, str] | None:
    """Study and name, if the entry is a study's file; nothing else may become a path."""
    match = _FILE.fullmatch(entry)
    return (match[1], match[2]) if match and is_study_id(match[1]) else None


@contextmanager
def opened(path: Path) -> Iterator[tuple[zipfile.ZipFile, Manifest]]:
    """A backup and its manifest; BackupError for what is none, or is cut short."""
    try:
        with zipfile.ZipFile(path) as archive:
            yield archive, _manifest(path, archive)
    except FileNotFoundError as error:
        raise BackupError(f"{path}: there is no such file.") from error
    except (zipfile.BadZipFile, EOFError) as error:
        raise BackupError(f"{path}: not a backup, or cut short; nothing was changed.") from error


def verify(path: Path) -> Manifest:
    """Read the whole backup; BackupError at the first entry that is not as it was written."""
    with opened(path) as (archive, manifest):
        for name, entry in manifest.entries.items():
            if digest(archive, name) != entry:
                raise BackupError(f"{path}: {name} was changed; nothing was restored.")
    return manifest


def digest(archive: zipfile.ZipFile, name: str) -> Entry:
    """Size and sha256 of an entry as it is."""
    sha256, size = hashlib.sha256(), 0
    try:
        with archive.open(name) as stream:
            for chunk in chunks(stream):
                sha256.update(chunk)
                size += len(chunk)
    except _BROKEN as error:
        raise BackupError(f"{archive.filename}: {name} was changed ({error}).") from error
    return Entry(size_bytes=size, sha256=sha256.hexdigest())


def chunks(stream: IO[bytes]) -> Iterator[bytes]:
    """What is left of a stream, in pieces."""
    while chunk := stream.read(CHUNK_BYTES):
        yield chunk


def _manifest(path: Path, archive: zipfile.ZipFile) -> Manifest:
    names = archive.namelist()
    if MANIFEST not in names or archive.getinfo(MANIFEST).file_size > _MAX_MANIFEST_BYTES:
        raise BackupError(f"{path}: a zip file without a backup's {MANIFEST}.")
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
    if sorted([*manifest.entries, MANIFEST]) != sorted(names):
        raise BackupError(f"{path}: {MANIFEST} does not name the entries that are there.")
    for name in manifest.entries:
        if table_of(name) is None and file_of(name) is None:
            raise BackupError(f"{path}: {name} belongs to no backup.")
    return manifest
