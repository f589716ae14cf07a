"""The spool: received instances on disk, each whole or not there at all.

    incoming/<token>.part   being written; emptied at a start
    waiting/<token>.dcm     acknowledged, and not analysed yet
    failed/<token>.dcm      put aside, with the reason beside it in <token>.txt
    ledger.sqlite3          what became of each

An instance is acknowledged after this, in this order: bytes written, file synced, renamed, folder
synced, row committed. Whatever fails before that leaves nothing but a file that a start removes.
"""

import fcntl
import hashlib
import logging
import os
import secrets
import shutil
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path

from cxr_dicom.headers import Unreadable, header_of, read_header
from cxr_dicom.ledger import InstanceState, Ledger, NewInstance

_LOG = logging.getLogger(__name__)
_ADOPTED = "unknown"
_HEAD_BYTES = 144


class SpoolError(RuntimeError):
    """The spool cannot be used; a sentence."""


class Spool:
    """The folder and its ledger. Every method blocks.

    Raises (all methods):
        OSError, sqlite3.Error: it cannot be written.
    """

    def __init__(self, root: Path, ledger: Ledger, lock: int) -> None:
        self.root = root
        self.ledger = ledger
        self._lock = lock

    @classmethod
    def open(cls, root: Path) -> "Spool":
        """The spool in `root`, for this process alone.

        Raises:
            SpoolError: another node uses it.
            LedgerError: its ledger cannot be used.
        """
        root = root.resolve()
        for name in ("incoming", "waiting", "failed"):
            (root / name).mkdir(parents=True, exist_ok=True)
        lock = os.open(root / ".in-use", os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            os.close(lock)
            raise SpoolError(f"{root} is in use by another DICOM node.") from error
        return cls(root, Ledger.open(root / "ledger.sqlite3"), lock)

    def close(self) -> None:
        """Leave the spool."""
        self.ledger.close()
        os.close(self._lock)

    def path(self, file: str) -> Path:
        """Where an instance that waits lies."""
        return self.root / "waiting" / file

    def free_bytes(self) -> int:
        """Room on its volume."""
        return shutil.disk_usage(self.root).free

    def receive(
        self,
        pieces: Iterable[bytes | memoryview],
        *,
        sop_class_uid: str,
        sop_instance_uid: str,
        sender: str,
    ) -> bool:
        """Keep an instance; it is on disk and in the ledger when this returns.

        Args:
            pieces: Head of the file (preamble, file meta information), then its data set.
            sop_class_uid: As the sender says.
            sop_instance_uid: Likewise.
            sender: Its AE title.

        Returns:
            False for an instance that was received before, with this content.
        """
        token = secrets.token_hex(16)
        part = self.root / "incoming" / f"{token}.part"
        digest, size = hashlib.sha256(), 0
        try:
            with part.open("xb", buffering=0) as file:
                for place, piece in enumerate(pieces):
                    rest = memoryview(piece)
                    size += len(rest)
                    # Of the data set alone: the head names whoever sent it.
                    if place:
                        digest.update(rest)
                    while rest:
                        rest = rest[file.write(rest) :]
                known = self.ledger.find(sop_instance_uid, digest.hexdigest())
                if known is not None and self._is_kept(*known):
                    return False
                os.fsync(file.fileno())
            target = self.path(f"{token}.dcm")
            part.rename(target)
            try:
                _sync_folder(target.parent)
                new = NewInstance(
                    sop_instance_uid, sop_class_uid, digest.hexdigest(), size, sender, target.name
                )
                if known is not None:
                    self.ledger.replace_file(sop_instance_uid, new.sha256, new.file)
                    return True
                added = self.ledger.add(new)
            except BaseException:
                target.unlink(missing_ok=True)
                raise
            if not added:
                target.unlink()
            return added
        finally:
            part.unlink(missing_ok=True)

    def receive_file(self, content: bytes, *, sender: str) -> bool:
        """Keep an instance that came as a whole file; as `receive`.

        Raises:
            Unreadable, AttributeError: it is no DICOM instance.
        """
        header = read_header(BytesIO(content), "SOPClassUID", "SOPInstanceUID")
        end = _end_of_head(content[:_HEAD_BYTES])
        return self.receive(
            (content[:end], memoryview(content)[end:]),
            sop_class_uid=str(header.SOPClassUID),
            sop_instance_uid=str(header.SOPInstanceUID),
            sender=sender,
        )

    def _is_kept(self, state: InstanceState, file: str) -> bool:
        """Whether nothing is lost if this instance is not kept again."""
        if state in (InstanceState.ANALYSED, InstanceState.IGNORED):
            return True
        return self.path(file).exists() or self._is_aside(file)

    def discard(self, file: str) -> None:
        """Remove the file of an instance that is finished."""
        self.path(file).unlink(missing_ok=True)

    def put_aside(self, file: str, reason: str) -> None:
        """Move the file of an instance that failed to `failed/`, with the reason beside it."""
        target = self.root / "failed" / file
        target.with_suffix(".txt").write_text(f"{reason}\n")
        self.path(file).replace(target)
        _sync_folder(target.parent)

    def take_back(self, files: Iterable[str]) -> None:
        """Move files of failed instances to those that wait."""
        for file in files:
            failed = self.root / "failed" / file
            if failed.exists():
                failed.replace(self.path(file))
            failed.with_suffix(".txt").unlink(missing_ok=True)
        _sync_folder(self.root / "waiting")

    def sweep(self) -> None:
        """Put in order what a crash left: half files go, files without a row are adopted."""
        for part in (self.root / "incoming").iterdir():
            part.unlink()
        waiting = self.ledger.files(InstanceState.WAITING)
        failed = self.ledger.files(InstanceState.FAILED)
        done = self.ledger.files(InstanceState.ANALYSED, InstanceState.IGNORED)
        for path in (self.root / "waiting").iterdir():
            if path.name in done:
                path.unlink()
            elif path.name in failed:
                self.put_aside(path.name, "It failed; the ledger says why.")
            elif path.name not in waiting:
                self._adopt(path)
        self.take_back(
            file for file in waiting if not self.path(file).exists() and self._is_aside(file)
        )

    def _is_aside(self, file: str) -> bool:
        return (self.root / "failed" / file).exists()

    def _adopt(self, path: Path) -> None:
        """Give a file its row: it was renamed, and the process died before it was committed.

        Nobody was told that it is kept, so it may come again, and then is the same.
        """
        try:
            content = header_of(path, "SOPClassUID", "SOPInstanceUID")
            with path.open("rb") as file:
                head_end = _end_of_head(file.read(_HEAD_BYTES))
            uid, kind = str(content.SOPInstanceUID), str(content.SOPClassUID)
        except (OSError, Unreadable, AttributeError):
            self.put_aside(path.name, "It was found in the spool, and is not a DICOM instance.")
            return
        data = path.read_bytes()
        digest = hashlib.sha256(data[head_end:]).hexdigest()
        sender = str(content.file_meta.get("SourceApplicationEntityTitle") or _ADOPTED)
        if not self.ledger.add(NewInstance(uid, kind, digest, len(data), sender, path.name)):
            path.unlink()
        else:
            _LOG.warning("a file without a row was adopted", extra={"file": path.name})


def _end_of_head(head: bytes) -> int:
    """Where the data set begins: behind preamble and file meta information (PS3.10, 7.1)."""
    # (0002,0000) UL 4, then the length of the rest of the group.
    return 144 + int.from_bytes(head[140:144], "little")


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
