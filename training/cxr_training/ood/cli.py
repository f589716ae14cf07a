"""`cxr ood train|publish|evaluate|verify`."""

import argparse
from pathlib import Path

from cxr_training.core.commands import later

_CONFIG = Path("training/configs/ood.yaml")
_MODEL = Path("models/ood/ood-cxr")
_RESULTS = Path("docs/results/ood")


def add_to(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add `ood` and its commands; each sets `run`, from the options to the exit status."""
    ood = commands.add_parser("ood", help="the out-of-distribution detector")
    actions = ood.add_subparsers(dest="action", required=True)
    train = actions.add_parser("train", help="fit a detector; leaves a run directory")
    train.set_defaults(run=later("ood.training:command"))
    train.add_argument("--config", type=Path, default=_CONFIG, help="recipe (YAML)")
    _add_data(train)
    train.add_argument("--out", type=Path, required=True, help="run directory")
    publish = actions.add_parser("publish", help="write a run into a model folder")
    publish.set_defaults(run=later("ood.publish:publish_command"))
    publish.add_argument("--run", type=Path, required=True, dest="folder", help="run directory")
    publish.add_argument("--out", type=Path, default=_MODEL, help="model folder")
    publish.add_argument("--version", required=True, help="of the model")
    publish.add_argument(
        "--replace", action="store_true", help="let a published model of that name give way"
    )
    evaluate = actions.add_parser("evaluate", help="measure; writes table, plot, manifest, card")
    evaluate.set_defaults(run=later("ood.publish:evaluate"))
    evaluate.add_argument("--out", type=Path, default=_RESULTS, help="folder for table and plot")
    verify = actions.add_parser("verify", help="measure again, compare with what is published")
    verify.set_defaults(run=later("ood.publish:verify"))
    for parser in (evaluate, verify):
        parser.add_argument("--model", type=Path, default=_MODEL, help="model folder")
        parser.add_argument("--split", choices=("validation", "test"), default="validation")
        _add_data(parser)
        parser.add_argument(
            "--synthetic-per-kind", type=int, default=150, help="synthetic images of each kind"
        )


def _add_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--data", type=Path, required=True, help="NIH ChestX-ray14 as published, or what holds nih/"
    )
