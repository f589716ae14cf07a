"""Which schema the database has, and its way to another: Alembic's revisions, all in one step.

A database is at a revision that this gateway knows, at one that it does not know (a newer gateway
made it), or, as 0.1 made it, at none. A migration is one transaction that nobody else is in:
several gateways that start at once take turns, and one that is killed leaves the schema as it was.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, delete, insert, inspect, select, text
from sqlalchemy.orm import Session

from cxr_gateway.archive.database import open_by_itself, open_engine
from cxr_gateway.archive.database_roles import grant_application
from cxr_gateway.archive.db_errors import database_failures
from cxr_gateway.archive.tables import SchemaFloorRow
from cxr_gateway.core.errors import SchemaMismatch
from cxr_gateway.core.settings import GatewaySettings

_LOG = logging.getLogger(__name__)
_T = TypeVar("_T")
_FOLDER = str(Path(__file__).with_name("migrations"))
REVISIONS = [script.revision for script in ScriptDirectory(_FOLDER).walk_revisions()][::-1]
LATEST = REVISIONS[-1]
EMPTY = "base"
# Gateways from this schema on work on `LATEST`, for tables and columns only came since. A migration
# that takes something away, or changes what is read, makes its own number of it (ADR 0044).
OLDEST = "0011"
# The columns by which 0.1's tables are told from foreign ones.
_OWN_COLUMNS = {"studies": "cams_json", "idempotency_keys": "study_id"}
# Any number, as long as nothing else of the database takes it: "cxr" and a 1.
_POSTGRES_LOCK = 0x63787201


def revision_of(connection: Connection, *, or_newer: bool = False) -> str | None:
    """The schema's revision, None without one; `SchemaMismatch` if it is none of ours.

    Args:
        connection: to the database.
        or_newer: take a newer one that this gateway can work on for `LATEST`.
    """
    if or_newer and _is_newer_and_suits(connection):
        return LATEST
    found = _current(connection)
    if found is not None and found not in REVISIONS:
        raise SchemaMismatch(
            f"The archive's database has schema {found}, and this gateway knows those up to "
            f"{LATEST}: it was migrated by a newer gateway. Run that one, or restore a backup."
        )
    return found


def refuse_other(connection: Connection) -> None:
    """Raise `SchemaMismatch` unless the schema is the one of this gateway."""
    found = revision_of(connection, or_newer=True)
    if found != LATEST:
        state = "no schema yet" if found is None else f"schema {found}"
        raise SchemaMismatch(
            f"The archive's database has {state}, and this gateway needs {LATEST}. Make a backup, "
            "then run `python -m cxr_gateway migrate`."
        )


def _current(connection: Connection) -> str | None:
    return MigrationContext.configure(connection).get_current_revision()


def _is_newer_and_suits(connection: Connection) -> bool:
    """Whether a newer gateway migrated the database, and says that this one can work on it."""
    is_known = _current(connection) in {None, *REVISIONS}
    if is_known or not inspect(connection).has_table(SchemaFloorRow.__tablename__):
        return False
    oldest = connection.scalar(select(SchemaFloorRow.revision))
    # Revisions are numbered with leading zeros, so they compare as text.
    return oldest is not None and oldest <= LATEST


@contextmanager
def current_database(settings: GatewaySettings, *, migrates: bool = False) -> Iterator[Engine]:
    """The database of a command or a start-up check, closed at the end.

    Args:
        settings: name it.
        migrates: whether an older schema is migrated first, where the settings allow it.

    Raises:
        SchemaMismatch: it has another schema than this gateway's.
    """
    engine = open_engine(settings.resolved_database_url, settings.database_timeout_s)
    try:
        if migrates and settings.resolved_migrate_at_start:
            migrate_if_older(engine, settings.database_timeout_s)
        with database_failures(), engine.connect() as connection:
            refuse_other(connection)
        yield engine
    finally:
        engine.dispose()


def query_once(settings: GatewaySettings, work: Callable[[Session], _T]) -> _T:
    """Read from the database for a command; `work` is one of the archive's functions, or several.

    Raises:
        SchemaMismatch: it has another schema than this gateway's.
    """
    with current_database(settings) as engine, database_failures(), Session(engine) as session:
        return work(session)


def migrate_if_older(engine: Engine, timeout_s: float) -> None:
    """Bring the database to the schema of this gateway, unless it is there; see `migrate`."""
    with database_failures(), engine.connect() as connection:
        found = revision_of(connection, or_newer=True)
    if found != LATEST:
        migrate(engine.url.render_as_string(hide_password=False), timeout_s)


def migrate(url: str, timeout_s: float, to: str = LATEST) -> tuple[str | None, str | None]:
    """Bring the database to revision `to`; the revisions before and after.

    Raises:
        SchemaMismatch: a newer gateway's schema, foreign tables, or `to` is unknown.
        Unavailable: the database is locked or unreachable beyond the timeout.
        StorageFull: no room; the schema is as it was.
    """
    with exclusively(url, timeout_s) as connection:
        if to == LATEST and _is_newer_and_suits(connection):
            # Rights are those that the newer one gave: what its tables are for is not known here.
            return LATEST, LATEST
        before = revision_of(connection)
        after = change(connection, to)
        grant_application(connection)
    if before != after:
        _LOG.info("the schema was migrated", extra={"before": before, "after": after})
    return before, after


def change(connection: Connection, to: str) -> str | None:
    """Migrate within the caller's transaction; the revision after."""
    if to != EMPTY and to not in REVISIONS:
        known = ", ".join([EMPTY, *REVISIONS])
        raise SchemaMismatch(f"There is no schema {to}; this gateway knows {known}.")
    before = revision_of(connection)
    if before is None:
        _refuse_foreign_tables(connection)
    config = Config(attributes={"connection": connection})
    config.set_main_option("script_location", _FOLDER)
    # Revisions are numbered with leading zeros, so they compare as text.
    back = before is not None and (to == EMPTY or to < before)
    (command.downgrade if back else command.upgrade)(config, to)
    if inspect(connection).has_table(SchemaFloorRow.__tablename__):
        connection.execute(delete(SchemaFloorRow))
        connection.execute(insert(SchemaFloorRow).values(revision=OLDEST))
    return revision_of(connection)


