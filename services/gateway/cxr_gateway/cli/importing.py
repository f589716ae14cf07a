"""The operator's command `import`: what the hospital's signed reports say of findings."""

import argparse
import asyncio
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cxr_gateway.archive import folder_failures, open_archive
from cxr_gateway.audit import by_the_machine, open_audit_log
from cxr_gateway.cli.command_runner import command
from cxr_gateway.core.errors import CommandError
from cxr_gateway.core.settings import GatewaySettings


def add_to(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add the command."""
    importing = commands.add_parser(
        "import", help="labels of signed reports, to be compared on the agreement page"
    )
    importing.add_argument("what", choices=("report-labels",), help="a CSV table, a line a report")
    importing.add_argument("file", type=Path, metavar="FILE")
    importing.add_argument("--department", help="whose studies are meant; default: all")
    importing.set_defaults(run=command(_run))


def _run(settings: GatewaySettings, options: argparse.Namespace) -> str:
    return asyncio.run(_import(settings, options))


async def _import(settings: GatewaySettings, options: argparse.Namespace) -> str:
    # It reads whole results; other commands start without.
    from cxr_gateway.feedback.report_labels import import_labels

    async with open_archive(settings) as archive, open_audit_log(settings) as log:
        # A spreadsheet begins its file with a mark.
        with folder_failures(), options.file.open(encoding="utf-8-sig", newline="") as lines:
            # On record first: labels that nobody knows of must not be there.
            details = {"file": str(options.file.absolute()), "department": options.department}
            await log.record(by_the_machine("importReportLabels", details=details))
            done = await import_labels(archive, lines, options.department, datetime.now(UTC))
    for refusal in done.refused:
        sys.stderr.write(f"import: line {refusal.line}: {refusal.reason}\n")
    said = f"{done.labels} labels of {done.reports} reports were kept"
    if done.refused:
        raise CommandError(f"{said}, {len(done.refused)} lines were refused.")
    return f"{said}."
