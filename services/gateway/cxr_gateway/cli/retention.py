"""The operator's command `retention run`: what a gateway does once a day, now."""

import argparse
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

from cxr_gateway.archive import open_files
from cxr_gateway.archive.db_errors import database_failures
from cxr_gateway.archive.schema import refuse_other
from cxr_gateway.archive.tables import open_engine
from cxr_gateway.backup.command_runner import told
from cxr_gateway.core.settings import GatewaySettings
from cxr_gateway.retention.daily import clean
from cxr_gateway.retention.removal import expired

_MANY = 1_000_000


def add_to(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add the command."""
    retention = commands.add_parser("retention", help="delete what the settings do not keep")
    run = retention.add_subparsers(dest="what", required=True).add_parser(
        "run", help="now, as a gateway does once a day"
    )
    run.add_argument("--dry-run", action="store_true", help="only list the studies")
    run.set_defaults(run=told(_run, action="retention run"))


def _run(settings: GatewaySettings, options: argparse.Namespace) -> str:
    engine = open_engine(settings.resolved_database_url, settings.database_timeout_s)
    try:
        with database_failures(), engine.connect() as connection:
            refuse_other(connection)
        if options.dry_run:
            days = settings.retention_days
            before = None if days is None else datetime.now(UTC) - timedelta(days=days)
            studies = [] if before is None else expired(engine, before, _MANY)
            return "\n".join([*studies, f"{len(studies)} studies would be deleted."])
        cleaned = clean(engine, open_files(settings), settings, threading.Event())
    finally:
        engine.dispose()
    return (
        f"{cleaned.studies} studies and {cleaned.audit_lines} lines of the audit log were deleted, "
        f"and files of {cleaned.leftovers} studies that were gone."
    )
