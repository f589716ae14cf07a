"""The operator's commands: `migrate`, `backup`, `verify` and `restore`."""

import argparse
import sys
from pathlib import Path
from typing import Any

from cxr_gateway.archive.schema import EMPTY, LATEST, REVISIONS, migrate
from cxr_gateway.backup.backup import back_up
from cxr_gateway.backup.command_runner import told
from cxr_gateway.backup.form import Manifest, verify
from cxr_gateway.backup.restore import restore
from cxr_gateway.core.settings import GatewaySettings


def add_to(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add the four; each sets its `run`: from the settings and the options to the exit status."""
    up = commands.add_parser("migrate", help="bring the database to this gateway's schema")
    up.add_argument("--to", choices=[EMPTY, *REVISIONS], default=LATEST, help="default: the latest")
    up.set_defaults(run=told(_migrate, action="migrate"))
    copy = commands.add_parser("backup", help="copy database and files into one file")
    copy.add_argument("--to", type=Path, required=True, metavar="FILE")
    copy.set_defaults(run=told(_backup, action="backup"))
    check = commands.add_parser("verify", help="read a whole backup and hold it to its manifest")
    check.add_argument("--from", type=Path, required=True, metavar="FILE", dest="source")
    check.set_defaults(run=told(_verify))
    back = commands.add_parser("restore", help="make the archive what a backup holds")
    back.add_argument("--from", type=Path, required=True, metavar="FILE", dest="source")
    back.add_argument("--replace", action="store_true", help="even if it holds studies")
    back.set_defaults(run=told(_restore))


def _migrate(settings: GatewaySettings, options: argparse.Namespace) -> str:
    settings.archive_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    url = settings.resolved_database_url
    before, after = migrate(url, settings.database_timeout_s, options.to)
    if before == after:
        return f"The database is at schema {after or EMPTY}; nothing was to do."
    return f"The database went from schema {before or EMPTY} to {after or EMPTY}."


def _backup(settings: GatewaySettings, options: argparse.Namespace) -> str:
    manifest = back_up(settings, options.to)
    for study_id in manifest.missing:
        sys.stderr.write(f"backup: the archive has lost the original of study {study_id}.\n")
    return f"{options.to}: {_content(manifest)}."


def _verify(_settings: GatewaySettings, options: argparse.Namespace) -> str:
    manifest = verify(options.source)
    return f"{options.source}: whole; {_content(manifest)}, made {manifest.made_at}."


def _restore(settings: GatewaySettings, options: argparse.Namespace) -> str:
    manifest = restore(settings, options.source, replace=options.replace)
    return f"Restored from {options.source}: {_content(manifest)}."


def _content(manifest: Manifest) -> str:
    size = sum(entry.size_bytes for entry in manifest.entries.values()) / 1e6
    return f"{manifest.studies} studies, {len(manifest.entries)} entries, {size:.1f} MB"
