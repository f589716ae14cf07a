"""`python -m cxr_training.classifier train|evaluate|publish`."""

import argparse
import sys
from pathlib import Path

from cxr_training.classifier.config import SMOKE_OVERRIDES, load_config
from cxr_training.data.errors import DataError


def main(arguments: list[str] | None = None) -> int:
    """Run a command; the exit status, 1 with a sentence on stderr for what the user can mend."""
    options = _parser().parse_args(arguments)
    try:
        _run(options)
    except (DataError, ValueError, FileExistsError, FileNotFoundError) as error:
        sys.stderr.write(f"{options.command}: {error}\n")
        return 1
    return 0


def _run(options: argparse.Namespace) -> None:
    # PyTorch takes seconds to import; `--help` should not.
    if options.command == "train":
        from cxr_training.classifier.train import train

        overrides = (*(SMOKE_OVERRIDES if options.smoke else ()), *options.set)
        config = load_config(options.config, overrides)
        train(config, options.data / "nih", options.out, resume=options.resume)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m cxr_training.classifier", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    train = commands.add_parser("train", help="train into a run directory")
    train.add_argument("--config", type=Path, required=True)
    train.add_argument("--data", type=Path, required=True, help="folder that holds nih/")
    train.add_argument("--out", type=Path, required=True, help="the run directory")
    train.add_argument("--resume", action="store_true", help="go on from last.pt")
    train.add_argument("--smoke", action="store_true", help="one short epoch, to try the way")
    train.add_argument(
        "--set", action="append", default=[], metavar="SECTION.KEY=VALUE", help="override a key"
    )
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
