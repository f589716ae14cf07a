"""How an operator's command ends: a line on standard output or error, and one in the audit log."""

import argparse
import sys
from collections.abc import Callable

from cxr_gateway.audit.entries import by_the_machine
from cxr_gateway.audit.log import record
from cxr_gateway.core.errors import NotDone
from cxr_gateway.core.settings import GatewaySettings
from cxr_serving.errors import ServiceError

Work = Callable[[GatewaySettings, argparse.Namespace], str]
Run = Callable[[GatewaySettings, argparse.Namespace], int]


def told(work: Work, *, action: str | None = None) -> Run:
    """A command out of its work, which returns what is said at the end.

    Args:
        work: raises NotDone or ServiceError for what the operator can mend.
        action: what the audit log calls it; None for what touches no archive, or writes its line
            itself.

    Returns:
        From the settings and the options to the exit status: 1 also if what was done could not be
        put on record.
    """

    def run(settings: GatewaySettings, options: argparse.Namespace) -> int:
        status = 0
        try:
            sys.stdout.write(work(settings, options) + "\n")
        except (NotDone, ServiceError) as error:
            sys.stderr.write(f"{options.command}: {error}\n")
            status = 1
        if action is not None:
            try:
                record(settings, by_the_machine(action, status))
            except ServiceError as error:
                if status == 0:
                    sys.stderr.write(f"{options.command}: done, and not on record: {error}\n")
                status = 1
        return status

    return run
