"""The operator's command `import-screening`: what `cxr-screen select` chose, on the worklist."""

import argparse
from pathlib import Path
from typing import Any

from cxr_gateway.cli.command_runner import command
from cxr_gateway.core.settings import GatewaySettings


def add_to(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add the command."""
    screening = commands.add_parser(
        "import-screening", help="put images that `cxr-screen select` chose on the worklist"
    )
    screening.add_argument("folder", type=Path, help="what it wrote")
    screening.add_argument("--department", default=None, help="whose studies they become")
    # It puts each study on record itself.
    screening.set_defaults(run=command(_import))


def _import(settings: GatewaySettings, options: argparse.Namespace) -> str:
    # The networks' runtime and the web's are for who speaks to the inference services.
    from cxr_gateway.screening.importing import import_selection

    return import_selection(settings, options)
