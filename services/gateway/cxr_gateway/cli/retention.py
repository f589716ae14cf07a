"""The operator's command `retention run`: what a gateway does once a day, now."""

import argparse
import threading
from datetime import UTC, datetime, timedelta
from typing import Any

from cxr_gateway.archive.removal import open_removals
from cxr_gateway.cli.command_runner import Done, command
from cxr_gateway.core.settings import GatewaySettings
from cxr_gateway.retention.daily import clean

_MANY = 1_000_000


def add_to(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add the command."""
    retention = commands.add_parser("retention", help="delete what the settings do not keep")
    run = retention.add_subparsers(dest="what", required=True).add_parser(
        "run", help="now, as a gateway does once a day"
    )
    run.add_argument("--dry-run", action="store_true", help="only list the studies")
    run.set_defaults(run=command(_run, action="retention run", details=_asked))


def _asked(options: argparse.Namespace) -> dict[str, Any]:
    return {"dry_run": options.dry_run}


def _run(settings: GatewaySettings, options: argparse.Namespace) -> Done:
    with open_removals(settings) as removals:
        if options.dry_run:
            days = settings.retention_days
            before = None if days is None else datetime.now(UTC) - timedelta(days=days)
            studies = [] if before is None else removals.expired(before, _MANY)
            return Done("\n".join([*studies, f"{len(studies)} studies would be deleted."]))
        cleaned = clean(removals, settings, threading.Event())
    return Done(
        f"{cleaned.studies} studies and {cleaned.audit_entries} audit entries were deleted, "
        f"and files of {cleaned.leftovers} studies that were gone.",
        {"n_studies": cleaned.studies, "n_audit_entries": cleaned.audit_entries},
    )
