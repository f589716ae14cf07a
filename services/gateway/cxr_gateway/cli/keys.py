"""The operator's command `keys`: make, list and revoke API keys."""

import argparse
import re
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from typing import Any

from cxr_gateway.access.keys import ApiKey, Keys
from cxr_gateway.access.tokens import now
from cxr_gateway.archive.access_tables import MAX_NAME_CHARS
from cxr_gateway.archive.db_errors import database_failures
from cxr_gateway.archive.schema import migrate_if_older, refuse_other
from cxr_gateway.archive.tables import MAX_DEPARTMENT_CHARS, open_engine
from cxr_gateway.backup.command_runner import Work, told
from cxr_gateway.core.principal import Role
from cxr_gateway.core.settings import GatewaySettings

_UNITS = {"h": timedelta(hours=1), "d": timedelta(days=1), "w": timedelta(weeks=1)}
_LONGEST = timedelta(days=3650)
_ONCE = "This is the only time that it is shown:"


def add_to(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add `keys` with its three parts; each sets its `run`, from settings and options to status."""
    keys = commands.add_parser("keys", help="API keys of hospital systems")
    parts = keys.add_subparsers(dest="part", required=True)
    make = parts.add_parser("create", help="make a key, and print it once")
    make.add_argument("--name", type=_text(MAX_NAME_CHARS), required=True, help="what uses it")
    make.add_argument(
        "--role", type=Role, choices=list(Role), action="append", required=True, dest="roles"
    )
    make.add_argument(
        "--department",
        type=_text(MAX_DEPARTMENT_CHARS),
        help="whose studies it sends and sees; without one it sees all",
    )
    make.add_argument(
        "--expires", type=_span, default="90d", metavar="90d", help="hours, days or weeks; or never"
    )
    make.set_defaults(run=told(_with_keys(_create), action="keys create"))
    listed = parts.add_parser("list", help="every key, and whether it is valid")
    listed.set_defaults(run=told(_with_keys(_list)))
    end = parts.add_parser("revoke", help="end a key, from the next request on")
    end.add_argument("id")
    end.set_defaults(run=told(_with_keys(_revoke), action="keys revoke"))


def _with_keys(work: Callable[[Keys, argparse.Namespace], str]) -> Work:
    def run(settings: GatewaySettings, options: argparse.Namespace) -> str:
        with _keys(settings) as keys:
            return work(keys, options)

    return run


@contextmanager
def _keys(settings: GatewaySettings) -> Iterator[Keys]:
    settings.archive_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    engine = open_engine(settings.resolved_database_url, settings.database_timeout_s)
    try:
        if settings.resolved_migrate_at_start:
            migrate_if_older(engine, settings.database_timeout_s)
        with database_failures(), engine.connect() as connection:
            refuse_other(connection)
        yield Keys(engine)
    finally:
        engine.dispose()


def _create(keys: Keys, options: argparse.Namespace) -> str:
    until = None if options.expires is None else now() + options.expires
    key, token = keys.create(options.name, frozenset(options.roles), options.department, until)
    sys.stderr.write(f"{_described(key)}\n{_ONCE}\n")
    return token


def _list(keys: Keys, _options: argparse.Namespace) -> str:
    return "\n".join(map(_described, keys.all())) or "There are no keys."


def _revoke(keys: Keys, options: argparse.Namespace) -> str:
    return _described(keys.revoke(options.id))


def _described(key: ApiKey) -> str:
    parts = [
        key.id,
        key.state(now()),
        ", ".join(sorted(key.roles)),
        f"department {key.department}" if key.department else "all departments",
        f"expires {_day(key.expires_at)}",
        f"last used {_day(key.last_used_at)}",
        key.name,
    ]
    return "  ".join(parts)


def _day(moment: datetime | None) -> str:
    return "never" if moment is None else moment.date().isoformat()


def _span(text: str) -> timedelta | None:
    if text == "never":
        return None
    found = re.fullmatch(r"([1-9]\d{0,4})([hdw])", text)
    if found is None or (span := int(found[1]) * _UNITS[found[2]]) > _LONGEST:
        raise argparse.ArgumentTypeError(f"`{text}` is not like 12h, 90d or 52w, or never")
    return span


def _text(longest: int) -> Callable[[str], str]:
    def checked(text: str) -> str:
        if not 0 < len(text) <= longest or not text.isprintable():
            raise argparse.ArgumentTypeError(f"must be 1 to {longest} printable characters")
        return text

    return checked
