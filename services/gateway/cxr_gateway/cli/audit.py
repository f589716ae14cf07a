"""The operator's commands `audit verify`, `audit anchor` and `audit show`."""

import argparse
import json
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from typing import Any

from sqlalchemy import Connection

from cxr_gateway.archive.db_errors import database_failures
from cxr_gateway.archive.schema import refuse_other
from cxr_gateway.archive.tables import open_by_itself
from cxr_gateway.audit import hash_chain as chain
from cxr_gateway.audit.entries import Anchor, as_written
from cxr_gateway.audit.queries import LineQuery, page
from cxr_gateway.backup.command_runner import told
from cxr_gateway.core.settings import GatewaySettings


def add_to(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add the three."""
    audit = commands.add_parser("audit", help="verify, anchor or show the audit log")
    what = audit.add_subparsers(dest="what", required=True)
    verify = what.add_parser("verify", help="read the whole log; 1 if it is not as it was written")
    verify.add_argument(
        "--anchor", type=_anchor, metavar="NUMBER:HASH", help="a line that has to be there"
    )
    verify.set_defaults(run=told(_verify))
    anchor = what.add_parser("anchor", help="print the last line's hash, to be kept elsewhere")
    anchor.set_defaults(run=told(_print_anchor))
    show = what.add_parser("show", help="print lines as JSON, the latest first")
    show.add_argument("--study", metavar="ID")
    show.add_argument("--subject")
    show.add_argument("--action")
    show.add_argument("--since", type=_since, metavar="TIME", help="ISO 8601; UTC without a zone")
    show.add_argument("--limit", type=int, default=1000, metavar="LINES")
    show.set_defaults(run=told(_show))


def _since(text: str) -> str:
    return as_written(datetime.fromisoformat(text))


def _anchor(text: str) -> Anchor:
    try:
        return Anchor.parse(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _verify(settings: GatewaySettings, options: argparse.Namespace) -> str:
    with _moment(settings) as connection:
        count = chain.verify(connection, options.anchor)
        return f"The audit log is whole: {count} lines, up to {chain.head(connection)}"


def _print_anchor(settings: GatewaySettings, _options: argparse.Namespace) -> str:
    with _moment(settings) as connection:
        return str(chain.head(connection))


def _show(settings: GatewaySettings, options: argparse.Namespace) -> str:
    query = LineQuery(
        study_id=options.study,
        subject=options.subject,
        action=options.action,
        since=options.since,
        limit=options.limit,
    )
    with _moment(settings) as connection:
        found = page(connection, query).items
    return "\n".join(json.dumps(line.model_dump(), ensure_ascii=False) for line in found)


@contextmanager
def _moment(settings: GatewaySettings) -> Iterator[Connection]:
    engine = open_by_itself(settings.resolved_database_url, "BEGIN", "REPEATABLE READ")
    try:
        with database_failures(), engine.begin() as connection:
            refuse_other(connection)
            yield connection
    finally:
        engine.dispose()
