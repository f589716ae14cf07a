"""The program `cxr-gateway`: without a command it serves; with one, what an operator does.

`main` is the entry of the console script; each module adds one command, or a family of them.
"""

import argparse

from cxr_gateway.cli import (
    audit,
    backup,
    docs,
    explain,
    export,
    importing,
    keys,
    models,
    retention,
    screening,
    sessions,
    triage,
)
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
    for group in (
        backup,
        keys,
        sessions,
        audit,
        retention,
        export,
        importing,
        explain,
        models,
        triage,
        screening,
        docs,
    ):
        group.add_to(commands)
    return made
