"""The operator's commands `audit verify`, `anchor`, `show`, `export` and `keep`."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any

from cxr_gateway.archive import audit_chain as chain
from cxr_gateway.archive.audit_entries import Anchor, as_written
from cxr_gateway.archive.audit_queries import AuditQuery, page
from cxr_gateway.audit import by_the_machine
from cxr_gateway.audit.shipping import anchor_of, as_json_line
from cxr_gateway.cli.command_runner import Done, command
from cxr_gateway.core.errors import CommandError
from cxr_gateway.core.settings import GatewaySettings

_SHOWN = 20
_MOST_DAYS = 36500


def add_to(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add them."""
    audit = commands.add_parser("audit", help="verify, anchor or show the audit log")
    what = audit.add_subparsers(dest="what", required=True)
    verify = what.add_parser("verify", help="read the whole log; 1 if it is not as it was written")
    verify.add_argument(
        "--anchor",
        type=_anchor,
        metavar="NUMBER:HASH[@TIME]",
        action="append",
        default=[],
        help="an entry that has to be there; may be given more than once",
    )
    verify.add_argument(
        "--anchors", type=Path, metavar="FILE", help="all anchors of a file that was shipped to"
    )
    verify.set_defaults(run=command(_verify))
    anchor = what.add_parser("anchor", help="print the last line's hash, to be kept elsewhere")
    anchor.set_defaults(run=command(_print_anchor))
    show = what.add_parser("show", help="print lines as JSON, the latest first")
    show.add_argument("--study", metavar="ID")
    show.add_argument("--subject")
    show.add_argument("--action")
    show.add_argument("--since", type=_since, metavar="TIME", help="ISO 8601; UTC without a zone")
    show.add_argument("--limit", type=int, default=1000, metavar="LINES")
    show.set_defaults(run=command(_show))
    export = what.add_parser("export", help="write entries as JSON lines, the oldest first")
    export.add_argument("--after", type=int, default=0, metavar="NUMBER", help="only later ones")
    export.add_argument("--to", type=Path, metavar="FILE", help="is appended to; default: print")
    export.set_defaults(run=command(_export, action="audit export", details=_asked_export))
    keep = what.add_parser("keep", help="how old entries have to be before they can be pruned")
    keep.add_argument("--days", type=_days, required=True)
    keep.set_defaults(run=command(_keep))


def _days(text: str) -> int:
    days = int(text)
    if not 1 <= days <= _MOST_DAYS:
        raise argparse.ArgumentTypeError(f"a number from 1 to {_MOST_DAYS}")
    return days


def _since(text: str) -> str:
    return as_written(datetime.fromisoformat(text))


def _anchor(text: str) -> Anchor:
    try:
        return Anchor.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _verify(settings: GatewaySettings, options: argparse.Namespace) -> str:
    anchors = [*options.anchor, *(_shipped(options.anchors) if options.anchors else ())]
    with chain.audit_snapshot(settings) as connection:
        found = chain.verify(connection, anchors)
    steps = ", ".join(map(str, found.clock_steps[:_SHOWN]))
    clock = f"; a clock was set back before {steps}" if steps else ""
    return f"The audit log is whole: {found.count} entries, up to {found.head}{clock}"


def _shipped(path: Path) -> list[Anchor]:
    """The anchors of a file that a gateway shipped them to, one JSON object or anchor a line."""
    try:
        return [anchor_of(line) for line in path.read_text().splitlines() if line.strip()]
    except (OSError, ValueError) as error:
        raise CommandError(f"{path}: {error}") from error


def _print_anchor(settings: GatewaySettings, _options: argparse.Namespace) -> str:
    with chain.audit_snapshot(settings) as connection:
        return chain.head(connection).dated


def _asked_export(options: argparse.Namespace) -> dict[str, Any]:
    to = "standard output" if options.to is None else str(options.to.absolute())
    return {"after": options.after, "to": to}


def _export(settings: GatewaySettings, options: argparse.Namespace) -> Done:
    last = options.after
    with chain.audit_snapshot(settings) as connection, _written_to(options.to) as put:
        for entry in chain.entries(connection, options.after):
            put(as_json_line(entry))
            last = entry.seq
    said = f"{last - options.after} entries were written to {options.to}, up to {last}."
    return Done("" if options.to is None else said, {"up_to": last})


@contextmanager
def _written_to(path: Path | None) -> Iterator[Callable[[str], object]]:
    if path is None:
        yield sys.stdout.write
        return
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600), "w") as file:
            yield file.write
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise CommandError(f"{path}: {error.strerror}") from error


def _keep(settings: GatewaySettings, options: argparse.Namespace) -> str:
    details = {"min_age_days": options.days}
    before = chain.keep_for(settings, options.days, by_the_machine("audit keep", details=details))
    return f"The database kept entries for at least {before} days, and now for {options.days}."


def _show(settings: GatewaySettings, options: argparse.Namespace) -> str:
    query = AuditQuery(
        study_id=options.study,
        subject=options.subject,
        action=options.action,
        since=options.since,
        limit=options.limit,
    )
    with chain.audit_snapshot(settings) as connection:
        found = page(connection, query).items
    return "\n".join(json.dumps(line.model_dump(), ensure_ascii=False) for line in found)
