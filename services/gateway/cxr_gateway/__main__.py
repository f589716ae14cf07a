"""`python -m cxr_gateway`: the gateway as a process; with a command, what an operator does."""

import argparse
import sys

from cxr_gateway.access import command as access
from cxr_gateway.audit import command as audit
from cxr_gateway.deidentification import command as export
from cxr_gateway.keeping import command as keeping
from cxr_gateway.retention import command as retention
from cxr_gateway.settings import GatewaySettings
from cxr_gateway.shadow import command as shadow
from cxr_serving.logs import configure_logging
from cxr_serving.process import settings_or_exit


def main(arguments: list[str] | None = None) -> int:
    """Serve, or run a command; its exit status, 1 with a sentence for what the user can mend."""
    options = parser().parse_args(arguments)
    settings = settings_or_exit(GatewaySettings)
    if options.command is None:
        # The networks' runtime and the web's are for the service; a command starts without.
        from cxr_gateway.process import serve

        return serve(settings)
    configure_logging("gateway", "WARNING")
    status: int = options.run(settings, options)
    return status


def parser() -> argparse.ArgumentParser:
    """What is understood on the command line; a command's options carry its `run`."""
    made = argparse.ArgumentParser(
        prog="cxr-gateway", description="Without a command it serves until a signal comes."
    )
    commands = made.add_subparsers(dest="command")
    for group in (keeping, access, audit, retention, export, shadow):
        group.add_to(commands)
    return made


if __name__ == "__main__":
    sys.exit(main())
