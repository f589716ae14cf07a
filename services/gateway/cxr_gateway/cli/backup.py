"""The operator's commands: `migrate`, `backup`, `drill`, `verify` and `restore`."""

import argparse
import sys
from pathlib import Path
from typing import Any

from cxr_gateway.archive.schema import EMPTY, LATEST, REVISIONS, migrate
from cxr_gateway.backup.backup import back_up
from cxr_gateway.backup.drill import drill
from cxr_gateway.backup.form import Manifest, verify
from cxr_gateway.backup.restore import restore
from cxr_gateway.backup.rotation import back_up_into
from cxr_gateway.backup.sealing import backup_key
from cxr_gateway.cli.command_runner import Done, command
from cxr_gateway.core.settings import GatewaySettings


def add_to(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add the five; each sets its `run`: from the settings and the options to the exit status."""
    up = commands.add_parser("migrate", help="bring the database to this gateway's schema")
    up.add_argument("--to", choices=[EMPTY, *REVISIONS], default=LATEST, help="default: the latest")
    up.set_defaults(run=command(_migrate, action="migrate", details=lambda x: {"to": x.to}))
    copy = commands.add_parser("backup", help="copy database and files into one file")
    where = copy.add_mutually_exclusive_group(required=True)
    where.add_argument("--to", type=Path, metavar="FILE", help="a whole backup in one file")
    where.add_argument(
        "--into", type=Path, metavar="FOLDER", help="beside others, for which only what is new"
    )
    copy.add_argument(
        "--keep", type=_count, default=30, metavar="N", help="backups of the folder; default 30"
    )
    copy.add_argument(
        "--without-keys", action="store_true", help="without API keys and the pseudonyms' key"
    )
    copy.set_defaults(run=command(_backup, action="backup", details=_asked_backup))
    trial = commands.add_parser("drill", help="restore a backup beside the archive, and read it")
    trial.add_argument("--from", type=Path, required=True, metavar="FILE", dest="source")
    trial.add_argument(
        "--scratch", type=Path, metavar="FOLDER", help="where there is room for an archive"
    )
    trial.set_defaults(run=command(_drill, action="restore drill", details=_asked_drill))
    check = commands.add_parser("verify", help="read a whole backup and hold it to its manifest")
    check.add_argument("--from", type=Path, required=True, metavar="FILE", dest="source")
    check.set_defaults(run=command(_verify))
    back = commands.add_parser("restore", help="make the archive what a backup holds")
    back.add_argument("--from", type=Path, required=True, metavar="FILE", dest="source")
    back.add_argument("--replace", action="store_true", help="even if it holds studies")
    back.add_argument(
        "--deleted",
        type=Path,
        metavar="FILE",
        help="shipped entries of the audit log: studies that they say were deleted stay so",
    )
    back.set_defaults(run=command(_restore))


def _asked_backup(options: argparse.Namespace) -> dict[str, Any]:
    whole = options.to is not None
    return {
        "to": str((options.to if whole else options.into).absolute()),
        "kind": "whole" if whole else "beside others",
        "with_keys": not options.without_keys,
    }


def _asked_drill(options: argparse.Namespace) -> dict[str, Any]:
    return {"from": str(options.source.absolute())}


def _migrate(settings: GatewaySettings, options: argparse.Namespace) -> Done:
    settings.archive_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    url = settings.resolved_database_url
    before, after = migrate(url, settings.database_timeout_s, options.to)
    if before == after:
        said = f"The database is at schema {after or EMPTY}; nothing was to do."
    else:
        said = f"The database went from schema {before or EMPTY} to {after or EMPTY}."
    return Done(said, {"before": before or EMPTY, "after": after or EMPTY})


def _count(text: str) -> int:
    if int(text) < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return int(text)


def _backup(settings: GatewaySettings, options: argparse.Namespace) -> Done:
    made, copied = options.to, ""
    if options.to is not None:
        manifest = back_up(settings, made, keys=not options.without_keys)
    else:
        made, manifest, n_bytes = back_up_into(
            settings, options.into, keep=options.keep, keys=not options.without_keys
        )
        copied = f", of which {n_bytes / 1e6:.1f} MB of files were new"
    if settings.backup_key_file is None:
        sys.stderr.write(
            "backup: CXR_GATEWAY_BACKUP_KEY_FILE is not set: the backup carries no MAC, and the "
            "pseudonyms' key is not in it.\n"
        )
    for study_id in manifest.missing:
        sys.stderr.write(f"backup: the archive has lost the original of study {study_id}.\n")
    details = {"made": made.name, "n_studies": manifest.studies, "n_missing": len(manifest.missing)}
    return Done(f"{made}: {_content(manifest)}{copied}.", details)


def _drill(settings: GatewaySettings, options: argparse.Namespace) -> Done:
    found = drill(settings, options.source, options.scratch)
    hours = found.age.total_seconds() / 3600
    return Done(
        f"{options.source}: restored and read: {found.studies} studies, {found.read} originals "
        f"held to their sums, {found.audit_entries} audit entries whole. Recovery point: "
        f"{hours:.1f} h old. Recovery time: {found.took_s:.1f} s.",
        {"n_studies": found.studies, "n_read": found.read},
    )


def _verify(settings: GatewaySettings, options: argparse.Namespace) -> str:
    manifest = verify(options.source, backup_key(settings))
    return f"{options.source}: whole; {_content(manifest)}, made {manifest.made_at}."


def _restore(settings: GatewaySettings, options: argparse.Namespace) -> str:
    manifest = restore(settings, options.source, replace=options.replace, deleted=options.deleted)
    return f"Restored from {options.source}: {_content(manifest)}."


def _content(manifest: Manifest) -> str:
    size = sum(entry.size_bytes for entry in manifest.entries.values()) / 1e6
    return f"{manifest.studies} studies, {len(manifest.entries)} files, {size:.1f} MB"
