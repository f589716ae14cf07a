"""What a site keeps to itself beside an output: the pseudonyms' key, places, the audit log.

key            32 random bytes as hex; without it nobody can tell whose a pseudonym is
places/        which id lies where, some thousands a file
audit.jsonl    who made an identified output, and who looked pseudonyms up
lock           held by the run that writes
"""

import fcntl
import getpass
import json
import os
import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from cxr_screening.errors import ScreeningError
from cxr_screening.rows import keyed
from cxr_screening.sources import Item
from cxr_screening.store import is_remote

_KEY_BYTES = 32
_PLACES = pa.schema(
    [
        ("id", pa.uint64()),
        ("kind", pa.string()),
        ("location", pa.string()),
        ("member", pa.string()),
        ("offset", pa.int64()),
        ("size", pa.int64()),
    ]
)


class PrivateFolder:
    """The folder; made for this user only."""

    def __init__(self, path: Path) -> None:
        self.path = path

    @classmethod
    def beside(cls, out: str, named: Path | None) -> "PrivateFolder":
        """The one that was named, or `OUT.private`. Raises ScreeningError for a bucket's."""
        if named is not None:
            return cls(named.absolute())
        if is_remote(out):
            raise ScreeningError("An output in a bucket needs --private FOLDER, on this machine.")
        path = Path(out).absolute()
        return cls(path.with_name(path.name + ".private"))

    @property
    def key_file(self) -> Path:
        """Where the key is unless another is named."""
        return self.path / "key"

    def make(self) -> None:
        """Make the folder."""
        try:
            self.path.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            raise ScreeningError(f"{self.path} cannot be made: {error.strerror}.") from error

    def read_key(self, named: Path | None, *, may_make: bool) -> bytes:
        """The key of the pseudonyms.

        Args:
            named: another file than the folder's own.
            may_make: whether a missing key of the folder's own is made.

        Raises:
            ScreeningError: there is none, or it is too short.
        """
        path = named or self.key_file
        if named is None and may_make and not path.exists():
            self.make()
            descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
            with os.fdopen(descriptor, "w") as file:
                file.write(secrets.token_hex(_KEY_BYTES) + "\n")
        try:
            key = bytes.fromhex(path.read_text().strip())
        except OSError as error:
            raise ScreeningError(
                f"The key file {path} cannot be read: {error.strerror}."
            ) from error
        except ValueError as error:
            raise ScreeningError(f"The key file {path} is not hexadecimal.") from error
        if len(key) < _KEY_BYTES:
            raise ScreeningError(f"The key in {path} has fewer than {_KEY_BYTES} bytes.")
        return key

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Hold the output for this process. Raises ScreeningError while another run has it."""
        self.make()
        with (self.path / "lock").open("w") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                raise ScreeningError("Another run is writing this output.") from error
            yield

    def audit(self, action: str, **facts: Any) -> None:
        """Add a line to the audit log, on disk before this returns."""
        self.make()
        line = {"at": datetime.now(UTC).isoformat(), "by": _user(), "action": action, **facts}
        descriptor = os.open(
            self.path / "audit.jsonl", os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600
        )
        with os.fdopen(descriptor, "w") as file:
            file.write(json.dumps(line) + "\n")
            file.flush()
            os.fsync(file.fileno())

    def note_places(self, run: str, number: int, items: Mapping[int, Item]) -> None:
        """Write down where images lie, on disk before this returns."""
        folder = self.path / "places"
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        rows = [
            {
                "id": image_id,
                "kind": item.kind,
                "location": item.location,
                "member": item.member,
                "offset": item.offset,
                "size": item.size,
            }
            for image_id, item in items.items()
        ]
        half = folder / f".{run}"
        with half.open("wb") as file:
            pq.write_table(pa.Table.from_pylist(rows, schema=_PLACES), file, compression="zstd")
            file.flush()
            os.fsync(file.fileno())
        half.replace(folder / f"{run}-{number:06}.parquet")

    def places(self, ids: set[int]) -> dict[int, Item]:
        """Where these images lie, as far as it is known."""
        found: dict[int, Item] = {}
        for path in sorted((self.path / "places").glob("[!.]*.parquet")):
            with pq.ParquetFile(path) as file:
                for batch in file.iter_batches():
                    for row in batch.to_pylist():
                        if (image_id := row.pop("id")) in ids:
                            found[image_id] = Item(**row)
        return found


def key_id(key: bytes) -> str:
    """By which an output knows its key."""
    return keyed(key, "key", "").hex()[:16]


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):
        return str(os.getuid())
