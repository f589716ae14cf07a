"""Where entries wait while the database is full: a file whose room was taken beforehand.

The stated rule of a full database: what is read goes on being answered, and is on record here
first, synced, with its time; once the database takes writes again, the entries go into the chain in
their order. When this file is full, too, nothing more is answered. Each gateway has a file of its
own; one that a killed gateway left is taken over at the next start.
"""

import fcntl
import json
import logging
import os
import secrets
from collections.abc import Callable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cxr_gateway.archive.audit_entries import Event, as_details, as_written
from cxr_gateway.core.errors import StorageFull

_LOG = logging.getLogger(__name__)
_FOLDER = "audit-spool"
_MEGABYTE = 1_000_000
# In the details of an entry that waited: when the event was, the entry's own time being later.
SPOOLED_AT = "spooled_at"


class Spool:
    """A file of `size_mb` in the archive's folder. Methods block; one thread uses it at a time."""

    def __init__(self, archive_dir: Path, size_mb: int) -> None:
        self._size = size_mb * _MEGABYTE
        self._used = 0
        self.count = 0
        self._file: int | None = None
        self._path: Path | None = None
        folder = archive_dir / _FOLDER
        if not self._size:
            return
        try:
            folder.mkdir(mode=0o700, exist_ok=True)
            self._path = folder / f"{secrets.token_hex(8)}.jsonl"
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
            fcntl.flock(self._file, fcntl.LOCK_EX)
            # Taken now: a full disk is when it is needed.
            os.posix_fallocate(self._file, 0, self._size)
        except OSError as error:
            _LOG.warning("no room is reserved for the audit log", extra={"cause": repr(error)})

    def put(self, events: Sequence[Event]) -> None:
        """Keep events, on disk when this returns; StorageFull where they have no room."""
        moment = as_written(datetime.now(UTC))
        lines = "".join(f"{json.dumps({**asdict(event), 'at': moment})}\n" for event in events)
        content = lines.encode()
        if self._file is None or self._used + len(content) > self._size:
            raise StorageFull("There is no room left to put anything on record.")
        try:
            os.pwrite(self._file, content, self._used)
            os.fdatasync(self._file)
        except OSError as error:
            raise StorageFull("There is no room left to put anything on record.") from error
        self._used += len(content)
        self.count += len(events)

    def waiting(self) -> list[Event]:
        """What waits here, the oldest first."""
        return [] if self._file is None else _events(os.pread(self._file, self._used, 0))

    def clear(self) -> None:
        """Forget what `waiting` returned: it is in the chain."""
        if self._file is not None and self._used:
            # The room stays taken; zeros are no line.
            os.pwrite(self._file, b"\0" * self._used, 0)
            os.fdatasync(self._file)
        self._used = self.count = 0

    def adopt(self, append: Callable[[list[Event]], object]) -> int:
        """Have `append` take what killed gateways left, and remove it; how many events there were.

        Of several gateways that do this at once, one takes each file.
        """
        adopted = 0
        for path in [] if self._path is None else sorted(self._path.parent.glob("*.jsonl")):
            if path == self._path:
                continue
            try:
                with path.open("rb") as file:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    if events := _events(file.read()):
                        append(events)
                    path.unlink(missing_ok=True)
                    adopted += len(events)
            except OSError:
                continue  # its gateway lives, or another one takes it
        return adopted

    def close(self) -> None:
        """Give the room back; what still waits stays for the next start."""
        if self._file is None:
            return
        if self._path is not None and not self._used:
            self._path.unlink(missing_ok=True)
        os.close(self._file)
        self._file = None


def _events(content: bytes) -> list[Event]:
    found = []
    for line in content.rstrip(b"\0").splitlines():
        try:
            values: dict[str, Any] = json.loads(line)
        except ValueError:
            continue  # cut off by a kill before it was answered
        details = json.loads(values.pop("details") or "{}") | {SPOOLED_AT: values.pop("at")}
        found.append(Event(**values, details=as_details(details)))
    return found
