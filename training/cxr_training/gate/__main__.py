"""`python -m cxr_training.gate train|publish|evaluate`."""

import argparse
import logging
import sys
from pathlib import Path

from cxr_training.gate.config import read_config
from cxr_training.gate.radiographs import nih_root

_LOG = logging.getLogger("cxr_training.gate")
_REPOSITORY = Path(__file__).parents[3]


def main(arguments: list[str] | None = None) -> None:
    """Run one command; a failure ends with a sentence."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    options = _parser().parse_args(arguments)
    options.run_command(options)


def _train(options: argparse.Namespace) -> None:
    from cxr_training.gate.run import train

    summary = train(nih_root(options.data), read_config(options.config), options.out)
    _LOG.info("fitted on %d radiographs: %s", summary.n_fit, options.out)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m cxr_training.gate", description=__doc__)
    commands = parser.add_subparsers(required=True)
    train = commands.add_parser("train", help="fit a gate; leaves a run directory")
    train.set_defaults(run_command=_train)
    train.add_argument("--config", type=Path, default=_REPOSITORY / "training/configs/gate.yaml")
    train.add_argument("--data", type=Path, required=True, help="NIH ChestX-ray14 as published")
    train.add_argument("--out", type=Path, required=True, help="run directory")
    return parser


if __name__ == "__main__":
    main(sys.argv[1:])
