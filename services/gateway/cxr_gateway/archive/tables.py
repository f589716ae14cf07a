"""The database's tables, and the engine for SQLite or PostgreSQL."""

import sqlite3
from datetime import datetime
from typing import Any

from sqlalchemy import (
    CHAR,
    BigInteger,
    DateTime,
    Engine,
    ForeignKey,
    Index,
    SmallInteger,
    String,
    Text,
    UniqueConstraint,
    create_engine,
    event,
    make_url,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

MAX_KEY_CHARS = 200
MAX_DEPARTMENT_CHARS = 64
# As the columns write "of no department": unlike NULL it is equal to itself, in a unique index too.
NO_DEPARTMENT = ""
# The `info` of a table whose rows belong to the running system and into no backup.
LIVE_ONLY = {"live_only": True}
# How a running gateway's connections are called in PostgreSQL's list of them.
APPLICATION = "cxr-gateway"
# How long a migration, a restore or a backup waits for its turn.
_TURN_S = 60


class Base(DeclarativeBase):
    """All tables of the archive."""


class StudyRow(Base):
    """One study. The row is written last, so whatever it names is on disk."""

    __tablename__ = "studies"

    id: Mapped[str] = mapped_column(CHAR(26), primary_key=True)
    content_sha256: Mapped[str] = mapped_column(CHAR(64))
    status: Mapped[str] = mapped_column(String(16))
    priority: Mapped[str | None] = mapped_column(String(16))
    urgency: Mapped[int] = mapped_column(SmallInteger)
    received_at: Mapped[datetime] = mapped_column(DateTime(timezone=True))
    source: Mapped[str] = mapped_column(String(16))
    revision: Mapped[int] = mapped_column()
    result_json: Mapped[str] = mapped_column(Text)
    cams_json: Mapped[str] = mapped_column(Text)
    department: Mapped[str] = mapped_column(
        String(MAX_DEPARTMENT_CHARS), server_default=NO_DEPARTMENT
    )

    __table_args__ = (
        UniqueConstraint(department, content_sha256, name="studies_once_in_a_department"),
        Index("studies_by_urgency", urgency, id.desc()),
        Index("studies_of_a_department", department, urgency, id.desc()),
    )


class KeyRow(Base):
    """An Idempotency-Key of a department, and what it was used for."""

    __tablename__ = "idempotency_keys"

    department: Mapped[str] = mapped_column(
        String(MAX_DEPARTMENT_CHARS), primary_key=True, server_default=NO_DEPARTMENT
    )
    key: Mapped[str] = mapped_column(String(MAX_KEY_CHARS), primary_key=True)
    content_sha256: Mapped[str] = mapped_column(CHAR(64))
    study_id: Mapped[str] = mapped_column(CHAR(26), ForeignKey("studies.id"))


class AuditRow(Base):
    """One line of the audit log; `at` is text, so that its hash is the same on every database."""

    __tablename__ = "audit_log"

    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    at: Mapped[str] = mapped_column(CHAR(27))
    kind: Mapped[str] = mapped_column(String(16))
    subject: Mapped[str] = mapped_column(String(255))
    department: Mapped[str | None] = mapped_column(String(255))
    action: Mapped[str] = mapped_column(String(64))
    study_id: Mapped[str | None] = mapped_column(CHAR(26))
    outcome: Mapped[int] = mapped_column()
    source: Mapped[str | None] = mapped_column(String(64))
    request_id: Mapped[str | None] = mapped_column(String(64))
    previous_hash: Mapped[str] = mapped_column(CHAR(64))
    hash: Mapped[str] = mapped_column(CHAR(64))

    __table_args__ = (Index("audit_log_by_study", study_id),)


class AuditAnchorRow(Base):
    """The last of the audit log's lines that were removed for their age: the chain goes on here."""

    __tablename__ = "audit_anchors"

    seq: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    hash: Mapped[str] = mapped_column(CHAR(64))


class PseudonymKeyRow(Base):
    """The installation's own key, from which the UIDs of de-identified files follow."""

    __tablename__ = "pseudonym_keys"

    number: Mapped[int] = mapped_column(SmallInteger, primary_key=True, autoincrement=False)
    key: Mapped[str] = mapped_column(CHAR(64))


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


def _prepare_sqlite(connection: sqlite3.Connection, _record: Any) -> None:
    # WAL: readers and the writer do not wait for each other. FULL: a committed study survives
    # a power cut, too; measured, that costs about a millisecond. SECURE_DELETE: what is removed
    # is overwritten, for a study's row holds a patient's name.
    pragmas = ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "secure_delete=ON")
    for pragma in pragmas:
        connection.execute(f"PRAGMA {pragma}")


def _without_foreign_keys(connection: sqlite3.Connection, _record: Any) -> None:
    connection.execute("PRAGMA foreign_keys=OFF")
