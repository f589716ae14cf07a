"""How an operator's command ends: a line on standard output or error, and one in the audit log."""

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cxr_gateway.archive.audit_chain import record
from cxr_gateway.audit.events import by_the_machine
from cxr_gateway.core.errors import CommandError
from cxr_gateway.core.settings import GatewaySettings
from cxr_serving.errors import ServiceError


@dataclass(frozen=True, slots=True)
class Done:
    """What a command says at its end, and what its entry in the audit log has besides."""

    said: str
    details: Mapping[str, Any] = field(default_factory=dict)


Details = Callable[[argparse.Namespace], Mapping[str, Any]]
Work = Callable[[GatewaySettings, argparse.Namespace], str | Done]
Run = Callable[[GatewaySettings, argparse.Namespace], int]


def _nothing(_options: argparse.Namespace) -> Mapping[str, Any]:
    return {}


def command(work: Work, *, action: str | None = None, details: Details = _nothing) -> Run:
    """A command out of its work, which returns what is said at the end.

    Args:
        work: raises CommandError or ServiceError for what the operator can mend.
        action: what the audit log calls it; None for what touches no archive, or writes its line
            itself.
        details: what was asked for, for its entry in the audit log, also of a command that fails;
            what is only known at the end comes with `Done`. Never a secret, and nothing that
            somebody may give in the place of one.

    Returns:
        From the settings and the options to the exit status: 1 also if what was done could not be
        put on record, 2 for what was given and cannot be worked with.
    """

    def run(settings: GatewaySettings, options: argparse.Namespace) -> int:
        status, on_record = 0, dict(details(options))
        try:
            done = work(settings, options)
            if isinstance(done, Done):
                on_record |= done.details
            if said := done.said if isinstance(done, Done) else done:
                sys.stdout.write(said + "\n")
        except (CommandError, ServiceError) as error:
            sys.stderr.write(f"{options.command}: {error}\n")
            status = error.exit_status if isinstance(error, CommandError) else 1
        if action is not None:
            try:
                record(settings, by_the_machine(action, status, details=on_record))
            except ServiceError as error:
                if status == 0:
                    sys.stderr.write(f"{options.command}: done, and not on record: {error}\n")
                status = 1
        return status

    return run
