"""The archive's folder: files under our own names only, each one whole or not there at all.

    incoming/<token>.part              being received or written; emptied at start-up
    studies/<shard>/<study id>/<name>  moved here in one step, after it was written and synced

A study's folder belongs to a row of the database; `sweeping.py` removes what does not.
"""

import fcntl
import os
import secrets
import shutil
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Self

from cxr_gateway.archive.db_errors import folder_failures
from cxr_gateway.core.errors import FilesLeft
from cxr_gateway.core.ids import is_study_id, made_at
from cxr_serving.errors import NotFound

# The end of an id is random, so the folders fill evenly.
_SHARD_CHARS = 2
_STUDIES_AT_ONCE = 500


class Room(NamedTuple):
    """Bytes of a volume, and how many of them are free."""

    total: int
    free: int


class FileStore:
    """The folder. Every method blocks: call them in a thread.

    Raises (all methods):
        StorageFull: no room; what was begun is gone again.
        Unavailable: the folder cannot be written or read.
    """

    # How old a file without a study has to be where others may be at work; None in a folder,
    # whose only user knows that it is alone.
    sweep_age: timedelta | None = None

    def __init__(self, root: Path) -> None:
        self._root = root.resolve()
        self._incoming = self._root / "incoming"
        self._studies = self._root / "studies"
        self._lock: int | None = None

    def open(self) -> bool:
        """Make the folder and register as its user; whether nobody else uses it.

        The register is a file lock, so a killed gateway leaves it by itself.
        """
        with folder_failures():
            self._incoming.mkdir(parents=True, exist_ok=True)
            self._studies.mkdir(exist_ok=True)
            self._lock = os.open(self._root / ".in-use", os.O_RDWR | os.O_CREAT, 0o600)
            try:
                fcntl.flock(self._lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                fcntl.flock(self._lock, fcntl.LOCK_SH)
                return False
            return True

    def share(self) -> None:
        """Let other gateways use the folder, too; after this nobody may sweep."""
        if self._lock is not None:
            fcntl.flock(self._lock, fcntl.LOCK_SH)

    def close(self) -> None:
        """Leave the register."""
        if self._lock is not None:
            os.close(self._lock)
            self._lock = None

    def begin(self) -> "IncomingFile":
        """A new file outside every study."""
        with folder_failures():
            return IncomingFile(self._incoming / f"{secrets.token_hex(16)}.part")

    def keep(self, incoming: "IncomingFile", study_id: str, name: str) -> None:
        """Move a received file to its place, on disk before this returns."""
        with folder_failures():
            incoming.sync()
            target = self.path(study_id, name)
            target.parent.mkdir(parents=True, exist_ok=True)
            incoming.move_to(target)
            # Up to the folder that was there before: a name is on disk once its folder is synced.
            for folder in (target.parent, target.parent.parent, self._studies):
                _sync_folder(folder)

    def write(self, study_id: str, name: str, content: bytes) -> None:
        """Write a file of a study in one step; an older one of the same name is replaced."""
        with self.begin() as incoming:
            incoming.write(content)
            self.keep(incoming, study_id, name)

    def has(self, study_id: str, name: str) -> bool:
        """Whether the study has a file of this name."""
        return self.path(study_id, name).is_file()

    def read(self, study_id: str, name: str) -> bytes:
        """A file of a study; NotFound if it is not there."""
        with folder_failures():
            try:
                return self.path(study_id, name).read_bytes()
            except FileNotFoundError as error:
                raise NotFound("A file of this study is missing in the archive.") from error

    def opened(self, study_id: str, name: str) -> BinaryIO:
        """A file of a study, to be read and closed; NotFound if it is not there."""
        with folder_failures():
            try:
                return self.path(study_id, name).open("rb")
            except FileNotFoundError as error:
                raise NotFound("A file of this study is missing in the archive.") from error

    def local(self, study_id: str, name: str) -> Path | None:
        """Where the file lies on this machine; None if it is elsewhere and has to be `read`."""
        return self.path(study_id, name)

    def names(self, study_id: str) -> list[str]:
        """The names of a study's files; none of a study that is not there."""
        with folder_failures():
            folder = self._folder(study_id)
            return sorted(path.name for path in folder.iterdir()) if folder.is_dir() else []

    def path(self, study_id: str, name: str) -> Path:
        """Where a study's file lies; `name` is one of our own, never a client's."""
        return self._folder(study_id) / name

    def _folder(self, study_id: str) -> Path:
        if not is_study_id(study_id):
            raise ValueError(f"not a study id: {study_id!r}")
        return self._studies / study_id[-_SHARD_CHARS:] / study_id

    def remove_study(self, study_id: str) -> None:
        """Remove a study's folder, if it is there; also one that another program put there.

        Raises:
            FilesLeft: something of it cannot be removed.
        """
        if Path(study_id).name != study_id:
            raise ValueError(f"not the name of a folder: {study_id!r}")
        folder = self._studies / study_id[-_SHARD_CHARS:] / study_id
        try:
            # Whoever removes it at the same time helps.
            shutil.rmtree(folder, onerror=_unless_gone)
        except OSError as error:
            raise FilesLeft(
                f"The study is deleted, and its files could not be removed ({error.strerror}); "
                "they are tried again with the next cleaning."
            ) from error

    def remove_others(self, study_id: str, keep: Callable[[str], bool]) -> int:
        """Remove the study's files whose name `keep` refuses; how many they were."""
        with folder_failures():
            outdated = [path for path in self._folder(study_id).iterdir() if not keep(path.name)]
            for path in outdated:
                path.unlink(missing_ok=True)
            return len(outdated)

    def check_writable(self) -> None:
        """Write and remove a file."""
        with self.begin() as incoming:
            incoming.write(b"ok")

    def room(self) -> Room:
        """Of the folder's volume, in bytes."""
        with folder_failures():
            used = shutil.disk_usage(self._root)
            return Room(total=used.total, free=used.free)

    def study_ids(self) -> list[str]:
        """Every study that has a folder."""
        with folder_failures():
            return [folder.name for shard in self._studies.iterdir() for folder in shard.iterdir()]

    def settled_studies(self, age: timedelta) -> Iterator[list[str]]:
        """The studies that were begun so long ago, some at a time."""
        before = datetime.now(UTC) - age
        settled = [
            name
            for name in self.study_ids()
            if not age or (is_study_id(name) and made_at(name) < before)
        ]
        for place in range(0, len(settled), _STUDIES_AT_ONCE):
            yield settled[place : place + _STUDIES_AT_ONCE]

    def remove_incoming(self) -> int:
        """Remove all incoming files; how many.

        Only for the one user of the folder: another one's incoming files are alive.
        """
        with folder_failures():
            incoming = list(self._incoming.iterdir())
            for path in incoming:
                path.unlink(missing_ok=True)
            return len(incoming)


class IncomingFile:
    """A file that is being written; removed at the end of the `with` unless it was kept."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # Unbuffered: nothing is left to be written, and to fail, when it is closed.
        self._file = path.open("xb", buffering=0)

    def write(self, content: bytes | bytearray) -> None:
        """Append."""
        with folder_failures(), memoryview(content) as rest:
            written = 0
            while written < len(rest):
                written += self._file.write(rest[written:])

    def read(self) -> bytes:
        """What has been written."""
        with folder_failures():
            return self.path.read_bytes()

    def opened(self) -> BinaryIO:
        """The same, to be read and closed."""
        with folder_failures():
            return self.path.open("rb")

    def sync(self) -> None:
        """Return when the content is on disk."""
        os.fsync(self._file.fileno())

    def move_to(self, target: Path) -> None:
        """Give the file its final name; from then on it is not ours to discard."""
        self.path.replace(target)
        self._file.close()

    @property
    def settled(self) -> bool:
        """Whether it was moved or discarded, so that nothing is left to do."""
        return self._file.closed

    def discard(self) -> None:
        """Remove the file, if it is still here."""
        self._file.close()
        with folder_failures():
            self.path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.discard()


def _unless_gone(_function: Any, _path: str, raised: Any) -> None:
    error = raised[1]
    if not isinstance(error, FileNotFoundError):
        raise error


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
