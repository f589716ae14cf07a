"""How the archive's own failures reach a client: the one place where they are told apart."""

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DBAPIError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeout
from sqlalchemy.orm import Session

from cxr_gateway.core.errors import CommitUnanswered, StorageFull
from cxr_serving.errors import Unavailable

# EFBIG: a quota set as a file-size limit ends a write just as a full disk does.
FULL_ERRORS = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG})
_POSTGRES_DISK_FULL = "53100"
_POSTGRES_READ_ONLY = "25006"


@contextmanager
def folder_failures() -> Iterator[None]:
    """Turn an `OSError` of the archive's folder into StorageFull (507) or Unavailable (503)."""
    try:
        yield
    except OSError as error:
        if error.errno in FULL_ERRORS:
            raise archive_full() from error
        raise Unavailable(
            f"The archive's folder cannot be used ({error.strerror}); try again later."
        ) from error


@contextmanager
def database_failures() -> Iterator[None]:
    """Turn a locked, full or absent database into a 503 or 507; wrong SQL stays an exception."""
    try:
        yield
    except PoolTimeout as error:
        raise Unavailable("The archive's database is busy; try again.") from error
    except DBAPIError as error:
        original = error.orig
        if (
            getattr(original, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL
            or getattr(original, "sqlstate", None) == _POSTGRES_DISK_FULL
        ):
            raise archive_full() from error
        if getattr(original, "sqlstate", None) == _POSTGRES_READ_ONLY:
            raise Unavailable("The archive's database takes no writes now; try again.") from error
        if isinstance(error, OperationalError) or error.connection_invalidated:
            raise Unavailable(
                "The archive's database is locked or not reachable; try again."
            ) from error
        raise


def commit(session: Session) -> None:
    """Commit; `CommitUnanswered` where a failure does not say that nothing was committed.

    SQLite rolls back a commit that fails. A server may have committed before its connection broke,
    or may still do so.
    """
    try:
        session.commit()
    except DBAPIError as error:
        if session.get_bind().dialect.name == "sqlite":
            raise
        raise CommitUnanswered(
            "The archive's database went away while it kept this; send the same again."
        ) from error


def archive_full() -> StorageFull:
    """The error of a full disk, database or storage."""
    return StorageFull("The archive has no room left; nothing of this request was kept.")
