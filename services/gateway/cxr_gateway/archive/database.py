"""Engines for SQLite or PostgreSQL, and transactions that nothing else runs beside."""

import sqlite3
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import Engine, create_engine, event, make_url, text
from sqlalchemy.orm import Session

# How a running gateway's connections are called in PostgreSQL's list of them.
APPLICATION = "cxr-gateway"
# How long a migration, a restore or a backup waits for its turn.
_TURN_S = 60


def open_engine(url: str, timeout_s: float) -> Engine:
    """An engine whose every wait ends after `timeout_s`.

    Its errors name no values: they reach the log, and the values are a patient's.

    Args:
        url: SQLAlchemy's, `sqlite:///...` or `postgresql+psycopg://...`.
        timeout_s: for a lock, a connection of the pool, or the server to be reached.
    """
    timeout_ms = int(timeout_s * 1000)
    if make_url(url).get_backend_name() == "sqlite":
        engine = create_engine(
            url, pool_timeout=timeout_s, hide_parameters=True, connect_args={"timeout": timeout_s}
        )
        event.listen(engine, "connect", _prepare_sqlite)
        return engine
    return create_engine(
        url,
        pool_timeout=timeout_s,
        hide_parameters=True,
        pool_pre_ping=True,
        connect_args={
            "application_name": APPLICATION,
            "connect_timeout": max(2, round(timeout_s)),
            "options": f"-c lock_timeout={timeout_ms} -c statement_timeout={timeout_ms}",
        },
    )


def open_by_itself(url: str, sqlite_begin: str, isolation: str | None = None) -> Engine:
    """An engine for one long transaction: a migration, a restore, a backup.

    On SQLite without its foreign keys, for a migration makes a table anew that others point to;
    `schema.exclusively` looks at them before it commits.

    Args:
        url: as of `open_engine`.
        sqlite_begin: how SQLite begins it; the driver would leave changes of tables outside.
        isolation: PostgreSQL's level, its default if None.
    """
    if make_url(url).get_backend_name() == "sqlite":
        engine = create_engine(
            url,
            hide_parameters=True,
            connect_args={"timeout": _TURN_S, "isolation_level": None},
        )
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "connect", _without_foreign_keys)
        event.listen(engine, "begin", lambda connection: connection.exec_driver_sql(sqlite_begin))
        return engine
    options = {"options": f"-c lock_timeout={_TURN_S * 1000}", "connect_timeout": 10}
    level = {"isolation_level": isolation} if isolation else {}
    return create_engine(url, hide_parameters=True, connect_args=options, **level)


def database_bytes(session: Session) -> int:
    """The size of the database, indexes and all."""
    if session.get_bind().dialect.name == "sqlite":
        pages = session.scalar(text("PRAGMA page_count")) or 0
        return int(pages * (session.scalar(text("PRAGMA page_size")) or 0))
    return int(session.scalar(text("SELECT pg_database_size(current_database())")) or 0)


def clock_skew_s(session: Session) -> float:
    """By how much the server's clock is ahead of this machine's, in seconds; 0 without a server."""
    if session.get_bind().dialect.name == "sqlite":
        return 0.0
    before = datetime.now(UTC)
    there: datetime = session.scalars(text("SELECT clock_timestamp()")).one()
    between = before + (datetime.now(UTC) - before) / 2
    return (there - between).total_seconds()


def _prepare_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    # WAL: reads and the writer do not wait for each other. FULL: a committed study survives
    # a power cut, too; measured, that costs about a millisecond. SECURE_DELETE: what is removed
    # is overwritten, for a study's row holds a patient's name.
    pragmas = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON")
    for pragma in pragmas:
        connection.execute(f"PRAGMA {pragma}")


def _without_foreign_keys(connection: sqlite3.Connection, _record: Any) -> None:
    connection.execute("PRAGMA foreign_keys=OFF")
