"""The audit log through a restore, which must not wind it back.

Where the archive's log goes on from the backup's, it is kept, with all that happened since; an
empty one, or one that the backup's goes on from, gives way to the backup's. Of two logs without a
common history the backup's is taken, for it belongs to the studies, and a warning names the end of
the other.
"""

import json
import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from sqlalchemy import Connection, select

from cxr_gateway.archive import audit_chain as chain
from cxr_gateway.archive.audit_entries import GENESIS, Anchor
from cxr_gateway.archive.removal import DELETE_ACTION, EXPIRY_ACTION
from cxr_gateway.archive.tables import AuditAnchorRow, AuditRow, Base, StudyRow

_LOG = logging.getLogger(__name__)
LOG = AuditRow.__tablename__
LOG_TABLES = (LOG, AuditAnchorRow.__tablename__)
_ROWS_AT_ONCE = 500
_DONE = (0, 204)


class KeptLog:
    """The archive's own log, written aside while its tables are made anew."""

    def __init__(self, asides: dict[str, IO[bytes]]) -> None:
        self._asides = asides

    def rows(self, table: str) -> Iterator[dict[str, Any]]:
        """The rows of one of `LOG_TABLES`."""
        self._asides[table].seek(0)
        yield from map(json.loads, self._asides[table])


@contextmanager
def log_preserved(
    connection: Connection, in_backup: Iterator[dict[str, Any]], folder: Path
) -> Iterator[KeptLog | None]:
    """What is to be put back instead of the backup's log; None if the backup's is taken.

    Args:
        connection: of the restore, at the latest schema.
        in_backup: the lines that the backup has.
        folder: where there is room for what is written aside.
    """
    own = chain.head(connection)
    theirs, has_own = Anchor(0, GENESIS), own.seq == 0
    for row in in_backup:
        line = Anchor(row["seq"], row["hash"])
        theirs = max(theirs, line, key=lambda anchor: anchor.seq)
        has_own = has_own or line == own
    if has_own:
        yield None
        return
    if theirs.seq and not chain.has(connection, theirs):
        _LOG.warning(
            "the audit log was another than the backup's, which has taken its place",
            extra={"replaced_up_to": str(own)},
        )
        yield None
        return
    with (
        tempfile.TemporaryFile(dir=folder) as lines,
        tempfile.TemporaryFile(dir=folder) as anchors,
    ):
        asides: dict[str, IO[bytes]] = dict(zip(LOG_TABLES, (lines, anchors), strict=True))
        for name, aside in asides.items():
            _write_aside(connection, name, aside)
        yield KeptLog(asides)


def is_removal(entry: dict[str, Any]) -> bool:
    """Whether an entry, as it is shipped, says that its study was deleted."""
    return entry["action"] in (DELETE_ACTION, EXPIRY_ACTION) and entry["outcome"] in _DONE


def removed_by_log(connection: Connection) -> list[str]:
    """The studies that are there, and were deleted by what the log says."""
    gone = select(AuditRow.study_id).where(
        AuditRow.action.in_((DELETE_ACTION, EXPIRY_ACTION)),
        AuditRow.outcome.in_(_DONE),
        AuditRow.study_id.in_(select(StudyRow.id)),
    )
    return [study_id for study_id in connection.scalars(gone) if study_id is not None]


def _write_aside(connection: Connection, name: str, aside: IO[bytes]) -> None:
    table = Base.metadata.tables[name]
    # At the connection, this option would stay in force for the statements that follow.
    wanted = select(table).order_by(table.c.seq).execution_options(yield_per=_ROWS_AT_ONCE)
    with connection.execute(wanted) as found:
        for row in found.mappings():
            aside.write(json.dumps(dict(row)).encode() + b"\n")