@contextmanager
def exclusively(url: str, timeout_s: float) -> Iterator[Connection]:
    """A transaction that no other migration or restore runs beside; committed at the end."""
    engine = open_by_itself(url, "BEGIN IMMEDIATE")
    try:
        with database_failures(), engine.begin() as connection:
            if connection.dialect.name == "postgresql":
                take = text("SELECT pg_advisory_xact_lock(:key)")
                connection.execute(take, {"key": _POSTGRES_LOCK})
                # Whoever waits for a table holds up every analysis that comes after.
                wait_ms = int(timeout_s * 1000)
                connection.exec_driver_sql(f"SET LOCAL lock_timeout = {wait_ms}")
            yield connection
            _check_foreign_keys(connection)
    finally:
        engine.dispose()


def _check_foreign_keys(connection: Connection) -> None:
    if connection.dialect.name == "sqlite":
        broken = connection.exec_driver_sql("PRAGMA foreign_key_check").all()
        if broken:
            raise SchemaMismatch(
                f"Table `{broken[0][0]}` has rows that point to nothing; nothing was changed."
            )


def _refuse_foreign_tables(connection: Connection) -> None:
    there = inspect(connection)
    for table, column in _OWN_COLUMNS.items():
        if there.has_table(table) and column not in {
            found["name"] for found in there.get_columns(table)
        }:
            raise SchemaMismatch(
                f"The database has a table `{table}` that is not this archive's; "
                "give the archive a database of its own."
            )
