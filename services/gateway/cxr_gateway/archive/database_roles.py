"""What the gateway's own database role may do: everything but change or remove the audit log.

`deploy/database/roles.sql` makes three roles of a PostgreSQL server: `cxr_owner` owns the tables
and cannot log in, `cxr_migrator` may act as it (migrate, restore, `audit keep`), and `cxr_app` is
what a gateway logs in as. Where there is no `cxr_app`, nothing is granted to anybody.
"""

import logging

from sqlalchemy import Connection, inspect, text

from cxr_gateway.archive.tables import (
    AuditAnchorRow,
    AuditPolicyRow,
    AuditRow,
    SchemaFloorRow,
)

_LOG = logging.getLogger(__name__)
APPLICATION_ROLE = "cxr_app"
_READ_ONLY = {
    AuditAnchorRow.__tablename__,
    AuditPolicyRow.__tablename__,
    SchemaFloorRow.__tablename__,
    "alembic_version",
}
_APPEND_ONLY = {AuditRow.__tablename__}


def grant_application(connection: Connection) -> bool:
    """Give `cxr_app` its rights on the tables that there are; whether there is such a role.

    In the transaction of a migration, by the tables' owner.
    """
    if connection.dialect.name != "postgresql":
        return False
    known = text("SELECT 1 FROM pg_roles WHERE rolname = :role")
    if connection.scalar(known, {"role": APPLICATION_ROLE}) is None:
        return False
    for table in inspect(connection).get_table_names():
        if table in _READ_ONLY:
            rights = "SELECT"
        elif table in _APPEND_ONLY:
            rights = "SELECT, INSERT"
        else:
            rights = "SELECT, INSERT, UPDATE, DELETE"
        connection.exec_driver_sql(f"REVOKE ALL ON {table} FROM {APPLICATION_ROLE}")
        connection.exec_driver_sql(f"GRANT {rights} ON {table} TO {APPLICATION_ROLE}")
    has_prune = text("SELECT to_regprocedure('audit_prune(text, bigint)')")
    if connection.scalar(has_prune) is not None:
        connection.exec_driver_sql(
            f"GRANT EXECUTE ON FUNCTION audit_prune(text, bigint) TO {APPLICATION_ROLE}"
        )
    return True


def warn_of_owner(connection: Connection) -> None:
    """Log where the gateway's role could take the audit log's guards off."""
    if connection.dialect.name != "postgresql":
        return
    owns = text(
        "SELECT rolsuper OR pg_has_role(current_user, relowner, 'USAGE') "
        "FROM pg_roles, pg_class "
        "WHERE rolname = current_user AND pg_class.oid = 'audit_log'::regclass"
    )
    if connection.scalar(owns):
        _LOG.warning(
            "the gateway's database role owns the audit log, or is a superuser",
            extra={"mend": "deploy/database/roles.sql, then log in as cxr_app"},
        )
