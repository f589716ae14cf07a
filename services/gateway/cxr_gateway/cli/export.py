"""The operator's command `export --deidentified`: studies as files without their patients."""

import argparse
import asyncio
import os
import sys
from pathlib import Path
from typing import Any

from cxr_gateway.archive import folder_failures, open_archive
from cxr_gateway.audit import AuditLog, by_the_machine, open_audit_log
from cxr_gateway.backup.command_runner import told
from cxr_gateway.core.errors import NotDone
from cxr_gateway.core.ids import is_study_id
from cxr_gateway.core.settings import GatewaySettings
from cxr_serving.errors import ServiceError


def add_to(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add the command."""
    export = commands.add_parser("export", help="write studies as files without their patients")
    export.add_argument(
        "--deidentified", nargs="+", required=True, metavar="STUDY", help="by PS3.15's profile"
    )
    export.add_argument("--out", type=Path, required=True, metavar="FOLDER")
    export.add_argument(
        "--pixels-reviewed",
        action="store_true",
        help="someone has looked at each picture: none shows text about a patient",
    )
    export.set_defaults(run=told(_run))


def _run(settings: GatewaySettings, options: argparse.Namespace) -> str:
    return asyncio.run(_export_all(settings, options))


async def _export_all(settings: GatewaySettings, options: argparse.Namespace) -> str:
    # The decoders are large; other commands start without.
    from cxr_gateway.exports.deidentification.exports import Exports, InThisThread

    refused = 0
    with folder_failures():
        options.out.mkdir(mode=0o700, parents=True, exist_ok=True)
    async with open_archive(settings) as archive, open_audit_log(settings) as log:
        exports = Exports(archive, InThisThread())
        for study_id in options.deidentified:
            try:
                exported = await exports.of(study_id, None, reviewed=options.pixels_reviewed)
            except ServiceError as error:
                refused += 1
                sys.stderr.write(f"export: {study_id}: {error}\n")
                await _note(log, study_id, 1)
                continue
            # On record first: a file that nobody knows of must not lie there.
            await _note(log, study_id, 0)
            with folder_failures():
                _write(options.out / exported.name, exported.content)
            sys.stdout.write(f"{study_id} {exported.name}\n")
    written = len(options.deidentified) - refused
    if refused:
        raise NotDone(f"{written} studies were written to {options.out}, {refused} were not.")
    return f"{written} studies were written to {options.out}."


async def _note(log: AuditLog, study_id: str, outcome: int) -> None:
    known = study_id if is_study_id(study_id) else None
    await log.record(by_the_machine("export", outcome, study_id=known))


def _write(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as stream:
        stream.write(content)
