"""The operator's command `sessions`: who is signed in, and ending that."""

import argparse
from collections.abc import Callable
from typing import Any

from cxr_gateway.archive.sessions import SHOWN_CHARS, OpenSession, Sessions, open_sessions
from cxr_gateway.cli.command_runner import Done, Work, command
from cxr_gateway.core.errors import CommandError
from cxr_gateway.core.settings import GatewaySettings


def add_to(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add `sessions` with its two parts, each with its `run`."""
    parts = commands.add_parser("sessions", help="people who are signed in").add_subparsers(
        dest="part", required=True
    )
    parts.add_parser("list", help="every open session").set_defaults(
        run=command(_with_sessions(_list))
    )
    end = parts.add_parser("end", help="end a session, or all of somebody, from now on")
    which = end.add_mutually_exclusive_group(required=True)
    which.add_argument("id", nargs="?", help="as `sessions list` shows it")
    which.add_argument("--subject", help="all sessions of this one")
    end.set_defaults(run=command(_with_sessions(_end), action="sessions end", details=_asked))


def _asked(options: argparse.Namespace) -> dict[str, Any]:
    return {} if options.subject is None else {"of": options.subject}


def _with_sessions(work: Callable[[Sessions, argparse.Namespace], str | Done]) -> Work:
    def run(settings: GatewaySettings, options: argparse.Namespace) -> str | Done:
        with open_sessions(settings) as sessions:
            return work(sessions, options)

    return run


def _list(sessions: Sessions, _options: argparse.Namespace) -> str:
    return "\n".join(map(_described, sessions.open_now())) or "Nobody is signed in."


def _end(sessions: Sessions, options: argparse.Namespace) -> Done:
    shown = {}
    if options.subject is not None:
        ended = sessions.end_of(subject=options.subject, sid=None)
    elif len(options.id) == SHOWN_CHARS:
        # Of a session that there is: somebody may give a cookie in the id's place.
        ended, shown = sessions.end_shown(options.id), {"session": options.id}
    else:
        ended = 0
    if not ended:
        raise CommandError("There is no such session.")
    return Done(f"{ended} sessions have ended.", {"n_ended": ended, **shown})


def _described(session: OpenSession) -> str:
    parts = [
        session.shown,
        session.subject,
        ", ".join(sorted(session.roles)) or "no role",
        f"department {session.department}" if session.department else "all departments",
        f"last used {session.seen_at:%Y-%m-%d %H:%M}",
        f"ends {session.expires_at:%Y-%m-%d %H:%M}",
    ]
    return "  ".join(parts)
