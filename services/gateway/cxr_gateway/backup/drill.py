"""A restore that is tried: into an archive of its own, which is read and removed again."""

import random
import tempfile
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path

from cxr_gateway.archive import audit_chain as chain
from cxr_gateway.archive import open_files, original_name
from cxr_gateway.archive.dump import STUDIES, snapshot
from cxr_gateway.backup.form import BackupError
from cxr_gateway.backup.restore import restore
from cxr_gateway.core.schemas import ImageSource
from cxr_gateway.core.settings import GatewaySettings

_SAMPLE = 200


@dataclass(frozen=True)
class Drill:
    """What a restore came to.

    Attributes:
        studies: that the restored archive holds.
        read: originals of them that were held to their sums.
        audit_entries: of the audit log, which is whole.
        age: of the backup, so of what would be lost: the recovery point.
        took_s: from the backup to an archive that can be read: the recovery time.
    """

    studies: int
    read: int
    audit_entries: int
    age: timedelta
    took_s: float


def drill(settings: GatewaySettings, source: Path, scratch: Path | None = None) -> Drill:
    """Restore a backup beside the archive, and read what came of it.

    Args:
        settings: of the archive, of which only the backups' key is used.
        source: the backup, or a folder of backups.
        scratch: where there is room for the restored archive; the system's place for such by
            default.

    Raises:
        BackupError: the backup is damaged, or what it restores is not whole.
        ServiceError: no room.
    """
    with tempfile.TemporaryDirectory(prefix="cxr-drill-", dir=scratch) as folder:
        own = settings.model_copy(
            update={"archive_dir": Path(folder), "database_url": None, "storage": "folder"}
        )
        begun = time.monotonic()
        manifest = restore(own, source, replace=False)
        with snapshot(own) as database:
            rows = [
                (row["id"], ImageSource(row["source"]), row["content_sha256"])
                for row in database.rows(STUDIES)
            ]
        lost, files = set(manifest.missing), open_files(own)
        there = [row for row in rows if row[0] not in lost]
        sample = random.sample(there, min(_SAMPLE, len(there)))
        for study_id, kind, digest in sample:
            content = files.read(study_id, original_name(kind))
            if sha256(content).hexdigest() != digest:
                raise BackupError(f"{source}: the original of study {study_id} is another.")
        with chain.audit_snapshot(own) as connection:
            entries = chain.verify(connection, []).count
        took_s = time.monotonic() - begun
    age = datetime.now(UTC) - datetime.fromisoformat(manifest.made_at)
    return Drill(len(rows), len(sample), entries, age, took_s)
