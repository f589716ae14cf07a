"""Audit logs for tests: entries of another time, and what a database's owner can do to it."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from sqlalchemy import Connection, Engine

from cxr_gateway.archive import audit_chain as chain
from cxr_gateway.archive.audit_entries import Event
from cxr_gateway.archive.audit_guards import unguarded
from cxr_gateway.audit import by_the_machine


def aged(engine: Engine, days: float, *events: Event | str) -> None:
    """Put entries into the log as they were written so long ago."""
    made = [by_the_machine(event) if isinstance(event, str) else event for event in events]
    with engine.begin() as connection, unguarded(connection):
        chain.append(connection, made, datetime.now(UTC) - timedelta(days=days))


@contextmanager
def tampered(engine: Engine, *statements: str, guarded: bool = False) -> Iterator[Connection]:
    """The log with changes that are taken back at the end.

    Args:
        engine: of its database.
        statements: what is done to it.
        guarded: with the guards on: by whoever may write, and does not own the tables.
    """
    with engine.connect() as connection:
        chain.lock(connection)
        if guarded:
            for statement in statements:
                connection.exec_driver_sql(statement)
            yield connection
        else:
            with unguarded(connection):
                for statement in statements:
                    connection.exec_driver_sql(statement)
                yield connection
        connection.rollback()
