"""The operator's commands: `models`, `models promote`, `models rollback` and `shadow report`."""

import argparse
from collections.abc import Callable
from typing import Any

from cxr_gateway.archive.promotions import ROLES
from cxr_gateway.cli.command_runner import command
from cxr_gateway.core.principal import operator_name
from cxr_gateway.core.settings import GatewaySettings
from cxr_gateway.shadow.evidence import MAX_FAILURES, MIN_ANSWERS

# What changes something; the rest only looks.
_ON_RECORD = {"promote": "models promote", "roll_back": "models rollback"}


def add_to(commands: "argparse._SubParsersAction[Any]") -> None:
    """Add them; each sets its `run`: from the settings and the options to the exit status."""
    models = commands.add_parser("models", help="which models answer and which are shadows")
    models.set_defaults(run=_run("models"))
    steps = models.add_subparsers(dest="step")
    up = steps.add_parser("promote", help="make the shadow answer, at every gateway")
    up.set_defaults(run=_run("promote"))
    up.add_argument("--min-answers", type=int, default=MIN_ANSWERS, help=f"default {MIN_ANSWERS}")
    up.add_argument(
        "--max-failures", type=float, default=MAX_FAILURES, help=f"default {MAX_FAILURES:g}"
    )
    up.add_argument("--anyway", action="store_true", help="with fewer answers, or more failures")
    back = steps.add_parser("rollback", help="take the last promotion back")
    back.set_defaults(run=_run("roll_back"))
    for step in (up, back):
        step.add_argument("role", choices=ROLES)
        step.add_argument("--by", default=None, help="who decides it; default: the system's user")
    shadow = commands.add_parser("shadow", help="what the shadows said")
    reports = shadow.add_subparsers(dest="step", required=True)
    report = reports.add_parser("report", help="a shadow beside the model that answers")
    report.add_argument("role", choices=ROLES, nargs="*", help="default: both")
    report.set_defaults(run=_run("report"))


def _asked(options: argparse.Namespace) -> dict[str, Any]:
    # Evidence is asked for before a promotion alone.
    anyway = {"anyway": options.anyway} if "anyway" in options else {}
    return {"role": options.role, "by": operator_name(options.by), **anyway}


def _run(name: str) -> Any:
    def work(settings: GatewaySettings, options: argparse.Namespace) -> str:
        # The web's packages are for who speaks to the inference services; other commands start
        # without.
        from cxr_gateway.shadow import operating

        run: Callable[[GatewaySettings, argparse.Namespace], str] = getattr(operating, name)
        return run(settings, options)

    action = _ON_RECORD.get(name)
    return command(work) if action is None else command(work, action=action, details=_asked)
