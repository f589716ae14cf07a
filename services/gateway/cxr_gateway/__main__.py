"""`python -m cxr_gateway`: the gateway as a process; with a command, what an operator does."""

import argparse
import sys

from cxr_gateway.keeping import command
from cxr_gateway.settings import GatewaySettings
from cxr_gateway.shadow import command as shadow_command
from cxr_serving.logs import configure_logging
from cxr_serving.process import settings_or_exit


def main(arguments: list[str] | None = None) -> int:
    """Serve, or run a command; its exit status, 1 with a sentence for what the user can mend."""
    parser = argparse.ArgumentParser(
        prog="cxr-gateway", description="Without a command it serves until a signal comes."
    )
    commands = parser.add_subparsers(dest="command")
    command.add_to(commands)
    shadow_command.add_to(commands)
    options = parser.parse_args(arguments)
    settings = settings_or_exit(GatewaySettings)
    if options.command is None:
        # The networks' runtime and the web's are for the service; a command starts without.
        from cxr_gateway.process import serve

        return serve(settings)
    configure_logging("gateway", "WARNING")
    status: int = options.run(settings, options)
    return status


if __name__ == "__main__":
    sys.exit(main())
