"""The database's own guards around the audit log, and the one way past them: a restore.

Whoever owns the tables can take them off. The application does not own them where the roles of
`deploy/database/roles.sql` are used.
"""

from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy import Connection, inspect, select, text, update

from cxr_gateway.archive.tables import AuditAnchorRow, AuditPolicyRow, AuditRow, Base

_TABLES = (AuditRow.__tablename__, AuditAnchorRow.__tablename__)
_POLICY = Base.metadata.tables[AuditPolicyRow.__tablename__]


@contextmanager
def unguarded(connection: Connection) -> Iterator[None]:
    """Without the guards until the end of the block, within the caller's transaction."""
    if connection.dialect.name == "sqlite":
        wanted = text(
            "SELECT name, sql FROM sqlite_master WHERE type = 'trigger' "
            "AND tbl_name IN ('audit_log', 'audit_anchors')"
        )
        triggers = connection.execute(wanted).all()
        for name, _ in triggers:
            connection.exec_driver_sql(f"DROP TRIGGER {name}")
        yield
        for _, statement in triggers:
            connection.exec_driver_sql(statement)
        return
    for table in _TABLES:
        connection.exec_driver_sql(f"ALTER TABLE {table} DISABLE TRIGGER USER")
    yield
    for table in _TABLES:
        connection.exec_driver_sql(f"ALTER TABLE {table} ENABLE TRIGGER USER")


def min_age_days(connection: Connection) -> int | None:
    """How old an entry has to be before the database lets it go; None in an older schema."""
    if not inspect(connection).has_table(_POLICY.name):
        return None
    return connection.scalar(select(_POLICY.c.min_age_days))


def set_min_age_days(connection: Connection, days: int) -> None:
    """Let entries go from this age on; only the tables' owner may."""
    connection.execute(update(_POLICY).values(min_age_days=days))
