"""The operator's command `keys`: make, list and revoke API keys."""

import argparse
import re
import sys
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from cxr_gateway.archive.api_keys import ApiKey, Keys, open_keys
from cxr_gateway.archive.tables import MAX_DEPARTMENT_CHARS, MAX_NAME_CHARS
from cxr_gateway.cli.command_runner import Done, Work, command
from cxr_gateway.core.principal import Role
from cxr_gateway.core.settings import GatewaySettings
from cxr_gateway.core.tokens import now

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
    make.set_defaults(run=command(_with_keys(_create), action="keys create", details=_asked))
    listed = parts.add_parser("list", help="every key, and whether it is valid")
    listed.set_defaults(run=command(_with_keys(_list)))
    end = parts.add_parser("revoke", help="end a key, from the next request on")
    end.add_argument("id")
    end.set_defaults(run=command(_with_keys(_revoke), action="keys revoke"))


def _with_keys(work: Callable[[Keys, argparse.Namespace], str | Done]) -> Work:
    def run(settings: GatewaySettings, options: argparse.Namespace) -> str | Done:
        with open_keys(settings) as keys:
            return work(keys, options)

    return run


def _asked(options: argparse.Namespace) -> dict[str, Any]:
    roles = sorted(set(options.roles))
    return {"name": options.name, "roles": roles, "department": options.department}


def _create(keys: Keys, options: argparse.Namespace) -> Done:
    until = None if options.expires is None else now() + options.expires
    key, token = keys.create(options.name, frozenset(options.roles), options.department, until)
    sys.stderr.write(f"{_described(key)}\n{_ONCE}\n")
    return Done(token, {"key": key.id, "expires": _day(until)})


def _list(keys: Keys, _options: argparse.Namespace) -> str:
    return "\n".join(map(_described, keys.all())) or "There are no keys."


def _revoke(keys: Keys, options: argparse.Namespace) -> Done:
    key = keys.revoke(options.id)
    # Of a key that there is: somebody may give the secret itself in the id's place.
    return Done(_described(key), {"key": key.id, "name": key.name})


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
