"""The operator's command `triage tune`: thresholds on a budget, from the site's own images."""

import argparse
from typing import Any

from cxr_gateway.cli.command_runner import command
from cxr_gateway.core.settings import GatewaySettings

DEFAULT_LAST = 1000


def add_to(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add the command."""
    triage = commands.add_parser("triage", help="how many studies are called urgent and soon")
    steps = triage.add_subparsers(dest="step", required=True)
    tune = steps.add_parser(
        "tune", help="fit the thresholds to this site's last images; shows, asks, then does it"
    )
    tune.add_argument(
        "--last",
        type=int,
        default=DEFAULT_LAST,
        metavar="N",
        help=f"images; default {DEFAULT_LAST}",
    )
    tune.add_argument(
        "--alert-budget", type=float, metavar="X", help="share that is to be urgent, 0..1"
    )
    tune.add_argument(
        "--soon-budget", type=float, metavar="Y", help="further share that is to be soon, 0..1"
    )
    tune.add_argument("--yes", action="store_true", help="do not ask")
    tune.add_argument("--reset", action="store_true", help="back to the reference's thresholds")
    tune.add_argument("--by", default=None, help="who decides it; default: the system's user")
    # It puts itself on record, in the transaction of the change.
    tune.set_defaults(run=command(_tune))


def _tune(settings: GatewaySettings, options: argparse.Namespace) -> str:
    # The web's packages are for who speaks to the inference services.
    from cxr_gateway.tuning.operating import tune

    return tune(settings, options)
