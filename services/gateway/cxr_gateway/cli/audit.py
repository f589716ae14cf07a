"""The operator's commands `audit verify`, `audit anchor` and `audit show`."""

import argparse
import json
from datetime import datetime
from typing import Any

from cxr_gateway.archive import audit_chain as chain
from cxr_gateway.archive.audit_entries import Anchor, as_written
from cxr_gateway.archive.audit_queries import AuditQuery, page
from cxr_gateway.cli.command_runner import command
from cxr_gateway.core.settings import GatewaySettings


def add_to(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add the three."""
    audit = commands.add_parser("audit", help="verify, anchor or show the audit log")
    what = audit.add_subparsers(dest="what", required=True)
    verify = what.add_parser("verify", help="read the whole log; 1 if it is not as it was written")
    verify.add_argument(
        "--anchor", type=_anchor, metavar="NUMBER:HASH", help="a line that has to be there"
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


def _since(text: str) -> str:
    return as_written(datetime.fromisoformat(text))


def _anchor(text: str) -> Anchor:
    try:
        return Anchor.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _verify(settings: GatewaySettings, options: argparse.Namespace) -> str:
    with chain.audit_snapshot(settings) as connection:
        count = chain.verify(connection, options.anchor)
        return f"The audit log is whole: {count} entries, up to {chain.head(connection)}"


def _print_anchor(settings: GatewaySettings, _options: argparse.Namespace) -> str:
    with chain.audit_snapshot(settings) as connection:
        return str(chain.head(connection))


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
