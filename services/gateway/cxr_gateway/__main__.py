"""`python -m cxr_gateway`: the gateway as a process; with a command, what an operator does."""

import argparse
import sys

from cxr_gateway.cli import audit, backup, export, keys, models, retention
from cxr_gateway.core.settings import GatewaySettings
from cxr_serving.logs import configure_logging
from cxr_serving.process import settings_or_exit


def main(arguments: list[str] | None = None) -> int:
    """Serve, or run a command; its exit status, 1 with a sentence for what the user can mend."""
    options = parser().parse_args(arguments)
    settings = settings_or_exit(GatewaySettings)
    if options.command is None:
        # The networks' runtime and the web's are for the service; a command starts without.
        from cxr_gateway.cli.serve import serve

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
    for group in (backup, keys, audit, retention, export, models):
        group.add_to(commands)
    return made


if __name__ == "__main__":
    sys.exit(main())
